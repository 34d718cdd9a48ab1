"""Writing very many rows at once, as fast as this database takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Field, IntegerField, Model, SmallIntegerField, TextField

STATEMENT_ROWS = 5_000
# What every driver takes as it is, and what there is most of.
PLAIN = (IntegerField, SmallIntegerField, TextField)


T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Return the items, so many at a time."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def write_rows(model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of these fields: ``COPY`` on PostgreSQL, ``INSERT`` of many elsewhere.

    Nothing is filled in: no defaults, no ``save``; the caller names all columns that need a value.
    """
    meta = model._meta  # noqa: SLF001 - Django's documented interface, for all its name
    by_name = {field.name: field for field in meta.concrete_fields}
    fields = [by_name[name] for name in names]
    quoted = connection.ops.quote_name
    table = quoted(meta.db_table)
    columns = ", ".join(quoted(str(field.column)) for field in fields)
    if connection.vendor == "postgresql":
        _copy(f"COPY {table} ({columns}) FROM STDIN", rows)
        return
    places = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 - names of ours
    _insert(statement, _prepared(fields, rows))


def renew_statistics() -> None:
    """Tell the database's planner at once what it would notice by itself in a while."""
    tables = connection.introspection.table_names()
    statement = {"postgresql": "ANALYZE", "mysql": "ANALYZE TABLE"}.get(connection.vendor)
    if statement is None:  # SQLite plans without statistics
        return
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} {', '.join(map(connection.ops.quote_name, tables))}")


def _copy(statement: str, rows: Iterable[Sequence[Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _insert(statement: str, rows: Iterator[Sequence[Any]]) -> None:
    with connection.cursor() as cursor:
        while chunk := list(islice(rows, STATEMENT_ROWS)):
            cursor.executemany(statement, chunk)


def _prepared(
    fields: Sequence[Field[Any, Any]], rows: Iterable[Sequence[Any]]
) -> Iterator[list[Any]]:
    """Put values into the form that the driver takes."""
    ways = [_preparation(field) for field in fields]
    for row in rows:
        yield [
            value if way is None or value is None else way(value)
            for way, value in zip(ways, row, strict=True)
        ]


def _preparation(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    is_plain = isinstance(field, PLAIN)
    return None if is_plain else partial(field.get_db_prep_save, connection=connection)
