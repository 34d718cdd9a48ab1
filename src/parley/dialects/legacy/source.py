"""Reading an older backend's database: a batch at a time, in order, and never writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import dj_database_url
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, load_backend

from parley.dialects.legacy.layouts import Layout, Table

Row = dict[str, Any]
Place = list[Any]  # the values of a table's order in the last row that was read

SCHEMES = ("sqlite", "mysql", "postgres", "postgresql")


class CannotRead(Exception):
    """The database cannot be opened, or has other tables than expected; said in a sentence."""


@contextmanager
def opened(url: str) -> Iterator[BaseDatabaseWrapper]:
    """Lend a connection to the database of a URL; what is read there is not changed.

    :raises CannotRead: there is none, or it does not let us in.
    """
    connection = _connection(url)
    try:
        connection.ensure_connection()
        yield connection
    except DatabaseError as error:
        reason = " ".join(str(error).split())
        raise CannotRead(f"The old database cannot be read: {reason}") from None
    finally:
        connection.close()


def _connection(url: str) -> BaseDatabaseWrapper:
    """Return a connection that Django knows nothing of beside its own."""
    settings: Any = connections.configure_settings({DEFAULT_DB_ALIAS: _configured(url)})
    backend: Any = load_backend(settings[DEFAULT_DB_ALIAS]["ENGINE"])
    found: BaseDatabaseWrapper = backend.DatabaseWrapper(settings[DEFAULT_DB_ALIAS])
    return found


def _configured(url: str) -> Any:
    if url.partition("://")[0] not in SCHEMES:
        raise CannotRead("Expected sqlite:///…, mysql://… or postgres://…")
    try:
        found: Any = dj_database_url.parse(url)
    except ValueError as error:
        raise CannotRead(str(error)) from None
    if not found["ENGINE"].endswith("sqlite3"):
        return found
    file = Path(found["NAME"])
    if not file.is_file():
        raise CannotRead(f"There is no database at {file}.")
    # Values as they are stored: how Django reads them is no concern of another's tables.
    options = {"detect_types": 0}
    return found | {"NAME": f"{file.absolute().as_uri()}?mode=ro", "OPTIONS": options}


class Source:
    """One backend's tables, found by their columns; ``named`` says which where several fit."""

    def __init__(
        self, connection: BaseDatabaseWrapper, layout: Layout, named: dict[str, str]
    ) -> None:
        self._connection = connection
        self.layout = layout
        with connection.cursor() as cursor:
            known = {
                name: {c.name for c in connection.introspection.get_table_description(cursor, name)}
                for name in connection.introspection.table_names(cursor)
            }
        self._names = {
            kind: _find(kind, table, known, named.get(kind))
            for kind, table in layout.tables.items()
        }

    def has(self, kind: str) -> bool:
        return self._names.get(kind) is not None

    @property
    def has_flags(self) -> bool:
        """Whether there it was known who has read what."""
        return "is_read" in self.layout.messages.columns

    def first(self) -> str:
        """Return words for its first user, by which the database is known again."""
        rows = self._batch("people", 1, None)
        return " ".join(str(rows[0][name]) for name in ("key", "at")) if rows else ""

    def count(self, kind: str) -> int:
        """Return how many rows a table has."""
        [[found]] = self._rows(f"SELECT COUNT(*) FROM {self._table(kind)}")  # noqa: S608 - quoted names
        return int(found)

    def largest(self, kind: str) -> int:
        """Return the largest integer key of a table; 0 if it is empty."""
        key = self._column(kind, "key")
        [[found]] = self._rows(f"SELECT MAX({key}) FROM {self._table(kind)}")  # noqa: S608 - as above
        return int(found or 0)

    def batches(self, kind: str, size: int, after: Place | None) -> Iterator[list[Row]]:
        """Read a table from a place on, in order of creation."""
        table = self.layout.tables[kind]
        while rows := self._batch(kind, size, after):
            yield rows
            after = place_of(table, rows[-1])

    def _batch(self, kind: str, size: int, after: Place | None) -> list[Row]:
        table = self.layout.tables[kind]
        order = [self._column(kind, name) for name in table.order]
        past = f"WHERE {_past(order)}" if after else ""
        values = _past_values(after) if after else []
        return self._read(kind, f"{past} ORDER BY {', '.join(order)} LIMIT {size:d}", values)

    def members(self, conversations: Sequence[Any]) -> dict[Any, list[Any]]:
        """Return who is in each of these conversations, in the order in which they joined."""
        return self._people_of(conversations, "members", "person", "key")

    def writers(self, conversations: Sequence[Any]) -> dict[Any, list[Any]]:
        """Return who has written in each of these conversations, in the order in which they did."""
        return self._people_of(conversations, "messages", "sender", "at")

    def _people_of(
        self, conversations: Sequence[Any], kind: str, person: str, at: str
    ) -> dict[Any, list[Any]]:
        found: dict[Any, list[Any]] = {one: [] for one in conversations}
        if not found:
            return found
        where, who, when = (self._column(kind, name) for name in ("conversation", person, at))
        sql = (
            f"SELECT {where}, {who} FROM {self._table(kind)} "  # noqa: S608 - as above
            f"WHERE {where} IN ({', '.join(['%s'] * len(found))}) "
            f"GROUP BY {where}, {who} ORDER BY MIN({when}), {who}"
        )
        for conversation, one in self._rows(sql, list(found)):
            found[conversation].append(one)
        return found

    def unread(self) -> dict[int, int]:
        """Return how much is unread, by the key of who has not read it; mail to oneself apart."""
        names = ("recipient", "sender", "is_read")
        recipient, sender, is_read = (self._column("messages", name) for name in names)
        sql = (
            f"SELECT {recipient}, COUNT(*) FROM {self._table('messages')} "  # noqa: S608 - as above
            f"WHERE NOT {is_read} AND {recipient} <> {sender} GROUP BY {recipient}"
        )
        return {int(key): int(count) for key, count in self._rows(sql)}

    def _read(self, kind: str, rest: str, values: Sequence[Any]) -> list[Row]:
        columns = self.layout.tables[kind].columns
        chosen = ", ".join(self._column(kind, name) for name in columns)
        sql = f"SELECT {chosen} FROM {self._table(kind)} {rest}"  # noqa: S608 - as above
        return [dict(zip(columns, row, strict=True)) for row in self._rows(sql, values)]

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, list(values))
            return list(cursor.fetchall())

    def _table(self, kind: str) -> str:
        return self._connection.ops.quote_name(self._names[kind] or "")

    def _column(self, kind: str, name: str) -> str:
        return self._connection.ops.quote_name(self.layout.tables[kind].columns[name])


def _find(kind: str, table: Table, known: dict[str, set[str]], named: str | None) -> str | None:
    """Return the name of the table of a kind; tokens may be missing."""
    wanted = set(table.columns.values())
    fitting = sorted((len(known[n]), n) for n in known if wanted <= known[n])
    if named is not None:
        fitting = [(size, name) for size, name in fitting if name == named]
    if not fitting:
        if kind == "tokens":
            return None
        raise CannotRead(
            f"No table of the old database holds {kind}: "
            f"expected one with {', '.join(sorted(wanted))}."
        )
    closest = [name for size, name in fitting if size == fitting[0][0]]
    if len(closest) > 1:
        raise CannotRead(
            f"Several tables could hold {kind}: {', '.join(closest)}. Say --table {kind}=… ."
        )
    return closest[0]


def _past(order: Sequence[str]) -> str:
    """Return the condition that a row comes after a place, as (a > ? OR a = ? AND b > ?)."""
    parts = []
    for n, name in enumerate(order):
        equal = [f"{earlier} = %s" for earlier in order[:n]]
        parts.append(" AND ".join([*equal, f"{name} > %s"]))
    return " OR ".join(parts)


def _past_values(after: Place) -> list[Any]:
    return [value for n in range(len(after)) for value in after[: n + 1]]


def place_of(table: Table, row: Row) -> Place:
    """Return where a row stands, in values that JSON can keep."""
    values = (row[name] for name in table.order)
    return [value if isinstance(value, int) else str(value) for value in values]


def instant(value: Any) -> datetime:
    """Return a time as it was stored; one without a zone is UTC, as Django stores them."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
