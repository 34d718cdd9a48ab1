"""Who is there, for those who watch. All of it in memory, none of it stored.

Each process tells the others when someone comes or goes, and all who are there to one that begins
to listen later, or again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils import timezone

from parley.http.wire import instant_or_none
from parley.realtime.frames import Frame, event
from parley.realtime.signals import Signal

if TYPE_CHECKING:
    from parley.realtime.connections import Connection

MOST_WATCHED = 200
OFFLINE_AFTER_S = 15
MOST_REMEMBERED = 100_000
STATES = ("online", "away", "offline")


class Presence:
    """The states of the people who are connected here."""

    def __init__(self, is_here: Callable[[UUID], object], signal: Callable[..., None]) -> None:
        self._is_here = is_here
        self._signal = signal
        self._states: dict[UUID, str] = {}
        self._seen_at: dict[UUID, datetime] = {}
        self._watchers: dict[UUID, set[Connection]] = defaultdict(set)

    def state(self, user_id: UUID) -> str:
        return self._states.get(user_id, "offline")

    def came(self, user_id: UUID) -> None:
        """Someone has a connection: they are online, unless they said otherwise."""
        self._seen_at[user_id] = timezone.now()
        if self.state(user_id) == "offline":
            self.set(user_id, "online")

    def went(self, user_id: UUID) -> None:
        """Someone has no connection any more; whoever is back in a moment was never away."""
        self._seen_at[user_id] = timezone.now()
        asyncio.get_running_loop().call_later(OFFLINE_AFTER_S, self._gone, user_id)

    def _gone(self, user_id: UUID) -> None:
        if not self._is_here(user_id):
            self.set(user_id, "offline")

    def set(self, user_id: UUID, state: str) -> None:
        """Note the state of someone who is connected here, and tell every process."""
        if self.state(user_id) != state:
            self._note(user_id, state)
            self._signal(Signal("presence", user_id, state=state))

    def hear(self, user_id: UUID, state: str) -> None:
        """Note what another process says: who is gone from there may still be here."""
        if state != "offline" or not self._is_here(user_id):
            self._note(user_id, state)

    def _note(self, user_id: UUID, state: str) -> None:
        """Note a state, and tell those who watch here."""
        is_known = self.state(user_id) == state
        self._states[user_id] = state
        if state == "offline":
            self._states.pop(user_id)  # who is connected may say so, too
        self._seen_at.pop(user_id, None)  # to the end: the oldest are forgotten first
        self._seen_at[user_id] = timezone.now()
        while len(self._seen_at) > MOST_REMEMBERED:
            oldest = next(iter(self._seen_at))
            self._seen_at.pop(oldest)
            self._states.pop(oldest, None)
        for connection in [] if is_known else list(self._watchers.get(user_id, ())):
            connection.offer(self._frame(user_id))

    def tell_all(self) -> None:
        """Tell the other processes of everyone who is connected here."""
        here = [(user, state) for user, state in self._states.items() if self._is_here(user)]
        self._signal(*(Signal("presence", user, state=state) for user, state in here))

    def watch(self, connection: Connection, user_ids: frozenset[UUID]) -> None:
        """Have a connection told of these people's states, now and from now on."""
        self.unwatch(connection)
        connection.watched = user_ids
        for user_id in user_ids:
            self._watchers[user_id].add(connection)
            connection.offer(self._frame(user_id))

    def unwatch(self, connection: Connection) -> None:
        self.keep(connection, frozenset())

    def keep(self, connection: Connection, user_ids: frozenset[UUID]) -> None:
        """Have a connection told of these of the people it watches, and of nobody else."""
        for user_id in connection.watched - user_ids:
            self._watchers[user_id].discard(connection)
            if not self._watchers[user_id]:
                self._watchers.pop(user_id, None)
        connection.watched &= user_ids

    def _frame(self, user_id: UUID) -> Frame:
        content = {
            "user_id": str(user_id),
            "state": self.state(user_id),
            "last_seen_at": instant_or_none(self._seen_at.get(user_id)),
        }
        return event("presence", timezone.now(), content=content)
