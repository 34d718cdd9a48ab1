"""Queries that the ORM writes once a process: writing one takes longer than answering it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from parley.kernel.database import adapted, rows

PLACES_SQL = (
    "SELECT part.* FROM unnest({arrays}) AS place ({names}) CROSS JOIN LATERAL ({sql}) part"
)


@dataclass(frozen=True, slots=True)
class Written:
    """The SQL of a ``values_list`` query that was made with values which stand for others.

    No two of those may be the same, nor be one that the query means.
    """

    sql: str
    parameters: tuple[Any, ...]

    @classmethod
    def of(cls, found: QuerySet[Any, Any]) -> Written:
        sql, parameters = found.query.sql_with_params()
        return cls(sql, tuple(parameters))

    def rows(self, meant: Mapping[Any, Any]) -> list[tuple[Any, ...]]:
        """Return the rows, as the driver gives them; ``meant`` says what each value stands for."""
        return rows(self.sql, self._asked(_by_parameter(meant)))

    def rows_of_each(
        self, meant: Mapping[Any, Any], places: Sequence[Mapping[Any, Any]]
    ) -> list[tuple[Any, ...]]:
        """Return the rows of several such queries by one statement; each place means the same
        values, UUIDs or numbers, in the same order.
        """
        shared = _by_parameter(meant)
        if connection.vendor == "postgresql":  # it plans the one part, not each
            return self._laterally(shared, places)
        statement = " UNION ALL ".join(
            f"SELECT * FROM ({self.sql}) AS part{n}"  # noqa: S608 - Django's own SQL
            for n in range(len(places))
        )
        asked = (self._asked(shared | _by_parameter(place)) for place in places)
        return rows(statement, [parameter for parameters in asked for parameter in parameters])

    def _asked(self, meant: Mapping[Any, Any]) -> list[Any]:
        return [meant.get(parameter, parameter) for parameter in self.parameters]

    def _laterally(
        self, meant: Mapping[Any, Any], places: Sequence[Mapping[Any, Any]]
    ) -> list[tuple[Any, ...]]:
        columns = {key: f"place.its{n}" for n, key in enumerate(places[0])}
        marks = [columns.get(parameter, "%s") for parameter in self.parameters]
        kinds = ["bigint" if isinstance(key, int) else "uuid" for key in columns]
        statement = PLACES_SQL.format(
            arrays=", ".join(f"%s::{kind}[]" for kind in kinds),
            names=", ".join(f"its{n}" for n in range(len(columns))),
            sql=self.sql % tuple(marks),
        )
        arrays = [[place[key] for place in places] for key in columns]
        left = [p for p in self.parameters if p not in columns]
        return rows(statement, [*arrays, *(meant.get(parameter, parameter) for parameter in left)])


def _by_parameter(meant: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the same by what the driver is given in place of each value."""
    return dict(zip(adapted(list(meant)), meant.values(), strict=True))
