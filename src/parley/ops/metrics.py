"""``/metrics``: what this process counts, in the formats that Prometheus reads."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder


@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What this process counts; it names nobody, and asks no database."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(REGISTRY), content_type=content_type)
