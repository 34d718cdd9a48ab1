"""Answers to those who are not let in: as any request is answered, with how to ask again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rest_framework.exceptions import APIException

from parley.http.authentication import CHALLENGE
from parley.http.refusals import content_of

HINTS = {
    401: (b"www-authenticate", CHALLENGE.encode()),
    405: (b"allow", b"GET"),
    429: (b"retry-after", b"5"),
}


async def refuse(
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
    scope: Mapping[str, Any],
    refused: APIException,
) -> None:
    """Answer a handshake or a request for events."""
    of = "websocket.http" if scope["type"] == "websocket" else "http"
    status = refused.status_code
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers += [HINTS[status]] if status in HINTS else []
    await send({"type": f"{of}.response.start", "status": status, "headers": headers})
    await send({"type": f"{of}.response.body", "body": content_of(refused, scope["path"])})
