"""Questions about messages and conversations; each begins with the viewer, and none grows with the
history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Required, TypedDict, Unpack
from uuid import UUID

from django.db.models import F, Q, QuerySet

from parley.accounts.models import User
from parley.conversations import queries as conversations
from parley.conversations.models import Participant
from parley.conversations.seen import Me, SeenParticipant
from parley.kernel.paging import Page, Position
from parley.kernel.times import from_micros, micros
from parley.messaging.boxes import (
    Edge,
    list_edges,
    list_messages,
    list_messages_beside,
    position_key,
)
from parley.messaging.counting import count_history, count_messages
from parley.messaging.listings import Listings, Shelves, listings
from parley.messaging.models import Message
from parley.messaging.receipts import list_receipts
from parley.messaging.seen import SeenConversation, SeenMessage
from parley.messaging.sight import find_message, get_message, newest, see, visible
from parley.messaging.unread import (
    CAP,
    LIST_CAP,
    count_unread,
    count_unread_exactly,
    maybe_unread,
    recount_unread,
    unread_counts,
)

__all__ = [
    "CAP",
    "LIST_CAP",
    "Edge",
    "count_history",
    "count_messages",
    "count_unread",
    "count_unread_exactly",
    "find_message",
    "get_conversation",
    "get_message",
    "history",
    "list_conversations",
    "list_edges",
    "list_history",
    "list_messages",
    "list_messages_beside",
    "list_receipts",
    "newest",
    "position_key",
    "recount_unread",
    "see",
    "show",
]

SORTED = 1_000  # so many keys of conversations are fetched at once, to look for unread ones among


# --- history --------------------------------------------------------------------------------------


class Places(TypedDict, total=False):
    """From where on, or around what, a history is asked for."""

    before: int | None
    after: int | None
    around: int | None
    changed_after: int | None


class Asked(Places, total=False):
    """What ``history`` takes beside the viewer and their own row."""

    position: Position | None
    size: Required[int]


def list_history(
    *, viewer: User, conversation_id: UUID, **asked: Unpack[Asked]
) -> Page[SeenMessage]:
    """Return the page of ``history`` of a conversation known by its id.

    :raises ConversationNotFound: the viewer is not in it.
    """
    mine = conversations.get_participation(viewer=viewer, conversation_id=conversation_id)
    return history(viewer=viewer, mine=mine, **asked)


def history(
    *,
    viewer: User,
    mine: Participant,
    before: int | None = None,
    after: int | None = None,
    around: int | None = None,
    changed_after: int | None = None,
    position: Position | None = None,
    size: int,
) -> Page[SeenMessage]:
    """Return one page of a conversation, by the viewer's own row in it: newest first; with
    ``after`` and ``changed_after`` oldest first.
    """
    if around is not None and position is None:
        return _around(viewer, mine, around, size)
    rising = after is not None or changed_after is not None
    up = rising if position is None else rising != position.backward
    edge = None if position is None else int(position.key[0])
    above = [n for n in (after, changed_after, edge if up else None) if n is not None]
    below = [n for n in (before, None if up else edge) if n is not None]
    if changed_after is not None:
        walk, key = _walk(visible(mine), "revision", above, below, up=up), _by_revision
    else:
        found = visible(mine, after=max(above, default=0))
        walk, key = _walk(found, "seq", [], below, up=up), _by_seq
    page = Page.cut(list(walk[: size + 1]), size=size, position=position, key=key)
    watermarks = {mine.conversation_id: mine.watermark}
    return page.with_items(see(viewer.user_id, page.items, watermarks=watermarks))


def _by_seq(message: Message) -> tuple[int]:
    return (message.seq,)


def _by_revision(message: Message) -> tuple[int]:
    return (message.revision,)


def _walk(
    found: QuerySet[Message], name: str, above: list[int], below: list[int], *, up: bool
) -> QuerySet[Message]:
    """Order by a number of the message, within these bounds."""
    if above:
        found = found.filter(**{f"{name}__gt": max(above)})
    if below:
        found = found.filter(**{f"{name}__lt": min(below)})
    sign = "" if up else "-"
    return found.order_by(f"{sign}conversation_id", f"{sign}{name}")


def _around(viewer: User, mine: Participant, seq: int, size: int) -> Page[SeenMessage]:
    """Return a page, newest first, with ``seq`` in the middle; at an end of the history it fills
    from the other.
    """
    older = list(
        visible(mine).filter(seq__lte=seq).order_by("-conversation_id", "-seq")[: size + 1]
    )
    newer = list(visible(mine, after=seq).order_by("conversation_id", "seq")[: size + 1])
    taken_newer = min(len(newer), max(size // 2, size - len(older)))
    taken_older = min(len(older), size - taken_newer)
    items = [*reversed(newer[:taken_newer]), *older[:taken_older]]
    if not items:
        return Page([])
    return Page(
        see(viewer.user_id, items),
        next=Position((items[-1].seq,)) if len(older) > taken_older else None,
        previous=Position((items[0].seq,), backward=True) if len(newer) > taken_newer else None,
    )


# --- conversations --------------------------------------------------------------------------------


def get_conversation(
    *, viewer: User, conversation_id: UUID, messages: int = 20
) -> SeenConversation:
    """Return one conversation with its newest messages.

    :raises ConversationNotFound: the viewer is not in it.
    """
    mine = conversations.get_participation(viewer=viewer, conversation_id=conversation_id)
    return show(viewer, [mine], newest(viewer, [mine], messages), CAP)[0]


class Filters(TypedDict, total=False):
    """Which conversations are asked for, and how many messages of each."""

    archived: bool
    kind: str | None
    unread_only: bool
    messages: int


def list_conversations(
    *,
    viewer: User,
    archived: bool = False,
    kind: str | None = None,
    unread_only: bool = False,
    messages: int = 1,
    position: Position | None,
    size: int,
) -> Page[SeenConversation]:
    """Return one page of the viewer's conversations, latest activity first."""
    is_archived = Q(archived_seq__isnull=False, archived_seq__gte=F("conversation__last_seq"))
    found = conversations.live_participations(viewer.user_id)
    found = found.filter(is_archived) if archived else found.exclude(is_archived)
    if kind is not None:
        found = found.filter(conversation__kind=kind)
    shelves = Shelves(archived=archived, kind=kind, unread=True if unread_only else None)
    with listings(viewer.user_id) as listed:
        inbox = _Inbox(viewer, found, shelves, listed)
        # Only the keys are sorted; whole rows are read for the page alone.
        if unread_only:
            keys = inbox.with_unread(position, size + 1)
        else:
            keys = inbox.keys(position, size + 1)
        page = Page.cut(keys, size=size, position=position, key=lambda key: key)
        chosen = _participations(viewer, [UUID(key[-1]) for key in page.items])
        return page.with_items(show(viewer, chosen, newest(viewer, chosen, messages), LIST_CAP))


def _participations(viewer: User, conversation_ids: Sequence[UUID]) -> list[Participant]:
    """Return the viewer's rows in these conversations, in this order."""
    found = conversations.participations_in(viewer.user_id, conversation_ids)
    rows = {p.conversation_id: p for p in found}
    return [rows[key] for key in conversation_ids if key in rows]


Activity = tuple[int, int, str]
ACTIVITY = ("conversation__active_gen", "conversation__active_at", "conversation_id")


def _activity(active_gen: int, active_at: datetime, conversation_id: UUID) -> Activity:
    return active_gen, micros(active_at), str(conversation_id)


@dataclass(frozen=True, slots=True)
class _Inbox:
    """The viewer's conversations that pass the filters, and where to look for them."""

    viewer: User
    found: QuerySet[Participant]
    shelves: Shelves
    listed: Listings | None

    def keys(self, position: Position | None, n: int) -> list[Activity]:
        """Return the ``n`` nearest past the position, latest activity first."""
        found, edge = self.found, None if position is None else _edge(position)
        backward = position is not None and position.backward
        if self.listed is not None:
            places = self.listed.by_activity(self.shelves, edge, n, backward=backward)
            found = found.filter(conversation_id__in=places)
        return [_activity(*row) for row in _by_activity(found, edge, backward=backward)[:n]]

    def with_unread(self, position: Position | None, size: int) -> list[Activity]:
        """Return the nearest ``size`` in which something is unread, as the count has it."""
        found = maybe_unread(self.viewer.user_id, self.found)
        keys: list[Activity] = []
        for some in replace(self, found=found).in_steps(position, size):
            listed = _participations(self.viewer, [UUID(key[-1]) for key in some])
            counts = unread_counts(self.viewer.user_id, listed, cap=LIST_CAP)
            counted = {str(conversation_id) for conversation_id, (n, _) in counts.items() if n}
            keys += [key for key in some if key[-1] in counted]
            if len(keys) >= size:
                break
        return keys[:size]

    def in_steps(self, position: Position | None, step: int) -> Iterator[list[Activity]]:
        """Walk the keys; many are sorted at once, few are looked at at a time."""
        at_once = SORTED if self.listed is None else step
        while True:
            keys = self.keys(position, at_once)
            for start in range(0, len(keys), step):
                yield keys[start : start + step]
            if len(keys) < at_once:
                return
            position = Position(keys[-1], backward=position is not None and position.backward)


def _edge(position: Position) -> tuple[int, datetime, UUID]:
    gen, at, conversation_id = position.key
    return int(gen), from_micros(int(at)), UUID(str(conversation_id))


def _by_activity(
    found: QuerySet[Participant], edge: tuple[int, datetime, UUID] | None, *, backward: bool
) -> QuerySet[Participant, tuple[int, datetime, UUID]]:
    """Latest activity first, past the edge; the database compares the ids, since their orders
    differ.
    """
    if edge is not None:
        word = "gt" if backward else "lt"
        past = Q()
        for n, name in enumerate(ACTIVITY):
            equal = dict(zip(ACTIVITY[:n], edge[:n], strict=True))
            past |= Q(**equal, **{f"{name}__{word}": edge[n]})
        found = found.filter(past)
    order = (conversations.ACTIVE_GEN, conversations.ACTIVE_AT, F("conversation_id"))
    ordered = found.order_by(*(key.asc() if backward else key.desc() for key in order))
    return ordered.values_list(*ACTIVITY)


def show(
    viewer: User,
    participants: Sequence[Participant],
    messages: Mapping[UUID, list[SeenMessage]],
    cap: int,
) -> list[SeenConversation]:
    """Return the viewer's conversations with these messages; a constant number of queries for all
    of them.
    """
    nested = conversations.nested_participants([p.conversation for p in participants])
    unread = unread_counts(viewer.user_id, participants, cap=cap)
    last = _last_messages(viewer, participants, messages)
    return [
        _show(
            mine,
            nested[mine.conversation_id],
            messages.get(mine.conversation_id, []),
            last.get(mine.conversation_id),
            unread[mine.conversation_id],
        )
        for mine in participants
    ]


def _last_messages(
    viewer: User, participants: Sequence[Participant], messages: Mapping[UUID, list[SeenMessage]]
) -> dict[UUID, SeenMessage]:
    """Return the newest visible message of each; what is among the given messages is not read
    again.
    """
    last: dict[UUID, SeenMessage] = {}
    for mine in participants:
        known = max(messages.get(mine.conversation_id, []), key=lambda m: m.seq, default=None)
        if known is not None and known.seq == mine.conversation.last_seq:
            last[mine.conversation_id] = known
    missing = [p for p in participants if p.conversation_id not in last]
    for conversation_id, found in newest(viewer, missing, 1).items():
        if found:
            last[conversation_id] = found[-1]
    return last


def _show(
    mine: Participant,
    participants: list[SeenParticipant],
    messages: list[SeenMessage],
    last: SeenMessage | None,
    unread: tuple[int, bool],
) -> SeenConversation:
    conversation = mine.conversation
    return SeenConversation(
        conversation_id=conversation.conversation_id,
        kind=conversation.kind,
        title=conversation.title,
        created_at=conversation.created_at,
        changed_at=conversation.changed_at,
        last_seq=conversation.last_seq,
        revision=conversation.revision,
        participant_count=conversation.member_count,
        participants=participants,
        messages=messages,
        last_message=last,
        unread_count=unread[0],
        unread_capped=unread[1],
        me=see_me(mine),
    )


def see_me(mine: Participant) -> Me:
    archived = mine.archived_seq is not None and mine.archived_seq >= mine.conversation.last_seq
    return Me(
        member_role=mine.member_role,
        read_seq=mine.read_seq,
        watermark=mine.watermark,
        muted_until=mine.muted_until,
        archived_at=mine.archived_at if archived else None,
        pinned_at=mine.pinned_at,
    )
