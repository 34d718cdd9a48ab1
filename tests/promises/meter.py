"""How much a database does for a call, as a count that does not depend on the weather.

On PostgreSQL and MariaDB the rows that were read, on SQLite the steps of its machine, in hundreds.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection, transaction

ROWS_OF_POSTGRESQL = """
SELECT COALESCE(SUM(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0)), 0)
  FROM pg_stat_xact_user_tables
"""
ROWS_OF_MARIADB = """
SELECT SUM(variable_value) FROM information_schema.session_status
 WHERE variable_name LIKE 'Handler_read%'
"""


def work(call: Callable[[], object]) -> int:
    """Return what the database did for the call, in a transaction of its own."""
    call()  # what is looked up once a process is not counted
    with transaction.atomic():
        if connection.vendor == "sqlite":
            return _steps(call)
        sql = ROWS_OF_POSTGRESQL if connection.vendor == "postgresql" else ROWS_OF_MARIADB
        before = _count(sql)
        call()
        return _count(sql) - before


def _count(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


def _steps(call: Callable[[], object]) -> int:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.connection.set_progress_handler(step, 100)
    try:
        call()
    finally:
        connection.connection.set_progress_handler(None, 100)
    return steps
