"""What is of the moment: typing, and how far others have read or had messages.

Small conversations hear of it at once. In large ones nobody hears of typing, and of receipts those
whose they are and, gathered each second, the authors of what was read: so a crowd of readers does
not cost an author one event each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.utils import timezone

from parley.conversations.events import Event, Type
from parley.http import wire
from parley.messaging import listening
from parley.realtime.broker import News
from parley.realtime.frames import Frame, event
from parley.realtime.signals import Signal

T = TypeVar("T")

TYPING = timedelta(seconds=6)  # it ends by itself
MANY_MEMBERS = 50  # beyond, there is no typing, and receipts are gathered
MOST_GATHERED = 200  # receipts in one event
RECENT = 50  # of so many messages before a receipt the authors hear of it

Ask = Callable[..., Awaitable[Any]]
Tell = Callable[[Iterable[UUID], Frame], Awaitable[None]]
Place = tuple[UUID, Type]  # where, and read or delivered


class Moments:
    """What waits to be told of the moment."""

    def __init__(self, ask: Ask, tell: Tell) -> None:
        self._ask, self._tell = ask, tell
        self._gathered: dict[Place, dict[UUID, int]] = defaultdict(dict)

    async def tell(self, moments: Sequence[News], online: frozenset[UUID]) -> None:
        """Tell those of the people online who may hear of it."""
        if not moments:
            return
        wheres = {each.conversation_id for each in moments if each.conversation_id}
        named = {each.user_id for each in moments if isinstance(each, Signal)}
        found = await self._ask(_listeners, wheres, online | named)
        for each in moments:
            if each.conversation_id not in found:
                continue
            hearing = found[each.conversation_id]
            if not isinstance(each, Signal):
                await self._tell_receipt(each, each.user_ids[0], hearing)
            elif hearing is not None and each.user_id in hearing:
                await self._tell(hearing - {each.user_id}, _typing(each))

    async def _tell_receipt(
        self, each: Event, user_id: UUID, hearing: Collection[UUID] | None
    ) -> None:
        seq = each.seq or 0
        place = (each.conversation_id, each.type)
        if hearing is None:
            known = self._gathered[place].get(user_id, 0)
            self._gathered[place][user_id] = max(seq, known)
        await self._tell({user_id, *(hearing or ())}, _receipts(place, [(user_id, seq)]))

    async def tell_gathered(self, online: frozenset[UUID]) -> None:
        """Tell authors in large conversations who of late has read, or had, what they wrote."""
        gathered, self._gathered = self._gathered, defaultdict(dict)
        if not gathered:
            return
        furthest: dict[UUID, int] = defaultdict(int)
        for (where, _), receipts in gathered.items():
            furthest[where] = max(furthest[where], *receipts.values())
        authors = await self._ask(listening.list_recent_authors, furthest, online, most=RECENT)
        for place, receipts in gathered.items():
            for author, seqs in authors.get(place[0], {}).items():
                of_others = {user: seq for user, seq in receipts.items() if user != author}
                for frame in _of_author(place, of_others, seqs):
                    await self._tell([author], frame)


def _of_author(place: Place, receipts: Mapping[UUID, int], seqs: Sequence[int]) -> Iterator[Frame]:
    """The receipts, furthest first, that pass something of an author's."""
    passed = [(user, seq) for user, seq in receipts.items() if any(s <= seq for s in seqs)]
    passed.sort(key=lambda receipt: -receipt[1])
    for start in range(0, len(passed), MOST_GATHERED):
        yield _receipts(place, passed[start : start + MOST_GATHERED])


def _receipts(place: Place, receipts: Sequence[tuple[UUID, int]]) -> Frame:
    """Write one receipt; of several the others beside it."""
    where, about = place
    name = f"{about.value}_seq"
    [first, *others] = [{"user_id": str(user), name: seq} for user, seq in receipts]
    content = first | ({"others": others} if others else {})
    return event(about.value, timezone.now(), conversation_id=where, content=content)


def _typing(signal: Signal) -> Frame:
    now = timezone.now()
    content = {"user_id": str(signal.user_id), "until": wire.instant(now + TYPING)}
    return event("typing", now, conversation_id=signal.conversation_id, content=content)


def _listeners(
    conversation_ids: Collection[UUID], online: frozenset[UUID]
) -> dict[UUID, set[UUID] | None]:
    """Return who of the people online is in each conversation; None where it is large."""
    found = listening.find_conversations(conversation_ids)
    small = [where for where in found.values() if where.member_count <= MANY_MEMBERS]
    listeners = listening.list_listeners(small, online=online)
    hearing: dict[UUID, set[UUID] | None] = dict.fromkeys(found)
    hearing.update({w.conversation_id: set(listeners.get(w.conversation_id, ())) for w in small})
    return hearing
