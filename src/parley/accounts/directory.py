"""The directory of people, and the search in it, at a cost that does not grow with their number.

A search is a prefix of the username, else of the full name, else of the last name. Each of the
three is a range of an index, walked in its order; the list is the three ranges one after the
other. Someone whom an earlier range has already shown is passed over in a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from parley.accounts.models import SEARCHED, User, search_key
from parley.accounts.people import COLUMNS, Person, read_person, shown_to
from parley.kernel.database import rows, text_parameter, text_value, uuid_value
from parley.kernel.paging import Page, Position
from parley.kernel.text import check_text

KEYS = ("by_username", "by_full_name", "by_last_name")
LAST = "\U0010ffff"
# So many ranges are read for a page at most; one that ends for it still says where to go on.
MOST_READS = 8

# What each comparison, as "column operator", compares with.
Bounds = dict[str, UUID | str]
Columns = tuple[Any, ...]  # those of a person, as a driver gives them, and then the three keys
Asked = tuple[str, list[Any]]

READ_SQL = f"""
SELECT {", ".join((*COLUMNS, *KEYS))} FROM accounts_user
 WHERE {{within}} ORDER BY {{order}} LIMIT %s
"""  # noqa: S608 - names of ours


class Spot(NamedTuple):
    """A place in the list: which range, and where in it."""

    place: int
    key: str
    user_id: UUID

    @classmethod
    def at(cls, position: Position) -> Spot:
        place, key, user_id = position.key
        return cls(int(place), str(key), UUID(str(user_id)))

    def position(self, *, backward: bool) -> Position:
        return Position((self.place, self.key, str(self.user_id)), backward)


class Range(NamedTuple):
    """Rows to read in the order of one key."""

    place: int
    bounds: Bounds


class Row(NamedTuple):
    place: int
    columns: Columns

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(map(text_value, self.columns[len(COLUMNS) :]))

    @property
    def spot(self) -> Spot:
        return Spot(self.place, self.keys[self.place], uuid_value(self.columns[0]))


@dataclass(frozen=True)
class Search:
    """A prefix to look for, in one direction; the empty one is looked for in usernames alone."""

    prefix: str
    backward: bool

    def ranges(self, after: Spot | None) -> list[Range]:
        """Return what is to be read past a spot, in order; each is one range of one index."""
        if after is None:
            return self._whole(range(len(KEYS) if self.prefix else 1))
        key, way = KEYS[after.place], "<" if self.backward else ">"
        rest = self._whole(range(after.place, after.place + 1))[0]
        others = range(after.place) if self.backward else range(after.place + 1, len(KEYS))
        return [
            Range(after.place, {f"{key} =": after.key, f"user_id {way}": after.user_id}),
            Range(after.place, rest.bounds | {f"{key} {way}": after.key}),
            *(self._whole(others) if self.prefix else []),
        ]

    def _whole(self, places: range) -> list[Range]:
        ordered = reversed(places) if self.backward else places
        return [Range(place, self._bounds(KEYS[place])) for place in ordered]

    def _bounds(self, key: str) -> Bounds:
        # At least the empty text: who is deactivated has none.
        if not self.prefix:
            return {f"{key} >=": ""}
        return {f"{key} >=": self.prefix, f"{key} <": self.prefix + LAST}

    def statement(self, piece: Range, size: int) -> Asked:
        """Return what reads the first rows of a range in the direction of the walk."""
        key = KEYS[piece.place]
        # Among equal keys the key orders nothing, and MariaDB would sort for it.
        order = ["user_id"] if f"{key} =" in piece.bounds else [key, "user_id"]
        way = " DESC" if self.backward else ""
        sql = READ_SQL.format(
            within=" AND ".join(f"{bound} %s" for bound in piece.bounds),
            order=", ".join(f"{name}{way}" for name in order),
        )
        return sql, [*map(_parameter, piece.bounds.values()), size]

    def was_shown(self, row: Row) -> bool:
        """Whether an earlier range has this person too."""
        return any(key.startswith(self.prefix) for key in row.keys[: row.place])


def _parameter(value: UUID | str) -> Any:
    return text_parameter(value) if isinstance(value, str) else value


def list_people(
    *, viewer: User, search: str = "", position: Position | None = None, size: int
) -> Page[Person]:
    """Return one page of the active users, by username; with a search those whose names begin so.

    :raises Invalid: the search is too long, or holds what no name can hold.
    """
    walk = Walk(search=search, position=position, size=size)
    while asked := walk.asks():
        walk.take(rows(*asked))
    page = walk.page()
    return page.with_items(shown_to(viewer, map(read_person, page.items)))


class Walk:
    """The way to one page of the directory, whoever asks the database on it; people come as
    everyone may see them.

    :raises Invalid: as ``list_people`` does.
    """

    def __init__(self, *, search: str, position: Position | None, size: int) -> None:
        check_text(search, attr="search", longest=SEARCHED, may_be_blank=True)
        self._size, self._start = size, position
        self._wanted = Search(search_key(search), position is not None and position.backward)
        self._found: list[Row] = []
        self._last = Spot.at(position) if position else None
        self._todo = self._wanted.ranges(self._last)
        self._reads = 0

    def asks(self) -> Asked | None:
        """Return the statement whose rows are needed next; none at the end."""
        if not self._todo or self._is_full or self._reads == MOST_READS:
            return None
        return self._wanted.statement(self._todo[0], self._size + 1)

    def take(self, read: Sequence[Columns]) -> None:
        """Go on with the rows of that statement."""
        piece = self._todo.pop(0)
        self._reads += 1
        some = [Row(piece.place, columns) for columns in read]
        self._found += [row for row in some if not self._wanted.was_shown(row)]
        if len(some) > self._size and not self._is_full:
            self._last = some[-1].spot
            self._todo = self._wanted.ranges(self._last)

    def page(self) -> Page[Columns]:
        """Return what was found, and where to go on."""
        shown, backward = self._found[: self._size], self._wanted.backward
        last = shown[-1].spot if self._is_full else self._last if self._todo else None
        onward = last.position(backward=backward) if last else None
        is_first = self._start is None or not shown
        back = None if is_first else shown[0].spot.position(backward=not backward)
        items = [row.columns for row in shown]
        if backward:
            return Page(items[::-1], next=back, previous=onward)
        return Page(items, next=onward, previous=back)

    @property
    def _is_full(self) -> bool:
        return len(self._found) > self._size
