"""What ``/`` answers: a page to browsers, the welcome of ``bearer_mail`` to everyone else."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from parley.dialects.bearer_mail.views import WelcomeView
from parley.web.views import start

welcome = WelcomeView.as_view()


@csrf_exempt
def front(request: HttpRequest) -> HttpResponseBase:
    """Return the start page, or the welcome if its dialect is mounted and nobody asks for HTML."""
    is_mounted = "bearer_mail" in settings.PARLEY.mounted_dialects()
    wants_page = "text/html" in request.headers.get("Accept", "")
    found: HttpResponseBase = (welcome if is_mounted and not wants_page else start)(request)
    patch_vary_headers(found, ["Accept"])
    return found
