"""Who opens a live connection: the three proofs of identity, from an ASGI scope."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from parley.accounts.credentials import Proof
from parley.http.authentication import (
    BearerAuthentication,
    Proved,
    SessionAuthentication,
    TokenAuthentication,
)

Scope = MutableMapping[str, Any]
SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


class ForeignOrigin(PermissionDenied):
    """A cookie proves who it is, but not that the page that opens the connection is ours."""

    default_code = "foreign_origin"
    default_detail = "Cookies are taken from pages of this site only."


def prove(scope: Scope, *, strict_origin: bool) -> Proved | None:
    """Return who opens the connection, and by what; None where nothing is given.

    With ``strict_origin`` a session cookie counts only beside an Origin of this site.

    :raises TokenNotValid: a token is given, and proves nobody.
    :raises ForeignOrigin: the page is another site's, or says not whose.
    """
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    request = ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())
    request.session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    wrapped = Request(request)
    for way in (BearerAuthentication(), TokenAuthentication(), SessionAuthentication()):
        found = way.authenticate(wrapped)
        if found is not None:
            if strict_origin and found[1].proof is Proof.SESSION and not _is_ours(request):
                raise ForeignOrigin
            return found
    return None


def _is_ours(request: ASGIRequest) -> bool:
    origin = request.headers.get("Origin", "")
    same = f"{request.scheme}://{request.get_host()}"
    parts = urlsplit(origin)
    return bool(parts.netloc) and (origin == same or origin in settings.CSRF_TRUSTED_ORIGINS)


def live_session(key: str) -> bool:
    """Whether a session still proves an active user, as Django itself judges it."""
    request = ASGIRequest(
        {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""},
        BytesIO(),
    )
    request.session = SessionStore(key)
    return bool(get_user(request).is_authenticated)
