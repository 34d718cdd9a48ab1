"""Requests, as REST framework wraps them."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request


def plain(request: Request) -> HttpRequest:
    """Return Django's own request, which Django's own functions want."""
    found: HttpRequest = request._request  # noqa: SLF001 - it has no public name
    return found
