"""What holds for every request to Django, whichever door answers it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from rest_framework.exceptions import ParseError

from parley.http.parameters import MOST_DIGITS
from parley.http.problems import RequestTooLarge
from parley.http.refusals import respond
from parley.http.request_ids import HEADER, request_id

Respond = Callable[[HttpRequest], HttpResponseBase]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
PRIVATE = ("/api/", "/api-auth/", "/admin/")
REPLACEMENT = "\ufffd"


def name_requests(respond_to: Respond) -> Respond:
    """Give every request an id, or keep a sane one it brought; the answer and the log carry it."""

    def named(request: HttpRequest) -> HttpResponseBase:
        found = request_id(request.headers.get(HEADER))
        with structlog.contextvars.bound_contextvars(request_id=found):
            response = respond_to(request)
        response.headers[HEADER] = found
        return response

    return named


def protect(respond_to: Respond) -> Respond:
    """Tell browsers what an answer may load, and that nobody may frame it; a view may say
    otherwise.
    """

    def protected(request: HttpRequest) -> HttpResponseBase:
        response = respond_to(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=()"
        )
        return response

    return protected


class Moved(HttpResponsePermanentRedirect):
    """308: a 301 has clients send a GET in place of a POST, and drop what was written."""

    def __init__(self, redirect_to: str) -> None:
        super().__init__(redirect_to, preserve_request=True)


class Common(CommonMiddleware):
    """Leads an address without its last slash to the one with it, whatever the method."""

    response_redirect_class = Moved


def bound(respond_to: Respond) -> Respond:
    """Refuse bodies over the limit, and addresses with NUL or anything but UTF-8, before they are
    read.
    """

    def bounded(request: HttpRequest) -> HttpResponseBase:
        if _length(request) > settings.PARLEY.body_limit:
            return respond(RequestTooLarge(), request.path)
        if not _is_text(request):
            return respond(ParseError("The address is not text in UTF-8."), request.path)
        return respond_to(request)

    return bounded


def _length(request: HttpRequest) -> int:
    """Return the length of the body; one that came in chunks is here already, and is counted.

    REST framework takes a body without a length for an empty one.
    """
    given = request.META.get("CONTENT_LENGTH")
    if given:
        is_sane = given.isascii() and given.isdigit() and len(given) <= MOST_DIGITS
        return int(given) if is_sane else 10**MOST_DIGITS
    if "chunked" in request.headers.get("Transfer-Encoding", ""):
        request.META["CONTENT_LENGTH"] = str(len(request.body))
        return len(request.body)
    return 0


def _is_text(request: HttpRequest) -> bool:
    query = request.META.get("QUERY_STRING", "")
    try:
        asked = unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in request.path + asked and REPLACEMENT not in request.path


def keep_private(respond_to: Respond) -> Respond:
    """Let no cache keep what was answered to one person."""

    def private(request: HttpRequest) -> HttpResponseBase:
        response = respond_to(request)
        if request.path.startswith(PRIVATE):
            response.headers["Cache-Control"] = "no-store"
        return response

    return private
