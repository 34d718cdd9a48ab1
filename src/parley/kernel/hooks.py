"""Places where a door may join a transaction of the domain without the domain knowing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Hook(Generic[T]):
    """A list of callables, called in the order in which they were joined.

    One that only writes can say what it does in SQL too, for whoever writes by one statement.
    """

    def __init__(self) -> None:
        self._callables: list[Callable[[T], None]] = []
        self._in_sql: dict[Callable[[T], None], Callable[[], str]] = {}

    def join(
        self, called: Callable[[T], None], *, in_sql: Callable[[], str] | None = None
    ) -> Callable[[T], None]:
        """Have it called; ``in_sql`` gives a statement that does the same, ``""`` for nothing."""
        if called not in self._callables:
            self._callables.append(called)
        if in_sql is not None:
            self._in_sql[called] = in_sql
        return called

    def leave(self, called: Callable[[T], None]) -> None:
        self._callables.remove(called)

    @property
    def is_joined(self) -> bool:
        return bool(self._callables)

    def in_sql(self) -> list[str] | None:
        """Return what all who joined do, in SQL; None if one of them cannot say it."""
        if not all(called in self._in_sql for called in self._callables):
            return None
        return list(filter(None, (self._in_sql[called]() for called in self._callables)))

    def __call__(self, subject: T) -> None:
        for called in self._callables:
            called(subject)
