"""What the database does so that what it has committed outlives a power cut."""

from __future__ import annotations

import structlog
from django.db import connection

log = structlog.get_logger(__name__)

SQLITE_LEVELS = {0: "off", 1: "normal", 2: "full", 3: "extra"}

# Of each setting, the values with which messages that were acknowledged can be lost.
RISKY = {
    "fsync": {"off"},
    "synchronous_commit": {"off"},
    "full_page_writes": {"off"},
    "innodb_flush_log_at_trx_commit": {"0", "2"},
    "synchronous": {"off", "normal"},
}


def report() -> None:
    """Log the settings, and warn of those that may cost messages."""
    found = settings()
    log.info("how the database keeps what is committed", **found)
    if risky := {name: value for name, value in found.items() if value in RISKY.get(name, ())}:
        log.warning("a power cut can cost acknowledged messages", **risky)


def settings() -> dict[str, str]:
    """Return by name what the database of now is set to."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            names = ["fsync", "synchronous_commit", "full_page_writes"]
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name", [names]
            )
            return dict(cursor.fetchall())
        if connection.vendor == "mysql":
            cursor.execute("SHOW VARIABLES LIKE 'innodb_flush_log_at_trx_commit'")
            return dict(cursor.fetchall())
        cursor.execute("PRAGMA journal_mode")
        [journal] = cursor.fetchone()
        cursor.execute("PRAGMA synchronous")
        [level] = cursor.fetchone()
        return {"journal_mode": journal, "synchronous": SQLITE_LEVELS[level]}
