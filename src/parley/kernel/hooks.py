"""Places where a door may join a transaction of the domain without the domain knowing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Hook(Generic[T]):
    """A list of callables, called in the order in which they were joined."""

    def __init__(self) -> None:
        self._callables: list[Callable[[T], None]] = []

    def join(self, called: Callable[[T], None]) -> Callable[[T], None]:
        if called not in self._callables:
            self._callables.append(called)
        return called

    def leave(self, called: Callable[[T], None]) -> None:
        self._callables.remove(called)

    @property
    def is_joined(self) -> bool:
        return bool(self._callables)

    def __call__(self, subject: T) -> None:
        for called in self._callables:
            called(subject)
