"""The record of what admins do: who, what, when."""

from __future__ import annotations

from datetime import datetime

from parley.accounts.models import AuditEntry, User


def record(
    *,
    actor: User | None,
    action: str,
    target_kind: str,
    target_id: object,
    at: datetime,
    **details: object,
) -> None:
    """Write an audit entry, in the transaction of what it records; ``details`` are JSON values."""
    AuditEntry.objects.create(
        actor=actor,
        action=action,
        target_kind=target_kind,
        target_id=str(target_id),
        details=details,
        at=at,
    )
