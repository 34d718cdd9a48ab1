"""How a test that commits leaves the database to the next one."""

from functools import cache

from django.core.management.color import no_style
from django.db import connection, transaction

# Migrating fills them, and nothing else does.
KEPT = {"django_content_type", "auth_permission"}
# Rows; more are sooner gone with their table's file.
FEW = 1_000


@cache
def _tables() -> list[str]:
    found = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(found) - KEPT)


def empty_tables() -> None:
    """Delete all rows, as Django's ``flush`` does, but for what that would have to write again: it
    takes longer than most tests do.
    """
    if connection.vendor != "postgresql":
        _flush(_tables())
        return
    counts = _counts()
    if max(counts.values(), default=0) > FEW:
        _flush(_tables())
    elif counts:
        _delete(counts)


def _flush(tables: list[str]) -> None:
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))


def _counts() -> dict[str, int]:
    """Return how many rows there are where there are any, counted no further than needed."""
    each = (
        f"SELECT '{table}', count(*) FROM (SELECT FROM {table} LIMIT {FEW + 1}) AS found"  # noqa: S608
        for table in _tables()
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each))
        return {table: count for table, count in cursor.fetchall() if count}


def _delete(tables: dict[str, int]) -> None:
    """Delete what a test wrote: to truncate tables, PostgreSQL makes the files of all of them anew.

    Keys to other tables are looked at when all is deleted.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
