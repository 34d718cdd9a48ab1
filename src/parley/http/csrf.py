"""Whether another site may have made a browser send a request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck


class Check(CSRFCheck):
    """Django's, but that under HTTPS a Referer is demanded of forms alone.

    Programs send none. A page of another site cannot send a token in a header: browsers ask first
    whether it may, and nobody may.
    """

    def _check_referer(self, request: HttpRequest) -> None:
        is_form = request.method == "POST" and "csrfmiddlewaretoken" in request.POST
        if is_form or "HTTP_REFERER" in request.META:
            super()._check_referer(request)  # type: ignore[misc]


def why_forged(request: HttpRequest) -> str | None:
    """Return why the request may be another site's; None if it may not."""
    check = Check(lambda _request: HttpResponse())
    check.process_request(request)
    reason: Any = check.process_view(request, lambda _request: HttpResponse(), (), {})
    return None if reason is None else str(reason)
