import errno

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import Throttled

from parley.http.refusals import as_api_exception, body_of, headers_of
from parley.kernel import errors


class Reserved(errors.Invalid):
    code = "reserved"
    message = "This name is reserved."


def caused(error, sqlstate):
    error.__cause__ = type("Cause", (Exception,), {"sqlstate": sqlstate})()
    return error


class TestRefusal:
    @pytest.mark.parametrize(
        ("refusal", "status", "kind"),
        [
            (errors.Invalid(), 400, "validation_error"),
            (errors.NotFound(), 404, "client_error"),
            (errors.NotAllowed(), 403, "client_error"),
            (errors.Conflict(), 409, "client_error"),
            (errors.Gone(), 410, "client_error"),
            (errors.Unavailable(), 503, "server_error"),
        ],
    )
    def test_is_answered_by_its_kind(self, refusal, status, kind):
        answer = as_api_exception(refusal)

        assert answer.status_code == status
        assert body_of(answer) == {
            "type": kind,
            "errors": [{"code": refusal.code, "detail": refusal.message, "attr": None}],
        }

    def test_names_its_field(self):
        [found] = body_of(as_api_exception(Reserved(attr="username")))["errors"]

        assert found == {"code": "reserved", "detail": Reserved.message, "attr": "username"}

    def test_says_when_to_try_again(self):
        assert headers_of(as_api_exception(errors.Unavailable())) == {"Retry-After": "1"}
        assert headers_of(as_api_exception(Throttled(wait=7.2))) == {"Retry-After": "8"}


class TestFault:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (OperationalError("connection is lost"), 503, "unavailable"),
            (OperationalError("database is locked"), 503, "unavailable"),
            (caused(OperationalError("too many connections"), "53300"), 503, "unavailable"),
            (InterfaceError("connection already closed"), 503, "unavailable"),
            (OperationalError("database or disk is full"), 507, "insufficient_storage"),
            (OperationalError(1114, "The table is full"), 507, "insufficient_storage"),
            (caused(OperationalError("no space"), "53100"), 507, "insufficient_storage"),
            (OSError(errno.ENOSPC, "No space left on device"), 507, "insufficient_storage"),
            (Http404(), 404, "not_found"),
            (PermissionDenied(), 403, "permission_denied"),
            (SuspiciousOperation("secret path"), 400, "parse_error"),
            (TooManyFieldsSent("secret"), 400, "parse_error"),
            (DataError("secret row"), 500, "error"),
            (RuntimeError("secret"), 500, "error"),
        ],
        ids=repr,
    )
    def test_is_answered_without_its_inside(self, error, status, code):
        answer = as_api_exception(error)
        body = body_of(answer)

        assert answer.status_code == status
        assert body["errors"][0]["code"] == code
        assert "secret" not in str(body)
