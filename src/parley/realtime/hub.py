"""The hub: the live connections of this process, and how news reaches them.

It learns of changes by hints (from this process and, through the broker, from others), and pulls
what is new from the database: all conversations that wait, in one go, while further hints gather.
Once a second it looks whether a generation has settled, and at the conversations that changed in
it: so a hint that was lost costs seconds, and no broker holds any truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from parley.conversations import epochs, fence
from parley.conversations.acquaintance import sharing_with
from parley.conversations.events import Event, Type, happened
from parley.kernel.metrics import live_connections
from parley.kernel.tasks import end
from parley.kernel.threads import Threads
from parley.messaging import listening
from parley.messaging.listening import OwnChange
from parley.messaging.operations.following import keep_lists
from parley.messaging.seen import SeenMessage
from parley.realtime import pull
from parley.realtime.audiences import Audiences
from parley.realtime.broker import HERE, Broker, News
from parley.realtime.connections import CURSOR, Close, Connection, Place
from parley.realtime.frames import Frame, event
from parley.realtime.moments import Moments
from parley.realtime.own import Key, Own, PulledOwn, pull_own
from parley.realtime.presence import Presence
from parley.realtime.pull import Heard, Pulled, Want
from parley.realtime.signals import Signal
from parley.realtime.slices import Slices
from parley.realtime.tickets import still_valid

log = structlog.get_logger(__name__)

T = TypeVar("T")

TICK_S = 1.0
PULSE_S = 1.0
GATHER_S = 1.0
CHECK_S = 3.0  # how often credentials are asked for; revocation is promised within 5 s
KEEP_S = 3600.0  # how often it is asked who is in very many conversations
RECHECK_S = 300.0  # how often it is asked whom a watcher may still watch
HEARTBEAT_S = 25
LEAVING_S = 3.0  # how long clients have to take what waits, when the server ends
DOORS = 4  # handshakes at a time
MOST_TOGETHER = 200  # conversations that are read at once
MOST_COMING = 8  # who are let in, or told what they missed, at a time
MOST_COMING_TOGETHER = 64  # and where they ask the database together
MOST_HEARD = 50_000
MOST_SCANNED = 20_000
MOST_CONNECTIONS = 10  # a user
MOMENTS = {Type.READ, Type.DELIVERED}
OWN = {Type.OWN, Type.REMOVED, Type.LEFT}
DURABLE = {Type.MESSAGES, Type.CREATED, Type.CHANGED, Type.JOINED, Type.LEFT}


class TooManyConnections(Exception):
    """This user has as many live connections as one may have."""


class Hub:
    """One a process, living in the server's event loop."""

    def __init__(self, broker: Broker, *, limited: bool = True, coming: int = MOST_COMING) -> None:
        self._broker = broker
        self.limited = limited
        self._connections: dict[UUID, set[Connection]] = defaultdict(set)
        self._heard: OrderedDict[UUID, Heard] = OrderedDict()
        self._wants: dict[UUID, Want] = {}
        # Of these someone was told how their own stood at a revision that is not told of yet.
        self._ahead: dict[UUID, int] = {}
        self._own = Own(self.of)
        self._of_now = Moments(self.ask, self.tell)
        self._moments: list[News] = []
        self._news = asyncio.Event()
        self._rounds: list[asyncio.Future[None]] = []  # who waits until the wants of now are told
        self.place = Place(0, 0, "")
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = Threads("parley-hub", most=1)
        self._doors = Threads("parley-doors", most=DOORS)
        self._loop = asyncio.get_running_loop()
        self._audiences = Audiences(self._thread)
        self._is_leaving = False
        # Where thousands come back at once they wait for each other, and nobody else for them.
        self.doorway = asyncio.Semaphore(coming)
        self.presence = Presence(self.of, self.signal)

    # --- life

    async def start(self) -> None:
        """Begin to listen, to what happens here and elsewhere."""
        await self._note_place()
        live_connections.set_function(self.count)
        happened.join(self.hear_here)
        await self._broker.start(self.hear)
        works = (self._deliver, self._tick, self._check, self._recheck, self._pulse)
        for work in (*works, self._gather, self._keep_lists):
            self._tasks.append(asyncio.create_task(_for_ever(work)))

    async def send_away(self) -> None:
        """Send everyone away, to come back elsewhere or later, from the cursor they are given."""
        self._is_leaving = True
        everyone = list(self._everyone())
        for connection in everyone:
            self.beat(connection)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await asyncio.gather(*(connection.emptied() for connection in everyone))
        for connection in list(self._everyone()):
            connection.close(Close.GOING_AWAY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                while self._connections:  # noqa: ASYNC110 - it happens once
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Send everyone away and end."""
        happened.leave(self.hear_here)
        await self.send_away()
        await end(self._tasks)
        self._audiences.close()
        await self._broker.stop()
        await self._thread.close()
        await self._doors.close()

    async def ask(self, question: Callable[..., T], *args: Any, **named: Any) -> T:
        """Ask the database for a connection; nothing that is delivered waits for it."""
        return await self._doors.ask(partial(question, *args, **named))

    # --- connections

    @property
    def online(self) -> frozenset[UUID]:
        return frozenset(self._connections)

    def count(self) -> int:
        """Return how many connections there are, in any thread."""
        return sum(map(len, list(self._connections.values())))

    def _everyone(self) -> Iterable[Connection]:
        return (c for connections in list(self._connections.values()) for c in list(connections))

    def of(self, user_id: UUID) -> Collection[Connection]:
        return self._connections.get(user_id, ())

    def join(self, connection: Connection) -> None:
        """Have a connection hear of everything from now on.

        :raises TooManyConnections: the user has ten.
        """
        if self._is_leaving:
            connection.close(Close.GOING_AWAY)
        mine = self._connections[connection.user_id]
        if self.limited and len(mine) >= MOST_CONNECTIONS:
            raise TooManyConnections
        connection.place = self.place
        mine.add(connection)
        self.presence.came(connection.user_id)

    def leave(self, connection: Connection) -> None:
        mine = self._connections.get(connection.user_id, set())
        mine.discard(connection)
        if not mine:
            self._connections.pop(connection.user_id, None)
            self.presence.went(connection.user_id)

    # --- hints

    def hear_here(self, events: Sequence[Event]) -> None:
        """Take events of this process, from any thread, and pass them on to the others."""
        with contextlib.suppress(RuntimeError):  # the loop has ended; so has everyone's connection
            self._loop.call_soon_threadsafe(self._pass_on, list(events))

    def _pass_on(self, events: Sequence[Event]) -> None:
        self._broker.publish(events)
        self.hear(events)

    def hear(self, events: Iterable[News]) -> None:
        """Take events, in the loop."""
        for each in events:
            if isinstance(each, Signal) and each.kind == "presence":
                self.presence.hear(each.user_id, each.state)
            elif not self._connections or each == HERE:
                continue  # but who comes later is told who is there
            elif isinstance(each, Signal) and each.kind == "who":
                self.presence.tell_all()
            elif isinstance(each, Signal) or each.type in MOMENTS:
                self._moments.append(each)
            else:
                self._hear_change(each)
        self._news.set()

    def _hear_change(self, each: Event) -> None:
        if each.type in DURABLE:
            self._want(each.conversation_id).hints.append(each)
        if each.type in OWN:
            for user_id in each.user_ids:
                self._own.want((user_id, each.conversation_id))

    def signal(self, *signals: Signal) -> None:
        """Tell the other processes of something that nobody stores."""
        if signals:
            self._broker.publish(signals)

    def type_in(self, conversation_id: UUID, user_id: UUID) -> None:
        """Someone is typing, on a connection of this process."""
        signal = Signal("typing", user_id, conversation_id)
        self.signal(signal)
        self.hear([signal])

    def _want(self, conversation_id: UUID) -> Want:
        heard = self._heard.get(conversation_id)
        return self._wants.setdefault(conversation_id, Want(conversation_id, heard))

    # --- delivering

    async def _deliver(self) -> None:
        await self._news.wait()
        self._news.clear()
        wants, self._wants = self._wants, {}
        moments, self._moments = self._moments, []
        rounds, self._rounds = self._rounds, []
        try:
            if wants:
                await self._tell_changes([*wants.values()])
            await self._own.tell(self._pull_own)
        except Exception:
            for want in wants.values():  # what was not told waits again
                again = self._want(want.conversation_id)
                again.hints.extend(want.hints)
                again.least = max(again.least, want.least)
            self._moments[:0] = moments
            self._rounds += rounds
            self._news.set()
            raise
        for told in rounds:
            told.set_result(None)
        try:
            await self._of_now.tell(moments, self.online)
        except Exception:
            log.exception("what is of the moment could not be told")

    async def _tell_changes(self, waiting: list[Want]) -> None:
        for start in range(0, len(waiting), MOST_TOGETHER):
            await self._tell_some(waiting[start : start + MOST_TOGETHER])

    async def _tell_some(self, wants: list[Want]) -> None:
        try:
            await self._tell_together(wants)
        except (OperationalError, InterfaceError):
            raise  # the database is away, for all of them
        except Exception:
            log.exception("conversations could not be told together")
            for want in wants:
                await self._tell_alone(want)

    async def _tell_alone(self, want: Want) -> None:
        """Tell of one conversation; if that is the one that cannot be, its people are to sync."""
        try:
            await self._tell_together([want])
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("a conversation could not be told")
            await self.tell(self.online, event("resync", timezone.now(), content={}))

    async def _tell_together(self, wants: list[Want]) -> None:
        for want in wants:  # a pull may have come between the hint and now
            want.heard = self._heard.get(want.conversation_id)
        asked = self.online
        found = await self._pull(wants, asked)
        # Who came while we asked may have looked before what we found was there; who comes from now
        # on looks after.
        if came := self.online - asked:
            more = {each.conversation_id: each for each in await self._pull(wants, came)}
            for pulled in found:
                if pulled.conversation_id in more:
                    pulled.told.extend(more[pulled.conversation_id].until(pulled))
        for pulled in sorted(found, key=_audience):  # few do not wait for many
            self._remember(pulled)
            for told in pulled.told:
                await self.tell(told.to, told.frame)
        await asyncio.sleep(0)

    async def _pull(self, wants: Sequence[Want], online: frozenset[UUID]) -> list[Pulled]:
        found = await self._tell_said(wants, online)
        if left := _without(wants, found):
            with contextlib.suppress(psycopg.Error):  # Django's connection goes, or says why not
                found += await pull.pull_at_once(
                    left, self._audiences, online=online, is_ahead=self._is_ahead
                )
        if left := _without(wants, found):
            asked = partial(pull.pull, left, online=online, settled=self.place.settled)
            found += await self._thread.ask(asked)
        return found

    async def _tell_said(self, wants: Sequence[Want], online: frozenset[UUID]) -> list[Pulled]:
        """Return what is new of those conversations whose hints say all of it."""
        said = {
            want.conversation_id: (want, messages)
            for want in wants
            if (messages := want.said()) and not self._is_ahead(messages[0])
        }
        audiences = await self._audiences.of(said) if said else {}
        found = (
            pull.tell_said(*said[where], audience, online=online)
            for where, audience in audiences.items()
        )
        return [each for each in found if each is not None]

    def _is_ahead(self, message: SeenMessage) -> bool:
        """Whether someone may have been told already of what they did to this message."""
        return self._ahead.get(message.conversation_id, 0) >= message.revision

    async def _pull_own(self, wanted: Mapping[Key, int | None]) -> list[PulledOwn]:
        found = await self._thread.ask(partial(pull_own, wanted, settled=self.place.settled))
        for pulled in found:
            for where, revision in pulled.revisions.items():
                heard = self._heard.get(where)
                if heard is not None and heard.revision < revision:
                    self._ahead[where] = max(revision, self._ahead.get(where, 0))
        return found

    def _remember(self, pulled: Pulled) -> None:
        if self._ahead.get(pulled.conversation_id, 0) <= pulled.heard.revision:
            self._ahead.pop(pulled.conversation_id, None)
        for user_id, version in pulled.versions.items():
            self._own.note_opened((user_id, pulled.conversation_id), version)
        self._heard[pulled.conversation_id] = pulled.heard
        self._heard.move_to_end(pulled.conversation_id)
        if len(self._heard) > MOST_HEARD:
            self._heard.popitem(last=False)

    async def tell(self, user_ids: Iterable[UUID], frame: Frame) -> None:
        """Offer a frame to everyone's every connection, a slice of the loop's time at a time."""
        slices = Slices()
        for user_id in user_ids:
            for connection in list(self.of(user_id)):
                connection.offer(frame)
            await slices.breathe()

    # --- once in a while

    async def _tick(self) -> None:
        await asyncio.sleep(TICK_S)
        if not self._connections:
            await self._note_place()
            return
        told = self.place.settled
        place, changed, own = await self._thread.ask(partial(_settle, told))
        if len(changed) > MOST_SCANNED or own is None:
            await self.tell(self.online, event("resync", timezone.now(), content={}))
        elif changed or own:
            await self._look_at(changed, own, told)
        if place != self.place:
            self.place = place
            for connection in self._everyone():
                connection.settle(place)

    async def _look_at(
        self, changed: Mapping[UUID, int], own: Iterable[OwnChange], settled: int
    ) -> None:
        """Pull what was not told up to these revisions and versions."""
        for conversation_id, revision in changed.items():
            heard = self._heard.get(conversation_id)
            if heard is None or heard.revision < revision:
                want = self._want(conversation_id)
                want.least = max(want.least, revision)
        for each in own:  # of whoever is here now: some came while it was looked for
            if each.user_id in self._connections and not self._own.is_told(each):
                self._want_own(each, settled)
        told = self._loop.create_future()
        self._rounds.append(told)
        self._news.set()
        await told

    def _want_own(self, change: OwnChange, settled: int) -> None:
        """Have something told that a person changed of their own.

        To hide a direct conversation, or to open it again, is one of these, and told as a change.
        """
        if change.is_hidden or (change.was_hidden and change.joined_gen > settled):
            about = Type.LEFT if change.is_hidden else Type.CREATED
            hint = Event(about, change.conversation_id, change.revision, (change.user_id,))
            self._want(change.conversation_id).hints.append(hint)
        self._own.want((change.user_id, change.conversation_id), change.version)

    async def _pulse(self) -> None:
        """Look after the connections; one timer for all of them."""
        await asyncio.sleep(PULSE_S)
        now, slices = self._loop.time(), Slices()
        for connection in self._everyone():
            connection.pulse(now)
            await slices.breathe()

    async def _gather(self) -> None:
        await asyncio.sleep(GATHER_S)
        await self._of_now.tell_gathered(self.online)

    async def _note_place(self) -> None:
        """Nobody listens: what happens until someone does is theirs to sync."""
        place = await self._thread.ask(_place)
        if not self._connections:  # nobody came meanwhile
            self.place = place
            self._heard.clear()
            self._ahead.clear()
            self._own.clear()

    async def _check(self) -> None:
        await asyncio.sleep(CHECK_S)
        credentials = {connection.credential for connection in self._everyone()}
        if not credentials:
            return
        ended = credentials - await self.ask(still_valid, credentials)
        for connection in list(self._everyone()):  # of who came meanwhile nothing was asked
            if connection.credential in ended:
                connection.close(Close.NOT_SIGNED_IN)

    async def _recheck(self) -> None:
        """Stop telling of people with whom a watcher shares no conversation any more."""
        await asyncio.sleep(RECHECK_S)
        for connection in list(self._everyone()):
            if connection.watched:
                shared = await self.ask(sharing_with, connection.user_id, set(connection.watched))
                self.presence.keep(connection, frozenset(shared))

    # --- lists

    async def _keep_lists(self) -> None:
        """Have the lists kept ready of whoever is in very many conversations by now."""
        # Not all processes at once.
        await asyncio.sleep(random.uniform(0.5, 1.5) * KEEP_S)  # noqa: S311 - no secret
        await self.ask(keep_lists)

    # --- cursors

    def beat(self, connection: Connection) -> None:
        """Tell a connection where to resume from, once it has taken what waits."""
        connection.offer(CURSOR)


def _without(wants: Iterable[Want], found: Iterable[Pulled]) -> list[Want]:
    told = {each.conversation_id for each in found}
    return [want for want in wants if want.conversation_id not in told]


def _audience(pulled: Pulled) -> int:
    return max((len(told.to) for told in pulled.told), default=0)


async def _for_ever(work: Callable[[], Any]) -> None:
    """Do a piece of work again and again; a fault is logged, and does not end it."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("the hub stumbled and goes on")
            await asyncio.sleep(0.2)


# --- what is asked of the database


def _place() -> Place:
    """Return what is settled, and the generation and the epoch of now."""
    epochs.ensure_first()
    state = fence.state()
    return Place(state.settled, state.current, epochs.covering(state.current) or "")


def _settle(told: int) -> tuple[Place, dict[UUID, int], list[OwnChange] | None]:
    """Tick, and return the place of now, and what changed since ``told`` was settled."""
    fence.tick_if_unsettled()
    place = _place()
    settled = max(place.settled, told)
    place = replace(place, settled=settled)
    changed = listening.list_changed_since(told, most=MOST_SCANNED + 1)
    own = listening.list_own_changes(told, most=MOST_SCANNED)
    return place, changed, own
