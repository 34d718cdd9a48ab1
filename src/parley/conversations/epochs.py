"""Epochs: which history a cursor belongs to.

A cursor names the generation it was issued in and the nonce of the epoch that covers it. Each
process start begins an epoch that covers what comes after the current generation, so whoever starts
from a backup begins another history than the one that went on without it, and the cursors of that
one are told so. What a restore cannot tell by itself, the current generation,
:func:`begin_after_restore` declares new as well.
"""

from __future__ import annotations

import secrets

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from parley.conversations import fence
from parley.conversations.models import Epoch
from parley.kernel.database import in_transaction

# The timeline changes when a standby takes over.
POSTGRESQL_NAME = """
SELECT CONCAT(system_identifier, '/', LEFT(pg_walfile_name(pg_current_wal_lsn()), 8))
  FROM pg_control_system()
"""


def begin() -> None:
    """Begin an epoch at the start of a process; call it once the tables are there.

    Where another server than before answers (a restore, a standby that took over), the current
    generation is part of it too.
    """
    server = _server()
    _begin(server, after_current=not _is_another(server))


def begin_after_restore() -> None:
    """Begin an epoch from the current generation on: the cursors of what the backup does not know
    are over.
    """
    _begin(_server(), after_current=False)


def ensure_first() -> None:
    """Make sure that some epoch covers everything so far."""
    Epoch.objects.get_or_create(from_generation=0, defaults=_fresh(_server()))


def covering(generation: int) -> str | None:
    """Return the nonce of the epoch that covers a generation, if one does."""
    return (
        Epoch.objects.filter(from_generation__lte=generation)
        .order_by("-from_generation")
        .values_list("nonce", flat=True)
        .first()
    )


def holds(issued_gen: int, nonce: str, *, current: int) -> bool:
    """Whether what was issued in this generation, under this nonce, belongs to the history that we
    have.
    """
    return issued_gen <= current and covering(issued_gen) == nonce


@in_transaction
def _begin(server: str, *, after_current: bool) -> None:
    """Write an epoch from the current generation on, or from the one after it.

    Nobody has been given a cursor of a generation to come, so an earlier epoch that starts there
    (of a process that began in the same generation, or one found in a backup) makes room.
    """
    current = fence.hold().current
    ensure_first()
    first = current + 1 if after_current else current
    Epoch.objects.filter(from_generation__gte=first).delete()
    Epoch.objects.create(from_generation=first, **_fresh(server))


def _fresh(server: str) -> dict[str, object]:
    return {"nonce": secrets.token_hex(8), "server": server, "created_at": timezone.now()}


def _is_another(server: str) -> bool:
    known = Epoch.objects.order_by("-from_generation").values_list("server", flat=True).first()
    return bool(known and server and known != server)


def _server() -> str:
    """Return what the database server calls itself, or nothing where it does not say."""
    if connection.vendor == "sqlite":
        return ""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_name_sql())
            row = cursor.fetchone()
    except DatabaseError:  # a managed server may keep it to itself
        return ""
    return str(row[0])[:64] if row else ""


def _name_sql() -> str:
    if connection.vendor == "postgresql":
        return POSTGRESQL_NAME
    mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    return "SELECT @@server_uid" if mariadb else "SELECT @@server_uuid"
