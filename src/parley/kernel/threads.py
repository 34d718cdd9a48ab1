"""Threads in which an event loop asks the database by Django's own connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError, connection

from parley.kernel.database import ATTEMPTS

R = TypeVar("R")

MOST_THREADS = 4


class Threads:
    """A few threads that ask by Django's own connections, and keep them from one question to the
    next.
    """

    def __init__(self, name: str, most: int = MOST_THREADS) -> None:
        self._threads, self._most = ThreadPoolExecutor(most, thread_name_prefix=name), most

    async def once(self, call: Callable[[], R]) -> R:
        """Return what a call gives that must not be made twice."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _once, call)

    async def ask(self, question: Callable[[], R]) -> R:
        """Return what a question gives that may be asked twice; after a lost connection it is.

        :raises django.db.Error: the database refuses it, or does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, _asked, question)

    async def close(self) -> None:
        """Close the connections of all threads, and end them."""
        loop, everyone = asyncio.get_running_loop(), Barrier(self._most)
        leave = partial(loop.run_in_executor, self._threads, _leave, everyone)
        await asyncio.gather(*(leave() for _ in range(self._most)))
        self._threads.shutdown()


def _asked(question: Callable[[], R]) -> R:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _once(question)
        except (OperationalError, InterfaceError):
            close_connection()
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _once(call: Callable[[], R]) -> R:
    connection.close_if_unusable_or_obsolete()
    return call()


def close_connection() -> None:
    """Close the connection of the thread that runs this."""
    connection.close()


def _leave(everyone: Barrier) -> None:
    close_connection()
    everyone.wait()  # so that each thread runs it once


_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Threads]] = WeakKeyDictionary()


def readers() -> Threads:
    """Return the running loop's threads that read; they begin when they are first asked."""
    return _named("reader")


def markers() -> Threads:
    """Return those that mark what was read, and may have to wait for locks."""
    return _named("marker")


def _named(name: str) -> Threads:
    found = _threads.setdefault(asyncio.get_running_loop(), {})
    if name not in found:
        found[name] = Threads(name)
    return found[name]


async def close_threads() -> None:
    """Close the connections of the running loop's threads, if there are any, and end them."""
    for threads in _threads.pop(asyncio.get_running_loop(), {}).values():
        await threads.close()
