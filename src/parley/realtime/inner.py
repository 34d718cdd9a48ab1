"""Requests that a live connection makes to the canonical API on its person's behalf.

What a socket sends is thus what HTTP sends: the same checks, rates, answers and refusals.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlencode

from django.db import connection

from parley.http.authentication import INNER, Proved

Application = Callable[..., Awaitable[None]]
KEPT = {b"host", b"x-forwarded-for", b"x-forwarded-proto", b"user-agent"}
_running: set[asyncio.Future[None]] = set()


def kept(scope: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a connection that its requests bear too."""
    return [(name, value) for name, value in scope["headers"] if name in KEPT]


def asks_together(application: Application) -> bool:
    """Whether those who come at once ask the database by one statement: in the express lane, where
    the event loop can ask. Elsewhere each may take a thread, and a connection.
    """
    return connection.vendor == "postgresql" and hasattr(application, "answer")


async def proved_at_once(application: Application, scope: Mapping[str, Any]) -> Proved | None:
    """Return who opens a live connection, where the express lane stands in front and sees it by the
    header Authorization; else None.
    """
    prove = getattr(application, "prove", None)
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if prove is None or len(given) != 1:
        return None
    found: Proved | None = await prove(given[0])
    return found


async def is_heavy(application: Application, proved: Proved) -> bool | None:
    """Return whether someone reads from listings, where the express lane in front knows it since
    they were proved; else None.
    """
    known = getattr(application, "is_heavy", None)
    return None if known is None else await known(*proved)


def carrying(body: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Return what a request receives: its body, then nothing; its client never goes away."""
    is_read = False

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if is_read:
            await asyncio.Event().wait()  # whoever listens for an end is cancelled
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def call(
    application: Application,
    outer: Mapping[str, Any],
    proved: Proved,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> tuple[int, bytes]:
    """Return the status of a request and the JSON of its answer."""
    written = b"" if body is None else json.dumps(body).encode()
    headers = [
        *kept(outer),
        (b"accept", b"application/json"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(written)).encode()),
    ]
    scope = {
        "type": "http",
        "asgi": outer.get("asgi", {"version": "3.0"}),
        "http_version": "1.1",
        "method": method,
        "scheme": {"ws": "http", "wss": "https"}.get(outer["scheme"], outer["scheme"]),
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(query or {}).encode(),
        "root_path": "",
        "headers": headers,
        "client": outer.get("client"),
        "server": outer.get("server"),
        INNER: proved,
    }
    # The express lane, where it stands in front, needs no request around what it is asked.
    at_once = getattr(application, "answer", None)
    if at_once is not None and (answer := await at_once(scope, written)) is not None:
        return answer.status, answer.body
    return await _request(application, scope, written)


async def _request(
    application: Application, scope: MutableMapping[str, Any], written: bytes
) -> tuple[int, bytes]:
    status, parts = 500, []

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    # A client that goes does not stop what it asked for halfway: that would leave files open.
    running = asyncio.ensure_future(application(scope, carrying(written), send))
    _running.add(running)
    running.add_done_callback(_running.discard)
    await asyncio.shield(running)
    return status, b"".join(parts) or b"{}"
