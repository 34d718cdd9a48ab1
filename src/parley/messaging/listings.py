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
from parley.kernel.database import rows, snapshot, union_all, uuid_value
from parley.messaging.models import WIDE, Following, HeavyReader, Listing, Place, shelf

# More changes than these that are not followed yet are dearer than to look at everything.
MOST_MOVING = 1_000

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


IS_HEAVY_SQL = "SELECT 1 FROM messaging_heavyreader WHERE user_id = %s AND is_complete"


async def is_heavy(*, viewer_id: UUID) -> bool:
    """Return whether someone's listings are to be read; once they are, it is for good."""
    return bool(await async_database.rows(IS_HEAVY_SQL, [viewer_id]))


@contextmanager
def listings(viewer_id: UUID) -> Iterator[Listings | None]:
    """Give the viewer's listings for what is asked within, in one snapshot; None for whoever has
    none.
    """
    if not HeavyReader.objects.filter(user_id=viewer_id, is_complete=True).exists():
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
        self, shelves: Shelves, edge: tuple[Any, ...] | None, n: int, *, backward: bool = False
    ) -> set[UUID]:
        """Where the ``n`` nearest past (active_gen, active_at, conversation) are."""
        names = ("active_gen", "active_at", "conversation_id")
        return self._among(shelves, names, edge, n, backward=backward)

    def by_time(self, shelves: Shelves, edge: tuple[Any, ...] | None, n: int) -> set[UUID]:
        """Where the ``n`` nearest before (active_at, conversation) are."""
        return self._among(shelves, ("active_at", "conversation_id"), edge, n, backward=False)

    def changed_after(self, gen: int, conversation_id: UUID | None, n: int) -> set[UUID]:
        """Where the first ``n`` after (changed_gen, conversation) are."""
        names = ("changed_gen", "conversation_id")
        own = Listing.objects.filter(user_id=self.viewer_id)
        if conversation_id is None:
            parts = [own.filter(changed_gen__gt=gen).order_by(*names)]
        else:
            parts = _past(own, names, (gen, conversation_id), up=True)
        return self._nearest(parts, names, n, up=True)

    def unread(self, size: int) -> Iterator[Sequence[UUID]]:
        """Walk those in which something may be unread, in chunks."""
        yield from in_batches(self.moving, size)
        for number in Shelves(unread=True).numbers():
            own = Listing.objects.filter(user_id=self.viewer_id, shelf=number)
            ordered = own.order_by("-active_at", "-conversation_id")
            start, moving = 0, set(self.moving)
            while some := list(
                ordered.values_list("conversation_id", flat=True)[start : start + size]
            ):
                yield [conversation_id for conversation_id in some if conversation_id not in moving]
                start += size

    def _among(
        self,
        shelves: Shelves,
        names: Sequence[str],
        edge: tuple[Any, ...] | None,
        n: int,
        *,
        backward: bool,
    ) -> set[UUID]:
        parts: list[QuerySet[Listing]] = []
        for number in shelves.numbers():
            own = Listing.objects.filter(user_id=self.viewer_id, shelf=number)
            parts += _past(own, names, edge, up=backward)
        return self._nearest(parts, names, n, up=backward)

    def _nearest(
        self, parts: Sequence[QuerySet[Listing]], names: Sequence[str], n: int, *, up: bool
    ) -> set[UUID]:
        # What is moving may stand where it no longer belongs, and take a place.
        most = n + len(self.moving)
        order = ", ".join(
            f"{place} {'ASC' if up else 'DESC'}" for place in range(1, len(names) + 1)
        )
        walks = [part.values_list(*names)[:most] for part in parts]
        found = union_all(walks, order=order, size=most)
        return {*self.moving, *(uuid_value(row[-1]) for row in found)}


def _past(
    found: QuerySet[Listing], names: Sequence[str], edge: tuple[Any, ...] | None, *, up: bool
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
