"""What the domain asks of a database beyond Django's ORM: transactions that retry, and snapshots."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import UUIDField

from parley.kernel.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 3
DEADLOCKS = {"40P01", "40001", 1213}
TIMEOUTS = {"55P03", 1205, 3572}


def _reason(error: BaseException) -> str | int | None:
    """Return what the driver calls the error: an SQLSTATE, or a number on MySQL."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state)
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) else None


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a lock was not had in time, or not at once where NOWAIT was asked."""
    return _reason(error) in TIMEOUTS or "database is locked" in str(error)


def in_transaction(operation: Callable[P, R]) -> Callable[P, R]:
    """Run an operation in one transaction; after a deadlock run it again, at most three times in all.

    Within a transaction of the caller it joins that one, and does not retry.

    :raises Unavailable: a lock was not had in time.
    """

    @functools.wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            return operation(*args, **kwargs)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with transaction.atomic():
                    return operation(*args, **kwargs)
            except OperationalError as error:
                if _reason(error) in DEADLOCKS and attempt < ATTEMPTS:
                    continue
                if is_lock_timeout(error) or _reason(error) in DEADLOCKS:
                    raise Unavailable from error
                raise
        raise AssertionError("unreachable")

    return run


@contextmanager
def snapshot() -> Iterator[None]:
    """Read everything within from one consistent state, without waiting for writers."""
    if connection.in_atomic_block:  # the caller's transaction is the snapshot
        yield
        return
    if connection.vendor == "sqlite":
        with cast(Any, connection).reading(), transaction.atomic():
            yield
        return
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with transaction.atomic():
            yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def uuid_parameter(value: UUID) -> Any:
    """Return a UUID as this database's driver takes it in hand-written SQL."""
    return UUIDField().get_db_prep_value(value, connection)


def uuid_value(value: Any) -> UUID:
    """Return the UUID that a driver gave for hand-written SQL."""
    return value if isinstance(value, UUID) else UUID(str(value))


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of hand-written SQL. UUIDs among the parameters are adapted."""
    adapted = [uuid_parameter(p) if isinstance(p, UUID) else p for p in parameters]
    with connection.cursor() as cursor:
        cursor.execute(sql, adapted)
        return cast(list[tuple[Any, ...]], cursor.fetchall())
