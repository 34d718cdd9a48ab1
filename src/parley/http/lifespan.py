"""The beginning and the end of a server's process."""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable

from parley.http.guard import Application, Message, Receive, Scope, Send
from parley.kernel.async_database import close_database
from parley.messaging import group_commit

SWITCH_S = 0.0005  # seconds; by the figures of bench/stall.py


class Orderly:
    """Wraps an ASGI application: what was taken to be sent is sent before the process ends, and
    ``ending`` is what ends its threads.
    """

    def __init__(self, application: Application, *, ending: Callable[[], Awaitable[None]]) -> None:
        self._application, self._ending = application, ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                _settle_down()
            elif message["type"] == "lifespan.shutdown.complete":
                await group_commit.drain()
                await close_database()
                await self._ending()
            await send(message)

        await self._application(scope, receive, sending)


def _settle_down() -> None:
    """Spare the collector everything that was loaded and stays, and have threads that compute give
    way to the event loop soon.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
