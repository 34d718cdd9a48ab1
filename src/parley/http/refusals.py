"""Refusals and faults become answers: a status, a code, words, and never an inside.

Every answer has the shape of drf-standardized-errors: ``{type, errors: [{code, detail, attr}]}``.
What the domain refuses is mapped by its kind; a database that is away answers 503, a full disk 507;
what nobody foresaw is logged and answers 500.
"""

from __future__ import annotations

import errno
import json
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from django.core import signals
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.db.utils import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.views import csrf, defaults
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ExceptionHandlerContext
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    NotFound,
    ParseError,
    ValidationError,
)
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.response import Response

from parley.http.problems import RETRY_AFTER_S, Away, CsrfFailed, Full, Refused, RequestTooLarge
from parley.http.voices import voice_of
from parley.http.wire import Json
from parley.kernel import errors

logger = logging.getLogger(__name__)

STATUSES: dict[type[errors.Refusal], int] = {
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.Unavailable: 503,
}
# SQLSTATE of PostgreSQL; numbers of MySQL and MariaDB: disk full, table full.
FULL = {"53100", 1021, 1114}


# What else is an answer, by its kind; the first that fits counts.
ANSWERS: tuple[tuple[type[BaseException], Callable[[], APIException]], ...] = (
    (Http404, NotFound),
    (PermissionDenied, Forbidden),
    (RequestDataTooBig, RequestTooLarge),
    (SuspiciousOperation, partial(ParseError, "The request is malformed.")),
    (BadRequest, partial(ParseError, "The request is malformed.")),
    (MultiPartParserError, partial(ParseError, "The request is malformed.")),
    (OperationalError, Away),
    (InterfaceError, Away),
)


def as_api_exception(error: BaseException) -> APIException:
    """Return the answer to an exception, as an exception that says its status."""
    if isinstance(error, APIException):
        return error
    if isinstance(error, errors.Refusal):
        return _of_refusal(error)
    if _is_full(error):
        return Full()
    for kind, answer in ANSWERS:
        if isinstance(error, kind):
            return answer()
    return APIException("Server Error (500)")


def _of_refusal(refusal: errors.Refusal) -> APIException:
    detail = ErrorDetail(refusal.detail, refusal.code)
    if isinstance(refusal, errors.Invalid):
        return ValidationError([detail] if refusal.attr is None else {refusal.attr: [detail]})
    status = next(code for kind, code in STATUSES.items() if isinstance(refusal, kind))
    answer = Refused(detail, refusal.code)
    answer.status_code = status
    answer.wait = RETRY_AFTER_S if isinstance(refusal, errors.Unavailable) else None
    return answer


def _is_full(error: BaseException) -> bool:
    """Whether a disk had no room left, whoever says so."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not isinstance(error, DatabaseError):
        return False
    code = error.args[0] if error.args else None
    state = getattr(error.__cause__, "sqlstate", None)
    return bool({code, state} & FULL) or "disk is full" in str(error)


def body_of(answer: APIException, error: BaseException | None = None) -> Json:
    """Return the error object of an answer."""
    context = cast(ExceptionHandlerContext, {})
    return cast(Json, ExceptionFormatter(answer, context, cast(Any, error or answer)).run())


def headers_of(answer: APIException) -> dict[str, str]:
    """Return what its headers say besides: when to try again, how to sign in."""
    wait, challenge = getattr(answer, "wait", None), getattr(answer, "auth_header", None)
    found = {"Retry-After": f"{wait:.0f}"} if wait else {}
    return found | ({"WWW-Authenticate": challenge} if challenge else {})


class Handler(ExceptionHandler):
    """What REST framework calls with every exception of a view."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        answer = as_api_exception(exc)
        # Left as it is, so that Django's debug pages can show it in development.
        return exc if is_unforeseen(answer) and not isinstance(exc, APIException) else answer

    def report_exception(self, exc: APIException, response: Response) -> None:
        request = self.context["request"]
        report(self.exc, exc, getattr(request, "_request", request))


def is_unforeseen(answer: APIException) -> bool:
    return answer.status_code == APIException.status_code


def report(error: BaseException, answer: APIException, request: HttpRequest | None) -> None:
    """Log a fault; a refusal is none. Whoever watches for exceptions hears of what was not
    foreseen.
    """
    if isinstance(error, errors.Refusal) or answer.status_code < APIException.status_code:
        return
    where = f"{request.method} {request.path}" if request else "a request"
    if is_unforeseen(answer):
        logger.error("Unforeseen failure of %s", where, exc_info=error)
        signals.got_request_exception.send(sender=None, request=request)
    else:
        logger.warning("%s answers %d: %s", where, answer.status_code, error)


# --- outside REST framework's views
# -----------------------------------------------------------------------------


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def wants_html(request: HttpRequest) -> bool:
    """Whether a person looks at it, at an address that is not an API's."""
    if is_api(request) or voice_of(request.path):
        return False
    return "text/html" in request.headers.get("Accept", "")


def content_of(answer: APIException, path: str) -> bytes:
    """Return the body of an answer in JSON, in the words of the door that the path leads to."""
    voice = voice_of(path)
    if voice is not None:
        return voice(answer)
    return json.dumps(body_of(answer), ensure_ascii=False, separators=(",", ":")).encode()


def respond(answer: APIException, path: str) -> HttpResponse:
    """Return the answer to a request at this path as a response in JSON."""
    return HttpResponse(
        content_of(answer, path),
        status=answer.status_code,
        headers=headers_of(answer),
        content_type="application/json",
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if wants_html(request):
        return defaults.bad_request(request, exception)
    return respond(as_api_exception(exception), request.path)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if wants_html(request):
        return defaults.permission_denied(request, exception)
    return respond(Forbidden(), request.path)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if wants_html(request):
        return defaults.page_not_found(request, exception)
    return respond(NotFound(), request.path)


def failed(request: HttpRequest) -> HttpResponse:
    """Answer what went wrong outside the views; Django has logged it."""
    error = sys.exc_info()[1] or RuntimeError()
    answer = as_api_exception(error)
    if wants_html(request) and is_unforeseen(answer):
        return defaults.server_error(request)
    return respond(answer, request.path)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if wants_html(request):
        return csrf.csrf_failure(request, reason)
    return respond(CsrfFailed(f"CSRF Failed: {reason}"), request.path)
