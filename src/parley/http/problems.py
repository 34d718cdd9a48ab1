"""Answers that REST framework has no exception for."""

from __future__ import annotations

from rest_framework.exceptions import APIException

from parley.kernel import errors

RETRY_AFTER_S = 1


class Refused(APIException):
    """What the domain refuses; its kind decides the status."""

    wait: int | None = None


class RequestTooLarge(APIException):
    status_code = 413
    default_detail = "The request is too large."
    default_code = "request_too_large"


class AddressTooLong(APIException):
    status_code = 414
    default_detail = "The address is too long."
    default_code = "address_too_long"


class HeadersTooLarge(APIException):
    status_code = 431
    default_detail = "The headers are too large."
    default_code = "headers_too_large"


class TooSlow(APIException):
    status_code = 408
    default_detail = "The request did not arrive in time."
    default_code = "request_timeout"


class Away(APIException):
    status_code = 503
    default_detail = errors.Unavailable.message
    default_code = errors.Unavailable.code
    wait = RETRY_AFTER_S


class Full(APIException):
    status_code = 507
    default_detail = "There is no room left to store this."
    default_code = "insufficient_storage"


class CsrfFailed(APIException):
    """Another site may have made the browser send it."""

    status_code = 403
    default_detail = "CSRF verification failed."
    default_code = "csrf_failed"
