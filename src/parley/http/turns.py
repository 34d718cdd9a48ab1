"""Django's handler in an event loop: a few threads work on its requests, the others wait.

Threads that compute take the interpreter from the event loop, each for an interval in turn; so the
fewer of them there are at once, the sooner the loop has it back, and they do not get more done
together than a few do (``bench/stall.py`` measures it). Each thread keeps its connection to the
database from one request to the next; a thread for each request would open one each time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http.response import HttpResponseBase

from parley.http.guard import refuse
from parley.http.refusals import as_api_exception
from parley.kernel.errors import Unavailable
from parley.kernel.metrics import requests_waiting
from parley.kernel.threads import close_connection

MOST_WAITING = 1_000


class TooManyWaiting(Exception):
    """There is no place to wait for a turn."""


class Turn:
    """A request's use of a thread, from when its body has come until its answer is made."""

    def __init__(self, threads: LentThreads) -> None:
        self._threads = threads
        self._lent: ThreadPoolExecutor | None = None
        self._context: Any = None  # asgiref's says no types

    async def begin(self) -> None:
        """Wait for a thread.

        :raises TooManyWaiting: it would have to wait too long.
        """
        self._lent = await self._threads.take()
        self._context = ThreadSensitiveContext(executor=self._lent)
        await self._context.__aenter__()

    def give_back(self, *, is_answered: bool) -> None:
        """Give the thread back; one that is still at work, as its client has left, comes later.

        The little that is still to be done for the request is done there among others' work.
        """
        if self._lent is None:
            return
        if is_answered:
            self._threads.give_back(self._lent)
        else:
            self._threads.give_back_later(self._lent)
        self._lent = None

    async def end(self) -> None:
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
        self.give_back(is_answered=False)


_turn: ContextVar[Turn] = ContextVar("turn")


class LentThreads:
    """The threads of one event loop, lent first come, first served."""

    def __init__(self, number: int, most_waiting: int) -> None:
        self._number, self._most_waiting = number, most_waiting
        self._free: list[ThreadPoolExecutor] = []
        self._all: list[ThreadPoolExecutor] = []
        self.waiting = 0
        self._turns = asyncio.Semaphore(number)
        self._loop = asyncio.get_running_loop()

    async def take(self) -> ThreadPoolExecutor:
        if self._turns.locked() and self.waiting >= self._most_waiting:
            raise TooManyWaiting
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        if not self._free:
            self._free.append(ThreadPoolExecutor(1, thread_name_prefix="django"))
            self._all.append(self._free[-1])
        return self._free.pop()

    def give_back(self, thread: ThreadPoolExecutor) -> None:
        """Lend it to the next."""
        self._free.append(thread)
        self._turns.release()

    def give_back_later(self, thread: ThreadPoolExecutor) -> None:
        """Lend it to the next when it has ended what it still has to do."""
        done = self._loop.run_in_executor(thread, int)
        done.add_done_callback(lambda _: self.give_back(thread))

    async def close(self) -> None:
        for thread in self._all:
            await self._loop.run_in_executor(thread, close_connection)
            thread.shutdown()


class Turns(ASGIHandler):
    """Answers by Django, ``threads`` requests at a time in each event loop; when far too many
    wait, by 503.
    """

    def __init__(self, *, threads: int, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self._number, self._most_waiting = threads, most_waiting
        self._threads: WeakKeyDictionary[Any, LentThreads] = WeakKeyDictionary()
        requests_waiting.set_function(self._count_waiting)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        if loop not in self._threads:
            self._threads[loop] = LentThreads(self._number, self._most_waiting)
        turn = Turn(self._threads[loop])
        _turn.set(turn)
        try:
            await self.handle(scope, receive, send)
        except TooManyWaiting:
            await refuse(scope, send, as_api_exception(Unavailable()))
        finally:
            await turn.end()

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """Load the chain that stays in one thread, from its first link to the view.

        In Django's own for an event loop, a view goes back to the loop and out of it again.
        """
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: Any) -> Any:
        return await sync_to_async(self.get_response)(request)

    async def read_body(self, receive: Any) -> Any:
        """Return the body when it has come, and it is the request's turn: a slow client has none
        before.
        """
        body = await super().read_body(receive)
        try:
            await _turn.get().begin()
        except BaseException:
            body.close()
            raise
        return body

    async def send_response(self, response: HttpResponseBase, send: Any) -> None:
        """Send an answer; the thread is others' by then, however slowly the client takes it."""
        if not response.streaming:
            _turn.get().give_back(is_answered=True)
        await super().send_response(response, send)

    def _count_waiting(self) -> int:
        return sum(lent.waiting for lent in list(self._threads.values()))

    async def close(self) -> None:
        """End the running loop's threads."""
        found = self._threads.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.close()
