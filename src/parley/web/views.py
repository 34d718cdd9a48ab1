"""The start page: where a person who opens the server in a browser finds the way."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

PLACES = {
    "api": "/api/",
    "docs": "/docs/",
    "redoc": "/api/redoc/",
    "schema": "/api/schema/",
    "admin": "/admin/",
}


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """A page for people, the same addresses in JSON for everyone else."""
    if "text/html" in request.headers.get("Accept", ""):
        origin = request.build_absolute_uri("/").rstrip("/")
        response = render(request, "web/start.html", {"origin": origin})
    else:
        found = {name: request.build_absolute_uri(path) for name, path in PLACES.items()}
        response = JsonResponse(found)
    patch_vary_headers(response, ["Accept"])
    return response
