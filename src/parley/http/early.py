"""Answers to requests that were not read to their end: refused while they still arrive."""

from __future__ import annotations

from http import HTTPStatus

from rest_framework.exceptions import APIException

from parley.http.middleware import POLICY
from parley.http.refusals import content_of
from parley.http.request_ids import HEADER, request_id

Headers = list[tuple[bytes, bytes]]


def early(answer: APIException, path: str, given: Headers) -> tuple[Headers, bytes]:
    """Return the headers and the body of an answer after which the connection is closed.

    ``given`` are the request's own headers, as far as they are known.
    """
    body = content_of(answer, path)
    named = next((v for k, v in given if k == HEADER.lower().encode()), b"")
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "cache-control": "no-store",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        HEADER.lower(): request_id(named.decode("latin-1")),
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


def as_http(status: int, headers: Headers, body: bytes) -> bytes:
    """Return an answer as it goes over the line."""
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
    return b"".join([first, *(b"%s: %s\r\n" % each for each in headers), b"\r\n", body])
