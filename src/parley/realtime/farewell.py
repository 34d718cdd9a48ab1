"""Live connections are told to come back before the server that ends cuts them.

Servers end by a signal, and close what is open before they tell the application; so the signal
waits until everyone was sent away.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import structlog

log = structlog.get_logger(__name__)

SIGNALS = ("SIGINT", "SIGTERM")


def before_signals(farewell: Callable[[], Awaitable[None]]) -> None:
    """Have this done before the server's own handlers are; a second Ctrl-C does not wait for it."""
    loop = asyncio.get_running_loop()
    for name in SIGNALS:
        number = getattr(signal, name)
        handler = signal.getsignal(number)
        if not callable(handler):
            continue
        try:
            signal.signal(number, _Waiting(loop, farewell, handler))
        except ValueError:  # not the main thread: signals are someone else's
            return


class _Waiting:
    """A handler that does something first."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        farewell: Callable[[], Awaitable[None]],
        handler: Callable[[int, FrameType | None], Any],
    ) -> None:
        self._loop, self._farewell, self._handler = loop, farewell, handler
        self._is_begun = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._is_begun or self._loop.is_closed():
            self._handler(number, frame)
            return
        self._is_begun = True
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self._task = self._loop.create_task(self._end(number))

    async def _end(self, number: int) -> None:
        try:
            await self._farewell()
        except Exception:
            log.exception("live connections were not sent away")
        self._handler(number, None)
