"""One live connection: what waits to go out over it, and when it is given up."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

from parley.accounts.credentials import Credential
from parley.realtime.frames import Frame

MOST_WAITING = 1_000  # frames
LARGEST_WAITING = 4 * 1024 * 1024  # characters


class Close(IntEnum):
    """Why the server ends a connection."""

    NOT_SIGNED_IN = 4401
    NO_LIFE = 4408
    TOO_LARGE = 4413
    TOO_FAST = 4429
    GOING_AWAY = 4503
    TOO_SLOW = 4510


@dataclass(eq=False, slots=True)
class Connection:
    """A queue of frames between the hub, which never waits, and one client, who may be slow.

    ``given`` is what this connection has had past the settled generation: the revision of each
    conversation and the version of the person's own row. ``synced`` are the revisions that it had
    by syncing; what waits of those and before is not said again.
    """

    user_id: UUID
    credential: Credential
    given: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    synced: dict[UUID, int] = field(default_factory=dict)
    watched: frozenset[UUID] = frozenset()
    close_code: Close | None = None
    _waiting: deque[Frame] = field(default_factory=deque)
    _size: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, frame: Frame, version: int | None = None) -> None:
        """Queue a frame; whoever takes too few of them is cut off, and resumes by its cursor."""
        if self.close_code is not None:
            return
        if frame.conversation_id is not None and frame.revision is not None:
            known, _ = self.given.get(frame.conversation_id, (0, 0))
            revision = max(known, frame.revision)
            self.given[frame.conversation_id] = (revision, version or 0)
        self._waiting.append(frame)
        self._size += len(frame.text)
        if len(self._waiting) > MOST_WAITING or self._size > LARGEST_WAITING:
            self.close(Close.TOO_SLOW)
        self._news.set()

    def close(self, code: Close) -> None:
        """End it; what waits is not sent any more."""
        if self.close_code is None:
            self.close_code = code
            self._waiting.clear()
            self._news.set()

    async def next(self) -> Frame | None:
        """Wait for the next frame; None when the connection is to be closed."""
        while self.close_code is None:
            if self._waiting:
                frame = self._waiting.popleft()
                self._size -= len(frame.text)
                if not self._is_synced(frame):
                    return frame
                continue
            self._news.clear()
            await self._news.wait()
        return None

    def _is_synced(self, frame: Frame) -> bool:
        if frame.conversation_id is None or frame.revision is None:
            return False
        return frame.revision <= self.synced.get(frame.conversation_id, -1)
