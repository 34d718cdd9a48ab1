"""What the domain asks of a database beyond Django's ORM: transactions that retry, snapshots."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Generic, ParamSpec, TypeVar, cast
from uuid import UUID

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, transaction
from django.db.models import Model, QuerySet

from parley.kernel.errors import Unavailable

M = TypeVar("M", bound=Model)
N = TypeVar("N", bound=Model)
P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 3
HEX_DIGITS = 32
# How PostgreSQL's driver itself reads instants.
INSTANT = psycopg.adapters.types["timestamptz"].oid
INSTANT_LOADER = psycopg.adapters.get_loader(INSTANT, psycopg.pq.Format.TEXT)
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
    """Run an operation in one transaction, and again as ``in_one_statement`` does.

    Within a transaction of the caller it joins that one, and does not retry.

    :raises Unavailable: a lock was not had in time.
    """

    @functools.wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            return operation(*args, **kwargs)
        with transaction.atomic():
            return operation(*args, **kwargs)

    return in_one_statement(run)


def in_one_statement(operation: Callable[P, R]) -> Callable[P, R]:
    """Run an operation that is a transaction by itself; after a deadlock run it again, at most
    three times in all. Within a transaction of the caller it is not run again.

    :raises Unavailable: a lock was not had in time.
    """

    @functools.wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            return operation(*args, **kwargs)
        for attempt in range(1, ATTEMPTS + 1):
            try:
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
    return value if connection.features.has_native_uuid_field else value.hex


def among(column: str, ids: Collection[Any]) -> tuple[str, list[Any]]:
    """Return the condition that a column holds one of these values, and its parameters.

    On PostgreSQL it is one parameter, however many they are: a statement that it can plan once.
    """
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s)", [list(ids)]
    return f"{column} IN ({', '.join(['%s'] * len(ids))})", [*ids]


def among_rows(columns: Sequence[str], values: Collection[Sequence[Any]]) -> tuple[str, list[Any]]:
    """Return the condition that several columns together hold one of these rows, and its
    parameters: one look along an index of theirs for each row.
    """
    place = f"({', '.join(['%s'] * len(columns))})"
    listed = ", ".join([place] * len(values))
    if connection.vendor == "sqlite":  # of plain rows it would read the whole table
        listed = f"SELECT * FROM (VALUES {listed})"  # noqa: S608 - places alone
    return f"({', '.join(columns)}) IN ({listed})", [each for row in values for each in row]


def uuid_value(value: Any) -> UUID:
    """Return the UUID that a driver gave for hand-written SQL."""
    if isinstance(value, UUID):
        return value
    text = str(value)
    # The plain 32 digits that most drivers give are read in half the time so.
    return UUID(int=int(text, 16)) if len(text) == HEX_DIGITS else UUID(text)


def text_parameter(value: str) -> Any:
    """Return exact text (``ExactTextField``) as this database's driver takes it."""
    return value.encode() if connection.vendor == "mysql" else value


@functools.cache
def uuid_key() -> Callable[[UUID], Any]:
    """Return what makes of a UUID what this database's driver gives for it, and takes as well: a
    value that costs little to look up by, to compare and to hand over again.
    """
    if not connection.features.has_native_uuid_field:
        return attrgetter("hex")
    return str if connection.vendor == "mysql" else _itself


def _itself(value: UUID) -> UUID:
    return value


def uuid_reader() -> Callable[[Any], UUID]:
    """Return what reads as ``uuid_value`` does, the same value only once: for columns that hold few
    different ones.
    """
    if connection.features.has_native_uuid_field:
        return uuid_value
    return functools.cache(uuid_value)


def text_value(value: Any) -> str:
    """Return the exact text (``ExactTextField``) that a driver gave for hand-written SQL."""
    return value.decode() if isinstance(value, bytes) else value


def instant_value(value: Any) -> datetime:
    """Return the instant (UTC) that a driver gave for hand-written SQL."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def rows(
    sql: str, parameters: Sequence[Any] = (), *, by_key: bool = False
) -> list[tuple[Any, ...]]:
    """Return all rows of hand-written SQL. UUIDs and instants among the parameters are adapted.

    What is found ``by_key`` needs one plan, whatever the key: PostgreSQL makes it only once. Marks
    are not found so: their indexes begin alike, and which of them is best shows by whose they are.
    """
    with _asked(sql, adapted(parameters), by_key=by_key) as cursor:
        return list(cursor.fetchall())  # which is a tuple on MySQL


def rows_at_once(
    columns: Sequence[str], rest: str, parameters: Sequence[Any] = ()
) -> Sequence[Sequence[Any]]:
    """Return the rows of a SELECT, given by its columns and what follows them, in any order;
    instants among them are for ``instant_value``.

    With each row of its own SQLite's driver lets the interpreter go, and has to wait until a busy
    event loop gives it back; here all come as one.
    """
    if connection.vendor != "sqlite":
        return rows(f"SELECT {', '.join(columns)} {rest}", parameters)
    one = f"SELECT json_group_array(json_array({', '.join(columns)})) {rest}"
    [(found,)] = rows(one, parameters)
    return cast(list[list[Any]], json.loads(found))


@contextmanager
def _asked(sql: str, parameters: Sequence[Any], *, by_key: bool = False) -> Iterator[Any]:
    """Lend a cursor with the rows of a statement."""
    is_planned = by_key and connection.vendor == "postgresql"
    opened: Any = cast(Any, connection).planning_cursor if is_planned else connection.cursor
    with opened() as cursor:
        if connection.vendor == "postgresql":
            # Django has Python read instants, which takes longer than all else of a long list.
            cursor.adapters.register_loader(INSTANT, INSTANT_LOADER)
        cursor.execute(sql, parameters)
        yield cursor


def instances(
    model: type[M], sql: str, parameters: Sequence[Any] = (), *, by_key: bool = False
) -> list[M]:
    """Return all rows of hand-written SQL, which selects every column of a model's table, as
    instances of the model; ``by_key`` means what it does for ``rows``.

    What else it selects becomes attributes of theirs, as the driver gives it.
    """
    with _asked(sql, adapted(parameters), by_key=by_key) as cursor:
        reader = _reader(model, tuple(column[0] for column in cursor.description))
        return [reader.read(row) for row in cursor.fetchall()]


def columns(model: type[Model], table: str) -> str:
    """Return every column of a model's table, as a hand-written SELECT names them."""
    return ", ".join(f"{table}.{field.column}" for field in _fields(model))


def pairs(
    one: type[M], other: type[N], sql: str, parameters: Sequence[Any] = (), *, by_key: bool = False
) -> list[tuple[M, N]]:
    """Return all rows of hand-written SQL, which selects the ``columns`` of one model's table and
    then those of another's, as instances of both; ``by_key`` means what it does for ``rows``.
    """
    with _asked(sql, adapted(parameters), by_key=by_key) as cursor:
        names = tuple(column[0] for column in cursor.description)
        here = len(_fields(one))
        left, right = _reader(one, names[:here]), _reader(other, names[here:])
        return [(left.read(row), right.read(row[here:])) for row in cursor.fetchall()]


def _fields(model: type[Model]) -> list[Any]:
    return [cast(Any, field) for field in model._meta.concrete_fields]  # noqa: SLF001 - its documented name


@dataclass(frozen=True, slots=True)
class _Reader(Generic[M]):
    """Makes instances of rows that have their columns in one order.

    ``Manager.raw`` finds all this out with every statement, which takes longer than the statement.
    """

    model: type[M]
    names: list[str]
    # Of each field in turn: where it stands in a row, and what makes its value of the driver's.
    fields: list[tuple[int, Sequence[Callable[..., Any]], Any]]
    others: list[tuple[int, str]]

    def read(self, row: Sequence[Any]) -> M:
        values = []
        for place, converters, column in self.fields:
            value = row[place]
            for convert in converters:
                value = convert(value, column, connection)
            values.append(value)
        made = self.model.from_db(connection.alias, self.names, values)
        for place, name in self.others:
            setattr(made, name, row[place])
        return made


@functools.cache
def _reader(model: type[M], columns: Sequence[str]) -> _Reader[M]:
    fields = _fields(model)
    places = [columns.index(field.column) for field in fields]
    found = [field.get_col(field.column) for field in fields]
    return _Reader(
        model,
        [field.attname for field in fields],
        [
            (
                place,
                [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)],
                column,
            )
            for place, column in zip(places, found, strict=True)
        ],
        [(place, name) for place, name in enumerate(columns) if place not in places],
    )


def adapted(parameters: Sequence[Any]) -> list[Any]:
    """Return parameters as this database's driver takes them in hand-written SQL."""
    adapt = _adapters()
    return [adapt[type(each)](each) if type(each) in adapt else each for each in parameters]


@functools.cache
def _adapters() -> dict[type, Callable[[Any], Any]]:
    """Return what adapts values, by their type.

    Like all else here that depends on the kind of database alone, it is looked up once a process:
    Django looks for the thread's connection whenever it is asked, which takes as long as a short
    statement.
    """
    found: dict[type, Callable[[Any], Any]] = {datetime: connection.ops.adapt_datetimefield_value}
    if not connection.features.has_native_uuid_field:
        found[UUID] = attrgetter("hex")
    return found


def exactly(name: str, value: object) -> dict[str, object]:
    """Return the filter ``name = value`` for a walk that begins amid the rows with the value.

    On MySQL and MariaDB an equality is looked up by itself, and the walk comes from its far end to
    where it should begin; two bounds make one range of it. Order such a walk by the name first.
    """
    if connection.vendor == "mysql":
        return {f"{name}__gte": value, f"{name}__lte": value}
    return {name: value}


@functools.cache
def or_fail() -> str:
    """Return what stands after INSERT or UPDATE of many rows in a transaction that nothing of it
    outlives if it fails.

    SQLite else copies every page that the statement changes, to be able to undo it alone.
    """
    return "OR FAIL" if connection.vendor == "sqlite" else ""


@functools.cache
def locking_sql() -> str:
    """Return what has a hand-written SELECT lock its rows as ``locked`` does."""
    features = connection.features
    if not features.has_select_for_update:
        return ""
    return connection.ops.for_update_sql(no_key=features.has_select_for_no_key_update)


def locked(found: QuerySet[M]) -> QuerySet[M]:
    """Lock the rows to the end of the transaction, in the database's order of keys; their keys stay
    referable.
    """
    no_key = connection.features.has_select_for_no_key_update
    return found.order_by("pk").select_for_update(no_key=no_key, of=("self",) if no_key else ())


def union_all(
    parts: Sequence[QuerySet[Any, Any]], *, order: str = "", size: int | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of several sliced ``values_list`` queries in one statement, as the driver
    gives them.

    They come in no order, unless ``order`` names one, by the numbers of columns; then the first
    ``size`` of them.
    """
    compiled = []
    for part in parts:
        with suppress(EmptyResultSet):  # one of no rows is not asked for
            compiled.append(part.query.sql_with_params())
    if not compiled:
        return []
    statement = " UNION ALL ".join(
        f"SELECT * FROM ({sql}) AS part{n}"  # noqa: S608 - Django's own SQL
        for n, (sql, _) in enumerate(compiled)
    )
    statement += f" ORDER BY {order}" if order else ""
    statement += f" LIMIT {size:d}" if size is not None else ""
    with _asked(statement, [p for _, parameters in compiled for p in parameters]) as cursor:
        return cast(list[tuple[Any, ...]], cursor.fetchall())
