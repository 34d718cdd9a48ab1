"""Whether this process is alive, and whether it can serve: for whatever looks after it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from parley.kernel import redis_servers

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0


@csrf_exempt
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when what it depends on answers, else 503 with the names of what does not."""
    failing = [name for name, answers in checks().items() if not answers()]
    if failing:
        return JsonResponse(
            {"status": "unavailable", "failing": failing}, status=503, headers={"Retry-After": "1"}
        )
    return JsonResponse({"status": "ok"})


def checks() -> dict[str, Callable[[], bool]]:
    """Return by name what has to answer."""
    found = {"database": database_answers}
    return found | {"redis": redis_answers} if settings.PARLEY.redis_url else found


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        logger.warning("The database does not answer: %s", error)
        return False
    return True


def redis_answers() -> bool:
    """Whether Redis does; of a cluster, any node."""
    servers = redis_servers.read(str(settings.PARLEY.redis_url))
    for turn in range(servers.places):
        try:
            with servers.client(
                turn=turn, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
            ) as client:
                return bool(client.ping())
        except redis.RedisError as error:
            logger.warning("Redis does not answer: %s", error)
    return False
