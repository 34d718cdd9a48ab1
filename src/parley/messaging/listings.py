"""Where the lists of someone with very many conversations begin: by an index, and not by a sort.

What is returned here is never the answer, only which conversations to look for it in: the listings
that lie nearest, and every conversation that changed after what they are known to hold
(``operations.following``). The question itself is then asked of those few, in the same snapshot and
in the same words as for everyone else. So it is as exact, and a listing that is out of date costs a
row and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from parley.conversations.models import Kind
from parley.kernel import async_database
from parley.kernel.bulk import in_batches
from parley.kernel.database import instant_value, rows, snapshot, union_all, uuid_value
from parley.kernel.questions import Question
from parley.messaging.models import WIDE, Following, Listing, Place, shelf

# More changes than these that are not followed yet are dearer than to look at everything.
MOST_MOVING = 1_000

Edge = tuple[Any, ...]
BY_ACTIVITY = ("active_gen", "active_at", "conversation_id")
BY_TIME = ("active_at", "conversation_id")
BY_CHANGE = ("changed_gen", "conversation_id")

# The order of the join is said, for the few that changed come first.
JOIN = {"sqlite": "CROSS JOIN", "mysql": "STRAIGHT_JOIN"}
MOVING_SQL = """
SELECT p.conversation_id
  FROM conversations_conversation c {join} conversations_participant p
    ON p.conversation_id = c.conversation_id
 WHERE c.gen > %s AND p.user_id = %s
UNION
SELECT p.conversation_id FROM conversations_participant p WHERE p.user_id = %s AND p.gen > %s
UNION
SELECT l.conversation_id FROM messaging_listing l WHERE l.user_id = %s AND l.shelf = %s
 LIMIT %s
"""


IS_HEAVY = Question(
    "SELECT 1 FROM messaging_heavyreader WHERE user_id = %s AND is_complete", viewer_id="uuid"
)


async def is_heavy(*, viewer_id: UUID) -> bool:
    """Return whether someone's listings are to be read; once they are, it is for good."""
    return bool(await async_database.answer(IS_HEAVY, viewer_id))


def has_listings(viewer_id: UUID) -> bool:
    """Return the same where there is no event loop."""
    return bool(rows(IS_HEAVY.one, [viewer_id]))


@contextmanager
def listings(viewer_id: UUID) -> Iterator[Listings | None]:
    """Give the viewer's listings for what is asked within, in one snapshot; None for whoever has
    none.
    """
    if not has_listings(viewer_id):
        yield None
        return
    with snapshot():
        yield _read(viewer_id)


def _read(viewer_id: UUID) -> Listings | None:
    followed = Following.objects.values_list("followed", flat=True).get()
    sql = MOVING_SQL.format(join=JOIN.get(connection.vendor, "JOIN"))
    asked = [followed, viewer_id, viewer_id, followed, viewer_id, WIDE, MOST_MOVING + 1]
    moving = [uuid_value(row[0]) for row in rows(sql, asked)]
    return Listings(viewer_id, moving) if len(moving) <= MOST_MOVING else None


@dataclass(frozen=True, slots=True)
class Shelves:
    """Which of the lists: ``None`` is both."""

    archived: bool | None = None
    kind: str | None = None
    unread: bool | None = None

    def numbers(self) -> list[int]:
        places = [Place.INBOX, Place.ARCHIVED] if self.archived is None else [Place(self.archived)]
        return [
            shelf(place, unread=unread, is_group=is_group)
            for place in places
            for unread in ([False, True] if self.unread is None else [self.unread])
            for is_group in ([False, True] if self.kind is None else [self.kind == Kind.GROUP])
        ]


@dataclass(frozen=True, slots=True)
class Listings:
    """One reader's, with the conversations that are ``moving``: those are looked at every time."""

    viewer_id: UUID
    moving: list[UUID]

    def by_activity(
        self, shelves: Shelves, edge: Edge | None, n: int, *, backward: bool = False
    ) -> set[UUID]:
        """Where the ``n`` nearest past (active_gen, active_at, conversation) are."""
        parts = self._parts(shelves, BY_ACTIVITY, edge, up=backward)
        return self._with_moving(parts, BY_ACTIVITY, n, up=backward)

    def by_time(self, shelves: Shelves, edge: Edge | None, n: int) -> set[UUID]:
        """Where the ``n`` nearest before (active_at, conversation) are."""
        return self._with_moving(
            self._parts(shelves, BY_TIME, edge, up=False), BY_TIME, n, up=False
        )

    def changed_after(self, gen: int, conversation_id: UUID | None, n: int) -> set[UUID]:
        """Where the first ``n`` after (changed_gen, conversation) are."""
        own = Listing.objects.filter(user_id=self.viewer_id)
        if conversation_id is None:
            parts = [own.filter(changed_gen__gt=gen).order_by(*BY_CHANGE)]
        else:
            parts = _past(own, BY_CHANGE, (gen, conversation_id), up=True)
        return self._with_moving(parts, BY_CHANGE, n, up=True)

    def unread(self, size: int) -> Iterator[Sequence[UUID]]:
        """Walk those in which something may be unread, in chunks."""
        yield from in_batches(self.moving, size)
        moving, edge = set(self.moving), None
        while True:
            parts = self._parts(Shelves(unread=True), BY_TIME, edge, up=False)
            found = _walk(parts, BY_TIME, size, up=False)
            places = [uuid_value(row[-1]) for row in found]
            yield [place for place in places if place not in moving]
            if len(found) < size:
                return
            edge = (instant_value(found[-1][0]), places[-1])

    def _parts(
        self, shelves: Shelves, names: Sequence[str], edge: Edge | None, *, up: bool
    ) -> list[QuerySet[Listing]]:
        own = Listing.objects.filter(user_id=self.viewer_id)
        numbers = shelves.numbers()
        return [p for n in numbers for p in _past(own.filter(shelf=n), names, edge, up=up)]

    def _with_moving(
        self, parts: Sequence[QuerySet[Listing]], names: Sequence[str], n: int, *, up: bool
    ) -> set[UUID]:
        # What is moving may stand where it no longer belongs, and take a place.
        found = _walk(parts, names, n + len(self.moving), up=up)
        return {*self.moving, *(uuid_value(row[-1]) for row in found)}


def _walk(
    parts: Sequence[QuerySet[Listing]], names: Sequence[str], n: int, *, up: bool
) -> list[tuple[Any, ...]]:
    """Return the first ``n`` of all parts, by these names, in the database's order."""
    word = "ASC" if up else "DESC"
    order = ", ".join(f"{place} {word}" for place in range(1, len(names) + 1))
    return union_all([part.values_list(*names)[:n] for part in parts], order=order, size=n)


def _past(
    found: QuerySet[Listing], names: Sequence[str], edge: Edge | None, *, up: bool
) -> list[QuerySet[Listing]]:
    """Walk past an edge, in as many parts as it has numbers: each is one stretch of the index."""
    ordered = found.order_by(*(name if up else f"-{name}" for name in names))
    if edge is None:
        return [ordered]
    word = "gt" if up else "lt"
    return [
        ordered.filter(
            **dict(zip(names[:n], edge[:n], strict=True)), **{f"{name}__{word}": edge[n]}
        )
        for n, name in enumerate(names)
    ]
