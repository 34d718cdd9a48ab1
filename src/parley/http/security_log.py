"""The security log: who signed in, out, in vain; what was made and revoked. Never a secret."""

from __future__ import annotations

from uuid import UUID

import structlog
from django.http import HttpRequest

from parley.http.addresses import client_address

logger = structlog.get_logger("parley.security")


def note(
    request: HttpRequest | None, event: str, *, user_id: UUID | None = None, **facts: object
) -> None:
    """Write one line; the id of the request is in it by itself."""
    address = client_address(request) if request else None
    shown = {k: str(v) if isinstance(v, UUID) else v for k, v in facts.items()}
    logger.info(event, user_id=str(user_id) if user_id else None, address=address, **shown)
