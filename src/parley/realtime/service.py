"""Where a server's live doors join its HTTP ones: one hub a process, from its start to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from parley.http.middleware import POLICY
from parley.http.request_ids import HEADER, request_id
from parley.realtime import broker, farewell, inner, longpoll, sse, websocket
from parley.realtime.hub import MOST_COMING, MOST_COMING_TOGETHER, Hub
from parley.realtime.inner import Application
from parley.realtime.lines import EVENTS_PATH
from parley.realtime.websocket import Receive, Send

WEBSOCKET_PATH = "/ws/"


class Live:
    """An ASGI application with live doors in front of another one."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._hub: Hub | None = None
        self._is_leaving = False

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if self._is_leaving and scope["type"] == "http":
            send = _last(send)
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["path"] == EVENTS_PATH:
            hub = await self._ready()
            await sse.serve(hub, self._application, scope, receive, _dressed(scope, send))
        elif longpoll.seconds(scope):
            await longpoll.serve(await self._ready(), self._application, scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _ready(self) -> Hub:
        """Return the hub; a server without a lifespan has it begin with the first connection."""
        if self._hub is None:
            together = inner.asks_together(self._application)
            self._hub = Hub(
                broker.choose(),
                limited=settings.PARLEY.rates,
                coming=MOST_COMING_TOGETHER if together else MOST_COMING,
            )
            await self._hub.start()
            farewell.before_signals(self.leave)
        return self._hub

    async def leave(self) -> None:
        """Send everyone away.

        Who keeps a connection is told, with an answer, that it ends: else it would be closed under
        a next question that is on its way.
        """
        self._is_leaving = True
        hub = await self._ready()
        await hub.send_away()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._ready()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._hub is not None:
                    await self._hub.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _websocket(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] != WEBSOCKET_PATH:
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        hub = await self._ready()
        await websocket.serve(hub, self._application, scope, receive, _dressed(scope, send))


def _last(send: Send) -> Send:
    """Return what sends, and ends the connection with the answer."""

    async def sending(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return sending


def _dressed(scope: Mapping[str, Any], send: Send) -> Send:
    """Return what sends, and gives an answer's head what Django's answers have."""

    async def sending(message: Mapping[str, Any]) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            given = dict(scope["headers"]).get(HEADER.lower().encode(), b"")
            more = {
                HEADER.lower(): request_id(given.decode("latin-1")),
                "content-security-policy": POLICY,
                "x-content-type-options": "nosniff",
            }
            added = [(name.encode(), value.encode()) for name, value in more.items()]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending
