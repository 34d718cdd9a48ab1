"""The fence: generations number all changes, so that a reader knows what is committed for good.

Every writing transaction holds a *shared* lock on one generation g to its commit, with ``settled <
g ≤ current``. A tick opens the next generation and takes the *exclusive* lock on each older one in
order: had it, all writers of that generation have committed, and ``settled`` rises to it. Nobody
ever waits for a lock here. So everything stamped with a generation up to ``settled`` is committed
and visible, whatever clocks and stalled writers do.

PostgreSQL takes transaction-level advisory locks, MySQL and MariaDB lock rows of ``generation``; on
SQLite ``BEGIN IMMEDIATE`` is the lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.utils import timezone

from parley.conversations.models import Conversation, Fence, Generation, Participant
from parley.kernel.database import in_transaction, instant_value, is_lock_timeout, rows
from parley.kernel.hooks import Hook

FENCE = 1
LOCK_SPACE = 0x5041524C  # "PARL": the first key of this application's advisory locks
ENTRY_ATTEMPTS = 100
TICK = timedelta(seconds=1)
# Rows of settled generations that stay on MySQL; a writer may still look at the last ones.
KEPT_GENERATIONS = 100


@dataclass(frozen=True, slots=True)
class Entered:
    """The generation whose shared lock this transaction holds, and the database's clock."""

    g: int
    now: datetime


@dataclass(frozen=True, slots=True)
class State:
    current: int
    settled: int


# Called after each tick, outside of its transactions, with where the fence stands then.
ticked: Hook[State] = Hook()

# What is stamped: a conversation with all changes in it, and what people changed of their own.
_FENCED = (Conversation.objects, Participant.objects)


def _create() -> None:
    """Make the fence's row, where this database has none yet."""
    try:
        with transaction.atomic():
            Fence.objects.create(pk=FENCE)
    except IntegrityError:  # another process was first
        pass
    _open(1)


def _open(g: int) -> None:
    """Make the row that stands for a generation's lock, where the database locks rows."""
    if connection.vendor == "mysql":
        Generation.objects.get_or_create(g=g)


def state() -> State:
    """Return where the fence stands, as this transaction sees it; without a row nothing was ever
    written.
    """
    found = Fence.objects.filter(pk=FENCE).values_list("current", "settled").first()
    return State(*found) if found else State(1, 0)


def _clock_sql() -> str:
    return {"postgresql": "clock_timestamp()", "mysql": "SYSDATE(6)"}.get(connection.vendor, "NULL")


def _look() -> tuple[int, int, datetime]:
    """Return current, settled and the database's clock in one statement."""
    sql = f"SELECT current, settled, {_clock_sql()} FROM conversations_fence WHERE id = %s"  # noqa: S608
    found = rows(sql, [FENCE], by_key=True)
    if not found:
        _create()
        return _look()
    current, settled, now = found[0]
    return current, settled, instant_value(now or timezone.now())


def try_shared(g: int) -> bool:
    """Take the shared lock on a generation to the end of this transaction, or say at once that it
    cannot be had.
    """
    if connection.vendor == "sqlite":
        return True
    if connection.vendor == "postgresql":
        return _advisory("pg_try_advisory_xact_lock_shared", g)
    share = "LOCK IN SHARE MODE" if connection.mysql_is_mariadb else "FOR SHARE"  # type: ignore[attr-defined]
    return _row_lock(share, g)


def try_exclusive(g: int) -> bool:
    """Take the exclusive lock on a generation: no transaction holds it shared any more."""
    if connection.vendor == "sqlite":
        return True
    if connection.vendor == "postgresql":
        return _advisory("pg_try_advisory_xact_lock", g)
    return _row_lock("FOR UPDATE", g)


def _advisory(function: str, g: int) -> bool:
    [(had,)] = rows(f"SELECT {function}(%s, %s)", [LOCK_SPACE, g], by_key=True)
    return bool(had)


def _row_lock(mode: str, g: int) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT g FROM conversations_generation WHERE g = %s {mode} NOWAIT",  # noqa: S608
                [g],
            )
            return cursor.fetchone() is not None
    except OperationalError as error:
        if is_lock_timeout(error):
            return False
        raise


def enter() -> Entered:
    """Hold a generation's shared lock from here to the commit; call it first in every writing
    transaction.

    A generation that was settled between the look and the lock is harmless to hold; a newer one is
    taken.

    :raises RuntimeError: there is no transaction to hold it, or no generation could be had.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a generation is entered in the transaction that it fences")
    for _ in range(ENTRY_ATTEMPTS):
        g, _settled, now = _look()
        if connection.vendor == "sqlite":  # nobody else writes until this transaction ends
            return Entered(g, now)
        if not try_shared(g):
            continue
        current, settled, _now = _look()  # a new snapshot, after the lock
        if settled < g <= current:
            return Entered(g, now)
    raise RuntimeError("the fence lets nobody in: no generation could be locked")


def tick(*, unless_within: timedelta = TICK) -> State:
    """Open the next generation and settle the older ones whose writers have all committed.

    Waits for nobody: a writer that stalls only delays ``settled``, and where another tick is under
    way this one leaves the work to it. Within ``unless_within`` of another tick it opens nothing
    new.
    """
    # Committed before an older generation is locked, so that writers find the new one.
    _open_next(unless_within)
    while _settle_oldest():
        pass
    found = state()
    ticked(found)
    return found


def tick_if_unsettled() -> State:
    """Tick where something changed in an unsettled generation; else the fence rests."""
    found = state()
    if any(what.filter(gen__gt=found.settled).exists() for what in _FENCED):
        return tick()
    return found


def hold() -> State:
    """Keep the fence where it is to the end of this transaction; writers go on all the same."""
    _look()  # creates the row where there is none
    fence = Fence.objects.select_for_update().get(pk=FENCE)
    return State(fence.current, fence.settled)


def _lock_fence() -> Fence | None:
    """Lock the fence's row, unless another tick has it."""
    can_skip = connection.features.has_select_for_update_skip_locked
    return Fence.objects.select_for_update(skip_locked=can_skip).filter(pk=FENCE).first()


@in_transaction
def _open_next(unless_within: timedelta) -> None:
    _look()  # creates the row where there is none
    fence = _lock_fence()
    now = timezone.now()
    if fence is None or _is_fresh(fence.ticked_at, now, unless_within):
        return
    _open(fence.current + 1)
    Fence.objects.filter(pk=FENCE).update(current=fence.current + 1, ticked_at=now)
    if connection.vendor == "mysql" and fence.current % KEPT_GENERATIONS == 0:
        Generation.objects.filter(g__lt=fence.settled - KEPT_GENERATIONS).delete()


def _is_fresh(ticked_at: datetime | None, now: datetime, unless_within: timedelta) -> bool:
    """Whether the last tick is so near; a clock that jumped must not stop the fence."""
    return ticked_at is not None and abs(now - ticked_at) < unless_within


@in_transaction
def _settle_oldest() -> bool:
    """Settle the oldest open generation that is not the current one, if its exclusive lock can be
    had.
    """
    fence = _lock_fence()
    if fence is None:
        return False
    g = fence.settled + 1
    if g >= fence.current:
        return False
    _open(g)  # a database that was moved here from another product has no such rows
    if not try_exclusive(g):
        return False
    Fence.objects.filter(pk=FENCE).update(settled=g)
    return True


def self_test() -> None:
    """Prove with two connections that the database, or the pooler before it, keeps our locks.

    :raises RuntimeError: it does not, in a sentence for the operator.
    """
    tick(unless_within=timedelta(0))
    if connection.vendor != "sqlite" and not _locks_are_kept():
        raise RuntimeError(
            "This database, or the pooler in front of it, does not keep locks to the end of a "
            "transaction; connect to it directly, or let the pooler pool by transaction."
        )


def _locks_are_kept() -> bool:
    """Whether what one connection holds shared can be shared by another, but not taken from it."""
    own, other = connections["default"], connections.create_connection("default")
    with transaction.atomic():
        g = enter().g
        connections["default"] = other
        try:
            with transaction.atomic():
                kept = try_shared(g) and not try_exclusive(g)
            with transaction.atomic():
                return kept and not try_exclusive(g)
        finally:  # before our own transaction ends, which would else be looked for on the other
            connections["default"] = own
            other.close()
