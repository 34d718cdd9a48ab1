"""A page of a list, and the positions from which its neighbours continue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_SIZE = 50
LARGEST_SIZE = 200


@dataclass(frozen=True, slots=True)
class Position:
    """Where to continue: past ``key`` in the list's order, or before it when ``backward``.

    ``key`` holds JSON values: the sort key of the row at the edge of the page.
    """

    key: tuple[str | int, ...]
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in the list's order, and the positions of the next and the previous page, if any."""

    items: list[T]
    next: Position | None = None
    previous: Position | None = None

    @classmethod
    def cut(
        cls,
        rows: list[T],
        *,
        size: int,
        position: Position | None,
        key: Callable[[T], tuple[str | int, ...]],
    ) -> Page[T]:
        """Cut ``size + 1`` fetched rows to a page. Rows fetched backward come nearest first."""
        more = len(rows) > size
        items = rows[:size]
        backward = position is not None and position.backward
        if backward:
            items.reverse()
        if not items:
            return cls([])
        has_next, has_previous = (True, more) if backward else (more, position is not None)
        return cls(
            items,
            next=Position(key(items[-1])) if has_next else None,
            previous=Position(key(items[0]), backward=True) if has_previous else None,
        )

    def with_items(self, items: list[U]) -> Page[U]:
        """Return the same page, its items replaced by what was made of them."""
        return replace(self, items=items)  # type: ignore[arg-type, return-value]
