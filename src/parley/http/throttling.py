"""How often: rates of requests, sign-ups and sends, and of failed sign-ins.

Counters live in this process, or in Redis where ``REDIS_URL`` is set, so that several processes
share them. While Redis is away each process counts for itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import limits
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter
from redis import RedisError
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from parley.http.addresses import rated_address
from parley.kernel import redis_servers

T = TypeVar("T")
logger = logging.getLogger(__name__)

REDIS_PATIENCE_S = 0.25
REDIS_REST_S = 5.0  # so long a Redis that failed is not asked again

parse = lru_cache(maxsize=64)(limits.parse)


class Counters:
    """Counters of what happened, in windows of time.

    ``exact`` windows move with the clock, and remember each event; the others begin anew from time
    to time, and cost the same whatever they count.
    """

    def __init__(self, storage: Storage) -> None:
        self._moving = MovingWindowRateLimiter(storage)
        self._fixed = FixedWindowRateLimiter(storage)

    def _of(self, *, exact: bool) -> RateLimiter:
        return self._moving if exact else self._fixed

    def take(self, rate: limits.RateLimitItem, *names: str, exact: bool = False) -> bool:
        """Count one event; say whether the rate allowed it."""
        return self._of(exact=exact).hit(rate, *names)

    def left(self, rate: limits.RateLimitItem, *names: str, exact: bool = False) -> int:
        """Return how many more the rate allows now."""
        return self._of(exact=exact).get_window_stats(rate, *names).remaining

    def wait(self, rate: limits.RateLimitItem, *names: str, exact: bool = False) -> float:
        """Return in how many seconds the rate allows one again."""
        reset = self._of(exact=exact).get_window_stats(rate, *names).reset_time
        return max(1.0, reset - time.time())


class Shared:
    """Counters in Redis, with those of this process to fall back on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._shared: Counters | None = None
        self._resting_until = 0.0

    def use(self, question: Callable[[Counters], T]) -> T:
        """Ask Redis; where it does not answer, ask our own counters, and let it rest."""
        if time.monotonic() >= self._resting_until:
            try:
                return question(self._counters())
            except (StorageError, RedisError) as error:
                self._resting_until = time.monotonic() + REDIS_REST_S
                logger.warning("Redis does not answer; rates are counted here: %s", error)
        return _own.use(question)

    def _counters(self) -> Counters:
        """Begin at the first question: of a cluster it is asked then which nodes there are."""
        if self._shared is None:
            self._shared = Counters(_storage(self._url))
        return self._shared


def _storage(url: str) -> Storage:
    """Return where the counters are, in the words of ``limits``."""
    servers = redis_servers.read(url)
    options: Any = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), REDIS_PATIENCE_S)
    if url.startswith("unix://"):
        url = f"redis+{url}"
    elif servers.service:  # whose path has no database there
        url = urlsplit(url)._replace(path=f"/{servers.service}").geturl().partition("?")[0]
        # A replica says what was so a moment ago.
        options |= {
            "db": servers.database,
            "use_replicas": False,
            "sentinel_kwargs": servers.of_sentinels(options),
        }
    storage: Any = storage_from_string(url, wrap_exceptions=True, **options)
    return cast(Storage, storage)


class Own:
    """Counters of this process, asked by one thread at a time: the library's own are not safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._storage = MemoryStorage()
        self._counters = Counters(self._storage)

    def use(self, question: Callable[[Counters], T]) -> T:
        with self._lock:
            return question(self._counters)

    def forget(self) -> None:
        with self._lock:
            self._storage.reset()


_own = Own()


@lru_cache(maxsize=4)
def _shared(url: str) -> Shared:
    return Shared(url)


def count(question: Callable[[Counters], T]) -> T:
    """Return the answer of the counters that are shared, else of our own."""
    url = settings.PARLEY.redis_url
    return _shared(url).use(question) if url else _own.use(question)


def forget_all() -> None:
    """Begin all counters of this process anew."""
    _own.forget()


# --- rates of requests


def wait_for(scope: str, who: str) -> float | None:
    """Count one event of a scope (``signup``, ``send`` or ``all``) for someone.

    Return None if its rate allows it, else the seconds until it does again. This is the one place
    that knows which setting a scope has; whoever answers without REST framework calls it too.
    """
    if not settings.PARLEY.rates:
        return None
    rate = parse(getattr(settings.PARLEY, f"rate_{scope}"))
    exact = scope == "signup"

    def question(counters: Counters) -> float | None:
        if counters.take(rate, scope, who, exact=exact):
            return None
        return counters.wait(rate, scope, who, exact=exact)

    return count(question)


class RequestThrottle(BaseThrottle):
    """So many requests a minute: a user's, or those of an address that is not signed in."""

    scope = "all"
    _wait: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        self._wait = wait_for(self.scope_of(request), self.who(request))
        return self._wait is None

    def scope_of(self, request: Request) -> str:
        """Return what the request counts as: reading counts as any other request."""
        return "all" if request.method in SAFE_METHODS else self.scope

    def who(self, request: Request) -> str:
        user_id = getattr(request.user, "user_id", None)
        return str(user_id) if user_id else rated_address(request)

    def wait(self) -> float | None:
        return self._wait


class SendThrottle(RequestThrottle):
    """So many messages a minute a user."""

    scope = "send"


class SignUpThrottle(RequestThrottle):
    """So many sign-ups an hour from an address."""

    scope = "signup"

    def who(self, request: Request) -> str:
        return rated_address(request)


# --- failed sign-ins


class TooManyFailures(Throttled):
    """Too many wrong passwords, for this account or from this address."""

    default_detail = "Too many failed attempts."
    extra_detail_singular = extra_detail_plural = "Try again in {wait} seconds."


class Failures:
    """Failed sign-ins to one account, from one address.

    An address has so many failures in all, and five times fewer for one account. Once an account
    has had as many from all addresses together, those that took part are refused unheard; from any
    other the right password still counts, so that nobody can lock another out.
    """

    ADDRESS_HAS_MORE = 5

    def __init__(self, *, account: str, address: str) -> None:
        rate = parse(settings.PARLEY.rate_signin)
        self._of_account = (rate, "signin-account", account)
        self._of_both = (rate, "signin-both", account, address)
        self._of_address = (self._more(rate), "signin-address", address)

    def _more(self, rate: limits.RateLimitItem) -> limits.RateLimitItem:
        return type(rate)(rate.amount * self.ADDRESS_HAS_MORE, rate.multiples)

    def check(self) -> None:
        """Refuse to look at a password at all.

        :raises TooManyFailures: there were too many wrong ones.
        """
        if settings.PARLEY.rates:
            count(self._check)

    def _check(self, counters: Counters) -> None:
        if not counters.left(*self._of_address, exact=True):
            self._refuse(counters, self._of_address)
        took_part = counters.left(*self._of_both, exact=True) < self._of_both[0].amount
        if took_part and not counters.left(*self._of_account, exact=True):
            self._refuse(counters, self._of_account)

    def add(self) -> None:
        """Count a wrong password.

        :raises TooManyFailures: there were too many before it.
        """
        if settings.PARLEY.rates:
            count(self._add)

    def _add(self, counters: Counters) -> None:
        counters.take(*self._of_both, exact=True)
        for each in (self._of_address, self._of_account):
            if not counters.take(*each, exact=True):
                self._refuse(counters, each)

    def _refuse(self, counters: Counters, full: tuple[Any, ...]) -> None:
        raise TooManyFailures(wait=math.ceil(counters.wait(*full, exact=True)))


class ThrottledPages:
    """Middleware: too many failures answer 429 outside REST framework too, in login forms."""

    def __init__(self, respond_to: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._respond_to = respond_to

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._respond_to(request)

    def process_exception(
        self, _request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        if not isinstance(exception, Throttled):
            return None
        headers = {"Retry-After": f"{getattr(exception, 'wait', None) or 1:.0f}"}
        return HttpResponse(
            str(exception.detail), status=429, headers=headers, content_type="text/plain"
        )
