"""One live connection: what waits to go out over it, and when it is given up."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol
from uuid import UUID

import structlog
from django.utils import timezone

from parley.accounts.credentials import Credential
from parley.messaging.cursors import LEFT, MOST_KNOWN, UNNOTED, Cursor, Known
from parley.realtime.frames import Frame, event
from parley.realtime.missed import Page

log = structlog.get_logger(__name__)

MOST_WAITING = 1_000  # frames
MOST_SYNCED = 10_000  # conversations; of others some may be said twice
MISSED_AT_ONCE = 100  # messages in a page of what was missed; each page costs as much again
LARGEST_WAITING = 2 * 1024 * 1024  # characters
SEND_S = 10.0  # how long one frame may take to leave
LIFE_S = 40.0  # how long a client that is asked may give no sign of life; a minute frees all of it


class Close(IntEnum):
    """Why the server ends a connection."""

    NOT_SIGNED_IN = 4401
    FAILED = 1011
    NO_LIFE = 4408
    TOO_LARGE = 4413
    TOO_FAST = 4429
    GOING_AWAY = 4503
    TOO_SLOW = 4510


CURSOR = Frame("cursor", "")  # it is written when it is taken


@dataclass(frozen=True, slots=True)
class Place:
    """Where the hub stands: all of generation ``settled`` and before is told."""

    settled: int
    issued_gen: int
    nonce: str


class Outlet(Protocol):
    """Where the frames of a connection go out."""

    @property
    def is_free(self) -> bool:
        """Whether a frame can be put out at once, by :meth:`put`."""

    def put(self, frame: Frame) -> None: ...

    async def send(self, frame: Frame) -> None:
        """Put out a frame as soon as there is room for it."""

    def beat(self) -> None:
        """Do what is done once in a while, that each side knows of the other."""

    def heard_at(self) -> float:
        """When the client last gave a sign of life, by the loop's clock."""

    def end(self) -> None:
        """Learn that the connection is to be closed."""


@dataclass(eq=False, slots=True)
class Connection:
    """A way for frames from the hub, which never waits, to one client, who may be slow.

    A frame goes out at once while the client keeps up; else it waits here, and a task that lives
    as long as something waits sends one after the other.

    Its cursor says what the client has *taken*, never what waits: ``given`` is what it took past
    ``place``: the revision of each conversation. What a person changed of their own is not noted;
    it comes again from the place on.
    ``synced`` are the revisions that it had by syncing; what waits of those is not said again.
    """

    user_id: UUID
    credential: Credential
    place: Place
    given: dict[UUID, int] = field(default_factory=dict)
    synced: dict[UUID, int] = field(default_factory=dict)
    watched: frozenset[UUID] = frozenset()
    is_resuming: bool = False
    close_code: Close | None = None
    _outlet: Outlet | None = None
    _beats_s: float = 0.0
    _beats_at: float = 0.0
    _blocked_at: float | None = None
    _waiting: deque[Frame | Place] | None = None  # most have none, most of the time
    _size: int = 0
    _writer: asyncio.Task[None] | None = None
    _emptied: asyncio.Future[None] | None = None
    _is_held: bool = False

    def open(self, outlet: Outlet, *, beats_s: float) -> None:
        """Begin to send what waits, and all that comes; ``beats_s`` is the time between beats."""
        self._outlet, self._beats_s = outlet, beats_s
        self._beats_at = asyncio.get_running_loop().time() + beats_s
        if self.close_code is not None:
            outlet.end()
        elif self._waiting:
            self._begin_writing()

    def begin(self, cursor: str) -> None:
        """Begin where a client has all that this fresh cursor says."""
        known = Cursor.read(cursor, self.user_id).known
        self.synced = {where: has.revision for where, has in known.items() if has.revision != LEFT}
        self.given = dict(self.synced)

    def note(self, page: Page) -> None:
        """Note what a page of sync gives to the client."""
        for given in page.conversations:
            if len(self.synced) < MOST_SYNCED:
                self.synced[given.conversation_id] = given.revision

    def may_sync(self, conversation_id: UUID) -> bool:
        """Whether the client has this conversation by a sync, or may be about to."""
        is_greeted = self._outlet is not None
        return not is_greeted or self.is_resuming or conversation_id in self.synced

    def offer(self, frame: Frame) -> None:
        """Send a frame; whoever takes too few of them is cut off, and resumes by its cursor."""
        if self.close_code is not None:
            return
        outlet = self._outlet if self._waiting is None and not self._is_held else None
        if outlet is not None and outlet.is_free:
            if taken := self._take(frame):
                outlet.put(taken)
            return
        self._wait(frame)
        self._size += len(frame.text)
        if self._size > LARGEST_WAITING or (self._waiting and len(self._waiting) > MOST_WAITING):
            self.close(Close.TOO_SLOW)

    def hold(self) -> None:
        """Have wait what is offered, while a page of what was missed is read: it may be newer than
        the page, and must not come before it.
        """
        self._is_held = True

    def go_on(self, page: Frame | None = None) -> None:
        """Send the page, then what waits."""
        self._is_held = False
        if page is not None and self._waiting is None:
            self.offer(page)
        elif page is not None and self._waiting is not None:
            self._waiting.appendleft(page)
            self._size += len(page.text)
        if self._waiting:
            self._begin_writing()

    def settle(self, place: Place) -> None:
        """Note that everything up to a place has been offered."""
        if self.close_code is not None:
            return
        if self._waiting is None:
            self._reach(place)
        elif self._waiting and isinstance(self._waiting[-1], Place):
            self._waiting[-1] = place
        else:
            self._wait(place)

    def pulse(self, now: float) -> None:
        """See, about once a second, that the client lives and takes what it is sent."""
        if self._outlet is None or self.close_code is not None:
            return
        if self._blocked_at is not None and now - self._blocked_at > SEND_S:
            self.close(Close.TOO_SLOW)
        elif now - self._outlet.heard_at() > LIFE_S:
            self.close(Close.NO_LIFE)
        elif now >= self._beats_at:
            self._beats_at = now + self._beats_s
            self._outlet.beat()

    def close(self, code: Close) -> None:
        """End it; what waits is not sent any more."""
        if self.close_code is None:
            self.close_code = code
            self._stop()
            if self._outlet is not None:
                self._outlet.end()

    def release(self) -> None:
        """Let go of everything: the client is gone."""
        self._outlet = None
        self._stop()

    async def emptied(self) -> None:
        """Wait until all that waits was taken, or the connection is to be closed."""
        while self._waiting is not None and self.close_code is None:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    # --- what waits

    def _wait(self, what: Frame | Place) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(what)
        self._begin_writing()

    def _begin_writing(self) -> None:
        if self._writer is None and self._outlet is not None and not self._is_held:
            self._writer = asyncio.get_running_loop().create_task(self._write(self._outlet))

    async def _write(self, outlet: Outlet) -> None:
        try:
            while self._waiting and not self._is_held:
                found = self._waiting.popleft()
                if isinstance(found, Place):
                    self._reach(found)
                    continue
                self._size -= len(found.text)
                if taken := self._take(found):
                    self._blocked_at = asyncio.get_running_loop().time()
                    await outlet.send(taken)
                    self._blocked_at = None
        except OSError:
            self.close(Close.FAILED)  # the client is gone
        except Exception:
            log.exception("a live connection failed")
            self.close(Close.FAILED)
        if self._is_held and self._waiting and self.close_code is None:
            self._writer = None  # it goes on behind the page
        else:
            self._stop()

    def _stop(self) -> None:
        """Nothing waits any more."""
        self._waiting, self._size, self._blocked_at = None, 0, None
        if self._writer is not None:
            if self._writer is not asyncio.current_task():
                self._writer.cancel()
            self._writer = None
        if self._emptied is not None:
            self._emptied.set_result(None)
            self._emptied = None

    def _take(self, frame: Frame) -> Frame | None:
        """Note that a frame goes out, and return it as it does; None if the client has it."""
        if self._is_synced(frame):
            return None
        self._note(frame)
        return self._written(frame)

    def cursor(self) -> str:
        """Return from where this client would resume, having what it took."""
        given = [*self.given.items()][-MOST_KNOWN:]
        known = {where: Known(revision, UNNOTED) for where, revision in given}
        place = self.place
        return Cursor(place.issued_gen, place.nonce, place.settled, known).write(self.user_id)

    def _reach(self, place: Place) -> None:
        self.place = place
        self.given.clear()
        if not self.is_resuming:
            self.synced.clear()

    def _note(self, frame: Frame) -> None:
        if frame.conversation_id is None or frame.revision is None:
            return
        revision = frame.revision if frame.is_whole else frame.revision - 1
        known = self.given.pop(frame.conversation_id, 0)
        self.given[frame.conversation_id] = max(revision, known)  # the last to be left out

    def _written(self, frame: Frame) -> Frame:
        """Fill in the cursor of the frame that carries one."""
        if frame.type != "cursor":
            return frame
        return event("cursor", timezone.now(), content={"cursor": self.cursor()})

    def _is_synced(self, frame: Frame) -> bool:
        if frame.type == "cursor":
            return self.is_resuming  # what it missed is still on its way
        if frame.conversation_id is None or frame.revision is None:
            return False
        synced = self.synced.get(frame.conversation_id, -1)
        if frame.type in {"conversation.created", "participant.left"} and not frame.is_guess:
            return frame.revision < synced  # a direct one opens and hides without a revision
        return frame.revision <= synced
