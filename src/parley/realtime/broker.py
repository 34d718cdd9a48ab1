"""Brokers carry hints from process to process. They hold no truth, and may fail without harm.

``Alone``: one process needs none. ``Notify``: PostgreSQL's own LISTEN and NOTIFY, on connections of
their own, after the commit (a NOTIFY within a transaction takes a lock of the whole cluster through
its commit). ``Redis``: its publish and subscribe.

Who hears nobody else has nobody to tell: each process says now and then that it is here, and while
none does, hints are not published. That is most of what they would cost a single process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID

import psycopg
import redis
import structlog
from django.conf import settings
from django.db import connection
from redis.asyncio import Redis as AsyncRedis

from parley.conversations.events import Event, Type
from parley.kernel import redis_servers
from parley.kernel.async_database import parameters
from parley.kernel.pipelines import Pipeline
from parley.kernel.tasks import end
from parley.realtime.signals import NOBODY, SIGNALS, Signal

log = structlog.get_logger(__name__)

CHANNEL = "parley_events"
LARGEST_NOTIFY = 7_900  # bytes; PostgreSQL takes 8,000
AGAIN_S = 1.0
SENDING_S = 5.0
STOPPING_S = 1.0
BEAT_S = 5.0  # how often a process says that it is here
SILENT_S = 3 * BEAT_S  # and how long it counts as being here since it was last heard
MOST_WAITING = 10_000  # events
MOST_NAMED = 100  # people in one hint; of more it says no more than that there is news

CONNECT_S = 5
PATIENCE: dict[str, Any] = {"socket_connect_timeout": CONNECT_S, "socket_timeout": 5}
LISTENING: dict[str, Any] = {"socket_connect_timeout": CONNECT_S, "health_check_interval": 10}

News = Event | Signal
WHO, HERE = Signal("who", NOBODY), Signal("here", NOBODY)
Hear = Callable[[Iterable[News]], None]


class Broker(Protocol):
    """What carries hints between processes; of one event loop."""

    async def start(self, hear: Hear) -> None:
        """Begin to hear what other processes publish."""

    def publish(self, events: Sequence[News]) -> None:
        """Pass events on; it neither waits nor fails."""

    async def stop(self) -> None:
        """Let go of every connection."""


class Alone:
    """One process: there is nobody to tell."""

    async def start(self, hear: Hear) -> None:
        pass

    def publish(self, events: Sequence[News]) -> None:
        pass

    async def stop(self) -> None:
        pass


class _Carrier:
    """What brokers share: what waits to be published, who listens, and who said what."""

    def __init__(self) -> None:
        self._own = secrets.token_hex(8)
        self._prefix = f'["{self._own}",'  # of what it said itself
        self._outgoing: list[News] = []
        self._left_out = 0
        self._has_news = asyncio.Event()
        self._others_until = math.inf  # until when others count as being here; who knows at first
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, hear: Hear) -> None:
        works = self._listen_for_ever(hear), self._publish_for_ever(), self._beat_for_ever()
        self._tasks = [asyncio.create_task(work) for work in works]

    def publish(self, events: Sequence[News]) -> None:
        if self._others_until > asyncio.get_running_loop().time():
            self._put(events)

    def _put(self, events: Sequence[News]) -> None:
        if len(self._outgoing) < MOST_WAITING:
            self._outgoing += events
            self._has_news.set()
        else:  # the others find it when its generation settles
            self._left_out += len(events)

    async def stop(self) -> None:
        """Publish what waits, if that is quick, and end."""
        await end(self._tasks)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPING_S):
                await self._publish_waiting()
                await self._disconnect()

    async def _publish_for_ever(self) -> None:
        """Send what waits, all of it at once, while more gathers."""
        while True:
            await self._has_news.wait()
            await self._publish_waiting()

    async def _publish_waiting(self) -> None:
        waiting, self._outgoing = self._outgoing, []
        self._has_news.clear()
        for text in pack(self._own, waiting):
            await self._send_or_drop(text)
        if self._left_out:
            log.warning("too many events waited for the broker", left_out=self._left_out)
            self._left_out = 0

    async def _send_or_drop(self, text: str) -> None:
        """Send a text; a fault drops it, and the next one connects anew."""
        for is_again in (False, True):  # the connection may have ended since the last time
            try:
                async with asyncio.timeout(SENDING_S):
                    await self._send(text)
            except Exception as error:  # noqa: BLE001 - no fault of a broker ends this task
                await self._disconnect()
                if is_again:
                    log.warning("the broker did not take events", reason=type(error).__name__)
            else:
                return

    async def _beat_for_ever(self) -> None:
        """Say that this process is here, for those who would else not publish."""
        while True:
            self._put([HERE])
            await asyncio.sleep(BEAT_S)

    async def _listen_for_ever(self, hear: Hear) -> None:
        while True:
            try:
                await self._listen(hear)
            except Exception as error:  # noqa: BLE001 - no fault of a broker ends this task
                log.warning("the broker is not heard", reason=type(error).__name__)
            self._others_until = math.inf  # there may be someone who is not heard
            await asyncio.sleep(AGAIN_S)

    def heard(self, text: str, hear: Hear) -> None:
        """Hand on what another process said."""
        if text.startswith(self._prefix):
            return
        try:
            _, events = unpack(text)
        except (ValueError, TypeError, AttributeError):
            log.warning("the broker carries what is not ours", channel=CHANNEL)
            return
        self._note_others()
        if WHO in events:
            self._put([HERE])
        hear(events)

    def _begun(self) -> None:
        """Ask, once this process can hear the answer, who is there elsewhere."""
        self._put([WHO])
        self._note_others()

    def _note_others(self) -> None:
        """Count on others for a while: they have been heard, or may be about to be."""
        self._others_until = asyncio.get_running_loop().time() + SILENT_S

    async def _listen(self, hear: Hear) -> None:
        """Listen until a fault; ``_begun`` is called as soon as nothing is missed."""
        raise NotImplementedError

    async def _send(self, text: str) -> None:
        raise NotImplementedError

    async def _disconnect(self) -> None:
        raise NotImplementedError


class Notify(_Carrier):
    """PostgreSQL's LISTEN and NOTIFY."""

    def __init__(self) -> None:
        super().__init__()
        self._publishing: Pipeline | None = None

    async def _send(self, text: str) -> None:
        if self._publishing is None or not self._publishing.is_open:
            self._publishing = await Pipeline.connect(parameters(synchronous_commit="off"))
        await self._publishing.ask("SELECT pg_notify(%s, %s)", [CHANNEL, text])

    async def _disconnect(self) -> None:
        if self._publishing is not None:
            self._publishing.close()
            self._publishing = None

    async def _listen(self, hear: Hear) -> None:
        given = {"connect_timeout": CONNECT_S} | parameters()
        listening = await psycopg.AsyncConnection.connect(**given)
        async with listening:
            await listening.execute(f"LISTEN {CHANNEL}")
            self._begun()
            async for notice in listening.notifies():
                self.heard(notice.payload, hear)


class RedisBroker(_Carrier):
    """Redis's publish and subscribe."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._servers = redis_servers.read(url)
        self._client = contextlib.AsyncExitStack()
        self._publishing: AsyncRedis | None = None
        # Of the nodes of a cluster each is tried in its turn.
        self._turn_out = self._turn_in = 0

    async def _send(self, text: str) -> None:
        if self._publishing is None:
            client = self._servers.async_client(turn=self._turn_out, **PATIENCE)
            self._publishing = await self._client.enter_async_context(client)
        await self._publishing.publish(CHANNEL, text)

    async def _disconnect(self) -> None:
        self._turn_out += 1
        self._publishing = None
        with contextlib.suppress(redis.RedisError, OSError):
            await self._client.aclose()

    async def _listen(self, hear: Hear) -> None:
        turn, self._turn_in = self._turn_in, self._turn_in + 1
        async with (
            self._servers.async_client(turn=turn, **LISTENING) as client,
            client.pubsub() as channel,
        ):
            await channel.subscribe(CHANNEL)
            async for message in channel.listen():
                if message["type"] == "subscribe":
                    self._begun()
                elif message["type"] == "message":
                    self.heard(message["data"].decode(), hear)


def pack(speaker: str, events: Sequence[News]) -> Iterable[str]:
    """Write events as texts, each of them small enough for NOTIFY."""
    waiting: list[list[Any]] = []
    size = 0
    for each in events:
        written = _write(each)
        length = len(json.dumps(written, separators=(",", ":"))) + 1
        if waiting and size + length > LARGEST_NOTIFY - 100:
            yield json.dumps([speaker, waiting], separators=(",", ":"))
            waiting, size = [], 0
        waiting.append(written)
        size += length
    if waiting:
        yield json.dumps([speaker, waiting], separators=(",", ":"))


def _write(each: News) -> list[Any]:
    if isinstance(each, Signal):
        where = each.conversation_id and each.conversation_id.hex
        return [each.kind, each.user_id.hex, where, each.state]
    is_all = len(each.user_ids) <= MOST_NAMED
    return [
        each.type.value,
        each.conversation_id.hex,
        each.revision if is_all else None,  # with it, it would stand for all of the change
        [user_id.hex for user_id in each.user_ids] if is_all else [],
        each.message_id and each.message_id.hex,
        each.seq,
    ]


def unpack(text: str) -> tuple[str, list[News]]:
    speaker, written = json.loads(text)
    return speaker, [_read(each) for each in written]


def _read(written: list[Any]) -> News:
    if written[0] in SIGNALS:
        kind, user, where, state = written
        return Signal(kind, UUID(user), where and UUID(where), state)
    type_, conversation_id, revision, user_ids, message_id, seq = written
    return Event(
        Type(type_),
        UUID(conversation_id),
        revision,
        tuple(map(UUID, user_ids)),
        message_id and UUID(message_id),
        seq,
    )


def choose() -> Broker:
    """Return the broker that the settings ask for: Redis, else NOTIFY where there is PostgreSQL."""
    if settings.PARLEY.redis_url:
        return RedisBroker(settings.PARLEY.redis_url)
    if connection.vendor == "postgresql":
        return Notify()
    return Alone()
