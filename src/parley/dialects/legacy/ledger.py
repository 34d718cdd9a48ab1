"""The book of an import: how far each table has been read, and what its keys became."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from parley.dialects.legacy.models import LegacyKey, LegacySource
from parley.dialects.legacy.source import CannotRead, Place


class Ledger:
    """The book of one source. What is written to it is written in the caller's transaction."""

    def __init__(self, source: LegacySource) -> None:
        self._source = source

    @classmethod
    def of(cls, name: str, *, dialect: str, first: str) -> Ledger:
        """Open the book of a source, or begin it.

        :raises CannotRead: the name stands for another database.
        """
        known = {"dialect": dialect, "first": first}
        source, _ = LegacySource.rows.get_or_create(name=name, defaults=known)
        if not source.first:
            source.first = first
        if (source.dialect, source.first) != (dialect, first):
            raise CannotRead(
                f"Another database was imported as {name!r} before; "
                "give this one a name with --source."
            )
        return cls(source)

    def place(self, kind: str) -> Place | None:
        """Return where the last row stands that was brought over."""
        found: Place | None = self._source.places.get(kind)
        return found

    def brought(self, kind: str) -> int:
        """Return how many rows have been brought over in all."""
        return int(self._source.brought.get(kind, 0))

    def advance(self, kind: str, place: Place, count: int) -> None:
        """Note that a table has been read up to a place."""
        places = self._source.places | {kind: place}
        brought = self._source.brought | {kind: self.brought(kind) + count}
        changed = {"places": places, "brought": brought, "first": self._source.first}
        LegacySource.rows.filter(pk=self._source.pk).update(**changed)

    def refresh(self) -> None:
        """Read the book again, after a transaction that ended either way."""
        self._source.refresh_from_db()

    def note(self, kind: str, new_ids: Mapping[Any, UUID]) -> None:
        """Note what keys became."""
        LegacyKey.rows.bulk_create(
            LegacyKey(source=self._source, kind=kind, key=str(key), new_id=new_id)
            for key, new_id in new_ids.items()
        )

    def find(self, kind: str, keys: Collection[Any]) -> dict[str, UUID]:
        """Return what these keys became, those that are known, by their text."""
        wanted = {str(key) for key in keys}
        found = LegacyKey.rows.filter(source=self._source, kind=kind, key__in=wanted)
        return dict(found.values_list("key", "new_id"))

    def walk(self, kind: str, size: int) -> Any:
        """Go through all keys of a kind, a batch at a time."""
        after = 0
        while True:
            found = LegacyKey.rows.filter(source=self._source, kind=kind, pk__gt=after)
            batch = list(found.order_by("pk").values_list("pk", "key", "new_id")[:size])
            if not batch:
                return
            yield {key: new_id for _, key, new_id in batch}
            after = batch[-1][0]
