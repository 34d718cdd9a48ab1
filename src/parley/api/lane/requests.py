"""Requests that the lane may understand: plain, in JSON, and nothing odd about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import ParseError

from parley.http.guard import Receive, Scope
from parley.http.parsers import read_json
from parley.kernel.errors import Invalid

JSON_TYPES = {b"application/json", b"application/json; charset=utf-8"}
ACCEPTED = {b"", b"*/*", b"application/json"}
PLAIN_QUERY = re.compile(rb"[A-Za-z0-9._~=&:-]*", re.ASCII)


class NotMine(Exception):
    """Django answers this one; nothing was done yet."""


@dataclass(slots=True)
class Arrived:
    """A request, read as far as needed."""

    scope: Scope
    headers: dict[bytes, bytes]
    host: str
    query: dict[str, str]
    raw: bytes = b""

    @property
    def address(self) -> str:
        """The whole address that was asked for, as Django writes it."""
        question = self.scope["query_string"].decode()
        at = f"{self.scope['scheme']}://{self.host}{self.scope['path']}"
        return f"{at}?{question}" if question else at

    @property
    def has_body(self) -> bool:
        """Whether more comes than the head; what the lane does not read it leaves alone."""
        length = self.headers.get(b"content-length", b"0")
        return length != b"0" or b"transfer-encoding" in self.headers

    def json(self) -> dict[str, Any]:
        """Return the body.

        :raises NotMine: it is nothing that can be answered well.
        """
        if self.headers.get(b"content-type", b"").lower() not in JSON_TYPES:
            raise NotMine
        try:
            return read_json(self.raw)
        except (ParseError, Invalid):
            raise NotMine from None


def arrived(scope: Scope) -> Arrived:
    """Return a request by its head.

    :raises NotMine: it wants something else than JSON, or there is something odd about it.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1")
    is_odd = (
        len(headers) != len(scope["headers"])
        or headers.get(b"accept", b"") not in ACCEPTED
        or b"x-http-method-override" in headers
        or scope.get("root_path")
        or not is_ours(host)
    )
    if is_odd:
        raise NotMine
    return Arrived(scope, headers, host, _query(scope["query_string"]))


def _query(raw: bytes) -> dict[str, str]:
    if not raw:
        return {}
    if not PLAIN_QUERY.fullmatch(raw):
        raise NotMine
    pairs = parse_qsl(raw.decode(), keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotMine
    return found


@lru_cache(maxsize=256)
def is_ours(host: str) -> bool:
    """Whether the server goes by this name, as Django sees it."""
    domain, port = split_domain_port(host)
    allowed = settings.ALLOWED_HOSTS
    return bool(domain) and validate_host(domain, allowed) and (not port or port.isdigit())


async def read_body(receive: Receive) -> bytes:
    """Return a request's body; the guard has bounded it.

    :raises NotMine: the client went away.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise NotMine
