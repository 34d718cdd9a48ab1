"""What people changed of their own (marks, reading, mute …), for their devices at this process.

Nobody else hears of it, and it takes no revision: a participant's row counts such changes by its
``version``. The hub knows up to which version it has told; what is new since is read here.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.conversations.models import Participant
from parley.http import wire
from parley.kernel.database import snapshot
from parley.messaging import changes, queries
from parley.messaging.changes import ChangedMark
from parley.messaging.cursors import Known
from parley.messaging.listening import OwnChange
from parley.messaging.models import Flag
from parley.messaging.sight import see_by_id
from parley.realtime import pull
from parley.realtime.connections import Connection
from parley.realtime.frames import Frame, event

MOST_MARKS = 200  # of one person at once; who changed more is to sync
MOST_PLACES = 50  # conversations, likewise
MOST_AT_ONCE = 500  # people and conversations; beyond, all of them are to sync
MOST_TOLD = 50_000

Key = tuple[UUID, UUID]  # a person and a conversation


@dataclass(frozen=True, slots=True)
class PulledOwn:
    """What is new of one person's own, up to which versions it is told then, and how far the
    conversations had come when it was read.
    """

    user_id: UUID
    versions: Mapping[UUID, int]
    revisions: Mapping[UUID, int]
    frames: list[Frame]


class Own:
    """What this process has told of people's own, and what waits to be told."""

    def __init__(self, devices: Callable[[UUID], Collection[Connection]]) -> None:
        self._devices = devices
        self._told: OrderedDict[Key, int] = OrderedDict()
        self._wanted: dict[Key, int | None] = {}  # at least up to a version, where one is known

    def want(self, key: Key, version: int | None = None) -> None:
        if self._devices(key[0]):
            self._wanted[key] = version

    def is_told(self, change: OwnChange) -> bool:
        return self._told.get((change.user_id, change.conversation_id), -1) >= change.version

    def note(self, key: Key, version: int) -> None:
        self._told[key] = version
        self._told.move_to_end(key)
        if len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)

    def note_opened(self, key: Key, version: int) -> None:
        """Note what someone has of a conversation that they are given as new.

        Unless a device may have it by syncing, and does not take it as new: then what is of one's
        own is told as ever.
        """
        user_id, conversation_id = key
        if any(device.may_sync(conversation_id) for device in self._devices(user_id)):
            self.want(key)
        else:
            self.note(key, version)

    def clear(self) -> None:
        self._told.clear()

    async def tell(
        self, pull: Callable[[Mapping[Key, int | None]], Awaitable[list[PulledOwn]]]
    ) -> None:
        """Tell what waits; what could not be read waits again."""
        wanted, self._wanted = self._wanted, {}
        if len(wanted) > MOST_AT_ONCE:
            self._resync(wanted)
        if not wanted or len(wanted) > MOST_AT_ONCE:
            return
        try:
            found = await pull({key: self._told.get(key) for key in wanted})
        except Exception:
            self._wanted = wanted | self._wanted
            raise
        for pulled in found:
            for where, version in pulled.versions.items():
                self.note((pulled.user_id, where), version)
            for connection in list(self._devices(pulled.user_id)):
                for frame in pulled.frames:
                    connection.offer(frame)

    def _resync(self, wanted: Mapping[Key, int | None]) -> None:
        frame = event("resync", timezone.now(), content={})
        for user_id in {user_id for user_id, _ in wanted}:
            for connection in list(self._devices(user_id)):
                connection.offer(frame)
        for key, version in wanted.items():
            if version is not None:
                self.note(key, version)


def pull_own(wanted: Mapping[Key, int | None], *, settled: int) -> list[PulledOwn]:
    """Return what is new of these people in these conversations after a version; of each person,
    all in one state.

    None is the version of when generation ``settled`` was settled.
    """
    by_person: dict[UUID, dict[UUID, int | None]] = defaultdict(dict)
    for (user_id, conversation_id), version in wanted.items():
        by_person[user_id][conversation_id] = version
    found = []
    for user_id, told in by_person.items():
        # A message read by one watermark, beside another, would never be put right.
        with snapshot():
            found.append(_of(user_id, told, settled))
    return found


def _of(user_id: UUID, told: Mapping[UUID, int | None], settled: int) -> PulledOwn:
    rows = changes.participations(user_id, told)
    unknown = [mine for where, mine in rows.items() if told[where] is None]
    since = {where: known.version for where, known in _known(user_id, unknown, settled)}
    since |= {where: version for where, version in told.items() if version is not None}
    here = {where: mine for where, mine in rows.items() if mine.left_at is None}
    known = [(mine, Known(mine.conversation.revision, since[w])) for w, mine in here.items()]
    marks = changes.changed_marks(user_id, known, MOST_MARKS + 1)
    changed = [(where, mark) for where, found in marks.items() for mark in found]
    now = timezone.now()
    if len(changed) > MOST_MARKS or len(here) > MOST_PLACES:
        frames = [event("resync", now, content={})]
    else:
        frames = [*_placed(user_id, here, now), *_marked(user_id, changed, now)]
    frames.append(_total(user_id, now))
    versions = {where: mine.version for where, mine in rows.items()}
    revisions = {where: mine.conversation.revision for where, mine in rows.items()}
    return PulledOwn(user_id, versions, revisions, frames)


def _known(user_id: UUID, unknown: list[Participant], settled: int) -> Iterable[tuple[UUID, Known]]:
    return changes.known_at(user_id, unknown, settled).items() if unknown else ()


def _marked(
    user_id: UUID, changed: list[tuple[UUID, ChangedMark]], now: datetime
) -> Iterator[Frame]:
    """Tell of each message whose marks changed: how it looks now, or that it is gone."""
    kept = [mark.message_id for _, mark in changed if not mark.flags & Flag.REMOVED]
    seen = {message.message_id: message for message in see_by_id(user_id, kept)}
    senders = accounts.people(
        viewer=User(user_id=user_id), user_ids={message.sender_id for message in seen.values()}
    )
    people = wire.People.of(senders)
    for where, mark in changed:
        if mark.flags & Flag.REMOVED:
            gone = {"message_id": str(mark.message_id)}
            yield event("message.removed", now, conversation_id=where, content=gone)
        elif message := seen.get(mark.message_id):
            shown = {"message": wire.message(message, people)}
            yield event("message.changed", now, conversation_id=where, content=shown)


def _placed(user_id: UUID, here: Iterable[UUID], now: datetime) -> Iterator[Frame]:
    for where in here:
        if shown := pull.show(user_id, where):
            yield event("conversation.changed", now, conversation_id=where, content=shown)


def _total(user_id: UUID, now: datetime) -> Frame:
    total = queries.count_unread(viewer=User(user_id=user_id))
    return event("unread", now, content=wire.unread_total(total))
