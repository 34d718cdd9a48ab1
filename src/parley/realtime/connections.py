"""One live connection: what waits to go out over it, and when it is given up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any
from uuid import UUID

from django.utils import timezone

from parley.accounts.credentials import Credential
from parley.messaging.cursors import LEFT, MOST_KNOWN, UNNOTED, Cursor, Known
from parley.realtime.frames import Frame, event

MOST_WAITING = 1_000  # frames
MOST_SYNCED = 10_000  # conversations; of others some may be said twice
LARGEST_WAITING = 4 * 1024 * 1024  # characters


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


@dataclass(eq=False, slots=True)
class Connection:
    """A queue of frames between the hub, which never waits, and one client, who may be slow.

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
    _waiting: deque[Frame | Place] = field(default_factory=deque)
    _size: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, cursor: str) -> None:
        """Begin where a client has all that this fresh cursor says."""
        known = Cursor.read(cursor, self.user_id).known
        self.synced = {where: has.revision for where, has in known.items() if has.revision != LEFT}
        self.given = dict(self.synced)

    def note(self, news: Mapping[str, Any]) -> None:
        """Note what a page of sync gives to the client."""
        for conversation in news["conversations"]:
            if len(self.synced) < MOST_SYNCED:
                where = UUID(conversation["conversation_id"])
                self.synced[where] = conversation["revision"]

    def offer(self, frame: Frame) -> None:
        """Queue a frame; whoever takes too few of them is cut off, and resumes by its cursor."""
        if self.close_code is not None:
            return
        self._waiting.append(frame)
        self._size += len(frame.text)
        if len(self._waiting) > MOST_WAITING or self._size > LARGEST_WAITING:
            self.close(Close.TOO_SLOW)
        self._news.set()

    def settle(self, place: Place) -> None:
        """Note that everything up to a place has been offered."""
        if self.close_code is not None:
            return
        if not self._waiting:
            self._reach(place)
        elif isinstance(self._waiting[-1], Place):
            self._waiting[-1] = place
        else:
            self._waiting.append(place)

    def close(self, code: Close) -> None:
        """End it; what waits is not sent any more."""
        if self.close_code is None:
            self.close_code = code
            self._waiting.clear()
            self._news.set()
            self._room.set()

    async def next(self) -> Frame | None:
        """Wait for the next frame; None when the connection is to be closed."""
        while self.close_code is None:
            if not self._waiting:
                self._room.set()
                self._news.clear()
                await self._news.wait()
                continue
            found = self._waiting.popleft()
            if isinstance(found, Place):
                self._reach(found)
                continue
            self._size -= len(found.text)
            if not self._is_synced(found):
                self._note(found)
                return self._written(found)
        return None

    async def emptied(self) -> None:
        """Wait until all that waits was taken, or the connection is to be closed."""
        while self._waiting and self.close_code is None:
            self._room.clear()
            await self._room.wait()

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
