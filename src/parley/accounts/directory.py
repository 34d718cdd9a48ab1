"""The directory of people, and the search in it, at a cost that does not grow with their number.

A search is a prefix of the username, else of the full name, else of the last name. Each of the
three is a range of an index, walked in its order; the list is the three ranges one after the
other. Someone whom an earlier range has already shown is passed over in a later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from parley.accounts.models import SEARCHED, User, search_key
from parley.accounts.people import COLUMNS, Person, read_person, shown_to
from parley.kernel.database import rows, text_parameter, text_value
from parley.kernel.paging import Page, Position
from parley.kernel.text import check_text

KEYS = ("by_username", "by_full_name", "by_last_name")
LAST = "\U0010ffff"
# So many ranges are read for a page at most; one that ends for it still says where to go on.
MOST_READS = 8

# What each comparison, as "column operator", compares with.
Bounds = dict[str, UUID | str]

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
    person: Person
    keys: tuple[str, ...]
    spot: Spot


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

    def statement(self, piece: Range, size: int) -> tuple[str, list[Any]]:
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

    def read(self, piece: Range, size: int) -> list[Row]:
        return [_row(row, piece.place) for row in rows(*self.statement(piece, size))]

    def was_shown(self, row: Row) -> bool:
        """Whether an earlier range has this person too."""
        return any(key.startswith(self.prefix) for key in row.keys[: row.spot.place])


def _parameter(value: UUID | str) -> Any:
    return text_parameter(value) if isinstance(value, str) else value


def _row(columns: tuple[Any, ...], place: int) -> Row:
    person, keys = read_person(columns), tuple(map(text_value, columns[len(COLUMNS) :]))
    return Row(person, keys, Spot(place, keys[place], person.user_id))


def list_people(
    *, viewer: User, search: str = "", position: Position | None = None, size: int
) -> Page[Person]:
    """Return one page of the active users, by username; with a search those whose names begin so.

    :raises Invalid: the search is too long, or holds what no name can hold.
    """
    check_text(search, attr="search", longest=SEARCHED, may_be_blank=True)
    backward = position is not None and position.backward
    wanted = Search(search_key(search), backward)
    found, rest = _walk(wanted, Spot.at(position) if position else None, size)
    page = _page(found[:size], rest, backward=backward, is_first=position is None)
    return page.with_items(shown_to(viewer, [row.person for row in page.items]))


def _walk(wanted: Search, start: Spot | None, size: int) -> tuple[list[Row], Spot | None]:
    """Return the rows of a page, and the spot past which there may be more."""
    found: list[Row] = []
    last = start
    todo = wanted.ranges(start)
    for _ in range(MOST_READS):
        if not todo:
            return found, None
        piece = todo.pop(0)
        read = wanted.read(piece, size + 1)
        found += [row for row in read if not wanted.was_shown(row)]
        if len(found) > size:
            return found, found[size - 1].spot
        if len(read) > size:
            last = read[-1].spot
            todo = wanted.ranges(last)
    return found, last if todo else None


def _page(rows: list[Row], rest: Spot | None, *, backward: bool, is_first: bool) -> Page[Row]:
    onward = rest.position(backward=backward) if rest else None
    back = None if is_first or not rows else rows[0].spot.position(backward=not backward)
    if backward:
        return Page(rows[::-1], next=back, previous=onward)
    return Page(rows, next=onward, previous=back)
