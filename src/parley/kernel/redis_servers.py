"""Where Redis is: one server, the master that sentinels name, or the nodes of a cluster.

``redis://…``, ``rediss://…`` and ``unix://…`` are redis-py's own. Beside them:
``redis+sentinel://[user:password@]host[:26379],…/service[/database]`` and
``redis+cluster://[user:password@]host[:6379],…``. The login is that of the servers; sentinels that
have one take ``?sentinel_password=…``. What is published on one node of a cluster is heard on all
of them, so that any node will do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

ONE = {"redis", "rediss", "unix"}
PORTS = {"redis+sentinel": 26379, "redis+cluster": 6379}
EXPECTED = (
    "expected redis://…, rediss://…, unix://…, redis+sentinel://host:port,…/service or "
    "redis+cluster://host:port,…"
)


@dataclass(frozen=True, slots=True)
class Servers:
    """What a URL says; ``hosts`` are sentinels or nodes, none where redis-py reads it itself."""

    url: str
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_password: str | None = None

    @property
    def places(self) -> int:
        """How many nodes there are to try, one after the other."""
        return 1 if self.service else max(1, len(self.hosts))

    @property
    def _login(self) -> dict[str, Any]:
        return {"username": self.username, "password": self.password}

    def of_sentinels(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return these options as sentinels are asked with; the login is the servers'."""
        return {**options, "username": None, "password": self.sentinel_password}

    @contextmanager
    def client(self, *, turn: int = 0, **options: Any) -> Iterator[redis.Redis]:
        """Give a client that tries once; of a cluster that of the ``turn``-th node."""
        options["retry"] = Retry(NoBackoff(), 0)
        if not self.hosts:
            with redis.Redis.from_url(self.url, **options) as client:
                yield client
        elif self.service:
            asked: Any = partial(Sentinel, self.hosts, sentinel_kwargs=self.of_sentinels(options))
            sentinel = asked(**options, **self._login)
            try:
                with sentinel.master_for(self.service, db=self.database) as client:
                    yield client
            finally:
                for each in sentinel.sentinels:
                    each.close()
        else:
            host, port = self.hosts[turn % len(self.hosts)]
            with redis.Redis(host=host, port=port, **options, **self._login) as client:
                yield client

    @asynccontextmanager
    async def async_client(self, *, turn: int = 0, **options: Any) -> AsyncIterator[AsyncRedis]:
        """Give the same for asyncio."""
        options["retry"] = AsyncRetry(NoBackoff(), 0)
        if not self.hosts:
            async with AsyncRedis.from_url(self.url, **options) as client:
                yield client
        elif self.service:
            asked: Any = partial(
                AsyncSentinel, self.hosts, sentinel_kwargs=self.of_sentinels(options)
            )
            sentinel = asked(**options, **self._login)
            try:
                async with sentinel.master_for(self.service, db=self.database) as client:
                    yield client
            finally:
                for each in sentinel.sentinels:
                    await each.aclose()
        else:
            host, port = self.hosts[turn % len(self.hosts)]
            async with AsyncRedis(host=host, port=port, **options, **self._login) as client:
                yield client


def read(url: str) -> Servers:
    """Return what a URL says.

    :raises ValueError: it is none of Redis, in a sentence for the operator.
    """
    parts = urlsplit(url)
    if parts.scheme in ONE:
        return Servers(url)
    if parts.scheme not in PORTS:
        raise ValueError(EXPECTED)
    login, _, places = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    if bool(service) != (parts.scheme == "redis+sentinel") or not (database or "0").isdecimal():
        raise ValueError(EXPECTED)
    return Servers(
        url,
        tuple(_host(place, PORTS[parts.scheme]) for place in places.split(",")),
        service,
        int(database or 0),
        unquote(username) or None,
        unquote(password) or None,
        dict(parse_qsl(parts.query)).get("sentinel_password"),
    )


def _host(place: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    if not parts.hostname:
        raise ValueError(EXPECTED)
    return parts.hostname, parts.port or port
