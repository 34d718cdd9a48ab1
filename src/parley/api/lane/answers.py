"""Answers, byte by byte as Django's whole chain of middleware gives them."""

from __future__ import annotations

from typing import Any

import msgspec
from django.conf import settings

from parley.api.lane.requests import Arrived
from parley.http.guard import Send
from parley.http.middleware import POLICY
from parley.http.refusals import as_api_exception, content_of, headers_of, report
from parley.http.request_ids import HEADER, request_id

ID_HEADER = HEADER.lower().encode()
# REST framework writes these two as escapes, for old browsers that took JSON for JavaScript.
SEPARATORS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))
COMMON = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

Headers = list[tuple[bytes, bytes]]


class Answer:
    """A status, a body, and the headers that are this answer's own."""

    __slots__ = ("body", "more", "status")

    def __init__(self, status: int, body: bytes, more: Headers | None = None) -> None:
        self.status, self.body, self.more = status, body, more or []


def encode(shown: Any) -> bytes:
    """Return JSON as REST framework's renderer writes it."""
    return escape(msgspec.json.encode(shown))


def escape(body: bytes) -> bytes:
    """Escape in JSON what that renderer escapes."""
    if not body.isascii() and b"\xe2\x80" in body:  # a long text is sooner seen to be ASCII
        for raw, escaped in SEPARATORS:
            body = body.replace(raw, escaped)
    return body


def refused(error: Exception, path: str) -> Answer:
    """Return the answer to what the domain refused, or failed at; a failure is logged."""
    answer = as_api_exception(error)
    report(error, answer, None)
    more = [(name.lower().encode(), value.encode()) for name, value in headers_of(answer).items()]
    return Answer(answer.status_code, content_of(answer, path), more)


async def send_answer(
    send: Send, request: Arrived, answer: Answer, *, allow: bytes, by_session: bool
) -> None:
    """Send an answer with all its headers."""
    given = request.headers.get(ID_HEADER)
    named = request_id(given.decode("latin-1") if given else None)
    headers = [
        (b"content-type", b"application/json"),
        (b"vary", b"Accept, Cookie" if by_session else b"Accept"),
        (b"allow", allow),
        (b"cache-control", b"no-store"),
        (b"x-frame-options", b"DENY"),
        (b"content-length", str(len(answer.body)).encode()),
        *_strict_transport(request),
        *COMMON,
        *answer.more,
        (ID_HEADER, named.encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _strict_transport(request: Arrived) -> Headers:
    seconds = settings.SECURE_HSTS_SECONDS
    if not seconds or request.scope["scheme"] != "https":
        return []
    return [(b"strict-transport-security", f"max-age={seconds}".encode())]
