"""How a test that commits leaves the database to the next one."""

from functools import cache

from django.core.management.color import no_style
from django.db import connection

# Migrating fills them, and nothing else does.
KEPT = {"django_content_type", "auth_permission"}


@cache
def _tables() -> list[str]:
    found = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(found) - KEPT)


def empty_tables() -> None:
    """Delete all rows, as Django's ``flush`` does, but for what that would have to write again: it
    takes longer than most tests do.
    """
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), _tables()))
