"""What a request answers that another site may have made the browser send."""

from __future__ import annotations

from rest_framework.exceptions import APIException


class CsrfFailed(APIException):
    status_code = 403
    default_detail = "CSRF verification failed."
    default_code = "csrf_failed"
