"""SQLite, embedded: every write of a process goes through one first-in, first-out lock.

SQLite lets one connection write at a time and makes the others poll; under load a poller starves.
Writers of this process queue here instead, and only the one whose turn it is meets SQLite's own
lock. A transaction begins ``IMMEDIATE`` (Django's option), or ``DEFERRED`` where :func:`reading`
announced a snapshot.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

READS = ("SELECT", "PRAGMA", "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Queue:
    """A lock that is handed over in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, seconds: float) -> bool:
        """Wait for the turn, at most ``seconds``; say whether it came."""
        with self._guard:
            if not self._held:
                self._held = True
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(seconds):
            return True
        with self._guard:
            if turn.is_set():  # it came in the same moment
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False


QUEUES: dict[str, Queue] = {}


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_turn = False
        self._snapshot_wanted = False

    @property
    def _queue(self) -> Queue:
        return QUEUES.setdefault(str(self.settings_dict["NAME"]), Queue())

    def _take_turn(self) -> None:
        seconds = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        if not self._queue.acquire(seconds):
            raise OperationalError("database is locked")
        self._has_turn = True

    def _give_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._queue.release()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within, a transaction that begins is a read-only snapshot that waits for no writer."""
        self._snapshot_wanted = True
        try:
            yield
        finally:
            self._snapshot_wanted = False

    def _start_transaction_under_autocommit(self) -> None:
        if self._snapshot_wanted:
            self.cursor().execute("BEGIN DEFERRED")
            return
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_turn()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._give_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._give_turn()

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=Cursor.of(self))

    @contextmanager
    def turn_for(self, sql: str) -> Iterator[None]:
        """Hold the turn for one statement that writes outside a transaction."""
        alone = self.get_autocommit() and not self.in_atomic_block and not self._has_turn
        if not alone or sql.lstrip()[:9].upper().startswith(READS):
            yield
            return
        self._take_turn()
        try:
            yield
        finally:
            self._give_turn()


class Cursor(base.SQLiteCursorWrapper):
    wrapper: DatabaseWrapper

    @classmethod
    def of(cls, wrapper: DatabaseWrapper) -> Any:
        def make(connection: Any) -> Cursor:
            cursor = cls(connection)
            cursor.wrapper = wrapper
            return cursor

        return make

    def execute(self, query: str, params: Any = None) -> Any:
        with self.wrapper.turn_for(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self.wrapper.turn_for(query):
            return super().executemany(query, param_list)
