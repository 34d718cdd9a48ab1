"""Group commit: sends that arrive while a commit is under way leave together in the next one.

There is no timer: a lone send waits for nobody. What is queued is sent, whoever left.
Event loops send through here (the express lane, the live streams); a thread calls ``send``, which
is a batch of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection

from parley.conversations.events import tell_committed
from parley.kernel.async_database import database
from parley.kernel.database import ATTEMPTS
from parley.kernel.errors import Invalid, Refusal, Unavailable
from parley.kernel.metrics import sends_waiting
from parley.kernel.threads import Threads
from parley.messaging.drafts import Draft
from parley.messaging.operations import messages_sent, one_trip, send_many
from parley.messaging.operations.sending import news_of, send_checked
from parley.messaging.seen import Sent

LARGEST = 100  # larger batches win nothing more
BOUND = 5_000  # about a third of a second of work: refusing early is kinder than answering late
SIDE_LANES = 4

Result = Sent | Refusal


class Writer(Protocol):
    """What commits a batch."""

    async def write(self, drafts: Sequence[Draft]) -> Mapping[int, Result]:
        """Return what became of drafts, by their places; those left out are for a side lane."""

    async def stop(self) -> None: ...


class FunctionWriter:
    """Sends by the database function of PostgreSQL, over connections of the loop's own."""

    async def write(self, drafts: Sequence[Draft]) -> Mapping[int, Result]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._call(drafts)
            except psycopg.DataError:
                return await self._bisect(drafts)
            except (psycopg.OperationalError, psycopg.IntegrityError) as error:
                # Whether it was committed is unknown; the same ids find out.
                if attempt == ATTEMPTS:
                    is_lost = isinstance(error, psycopg.OperationalError)
                    raise (OperationalError if is_lost else IntegrityError)(str(error)) from error
        raise AssertionError("unreachable")

    async def _call(self, drafts: Sequence[Draft]) -> Mapping[int, Result]:
        statement = one_trip.together(messages_sent.in_sql() or [])
        rows = await database().once(statement, one_trip.parameters(drafts, waiting=False))
        results = one_trip.read(drafts, rows).results
        tell_committed(*news_of(results[place] for place in sorted(results)))
        return results

    async def _bisect(self, drafts: Sequence[Draft]) -> Mapping[int, Result]:
        """Find the draft that the database cannot hold; the others go through."""
        if len(drafts) == 1:
            return {0: Invalid()}
        middle = len(drafts) // 2
        first, second = await self.write(drafts[:middle]), await self.write(drafts[middle:])
        return {**first, **{middle + place: result for place, result in second.items()}}

    async def stop(self) -> None:
        """Leave the connections to whoever else reads over them."""


class ThreadWriter:
    """Sends as ``send_many`` does, in one thread: what takes part in its transaction takes part
    here.
    """

    def __init__(self) -> None:
        self._thread = Threads("writer", most=1)

    async def write(self, drafts: Sequence[Draft]) -> Mapping[int, Result]:
        return dict(enumerate(await self._thread.once(partial(send_checked, drafts))))

    async def stop(self) -> None:
        await self._thread.close()


@dataclass(frozen=True, slots=True)
class _Waiting:
    draft: Draft
    answer: asyncio.Future[Result]


class GroupCommit:
    """The queue of one event loop, and the task that empties it.

    A conversation that someone holds locked does not stall the others: its drafts go to a side
    lane, in their order, and wait there for the lock.
    """

    def __init__(self, *, bound: int = BOUND, largest: int = LARGEST) -> None:
        self._bound, self._largest = bound, largest
        self._by_function: Writer = FunctionWriter()
        self._by_thread: Writer = ThreadWriter()
        self._queue: list[_Waiting] = []
        self._aside: dict[object, list[_Waiting]] = {}
        self._side_threads = Threads("side-lane", most=SIDE_LANES)
        self.unanswered = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_running = False

    async def send(self, draft: Draft) -> Sent:
        """Send a message; once this returns it is on disk. A draft is sent once.

        :raises Refusal: as :func:`send_many` answers for it; ``Unavailable`` if the queue is full.
        """
        draft.check(longest=settings.PARLEY.message_length)
        if self.unanswered >= self._bound:
            raise Unavailable
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future())
        self.unanswered += 1
        self._enqueue(waiting)
        result = await waiting.answer
        if isinstance(result, Refusal):
            raise result
        return result

    async def drain(self) -> None:
        """Wait until everything that was taken is answered; then let go of the threads."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._by_thread.stop()
        await self._side_threads.close()

    def _enqueue(self, waiting: _Waiting) -> None:
        if waiting.draft.where in self._aside:
            self._set_aside(waiting)
            return
        self._queue.append(waiting)
        if not self._is_running:
            self._is_running = True
            self._begin(self._run())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        """Take all that is queued, commit it, and again, until nothing is."""
        while self._queue:
            batch, self._queue = self._queue[: self._largest], self._queue[self._largest :]
            await self._commit(batch)
        self._is_running = False

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            results = await self._writer().write([waiting.draft for waiting in batch])
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self._fail(batch, error)
            return
        for place, waiting in enumerate(batch):
            if place in results:
                self._settle(waiting, results[place])
            else:
                self._set_aside(waiting)

    def _writer(self) -> Writer:
        """Return who commits: what joined the transaction in Python takes a thread."""
        by_sql = connection.vendor == "postgresql" and messages_sent.in_sql() is not None
        return self._by_function if by_sql else self._by_thread

    # --- the side lanes

    def _set_aside(self, waiting: _Waiting) -> None:
        where = waiting.draft.where
        if where in self._aside:
            self._aside[where].append(waiting)
            return
        self._aside[where] = [waiting]
        self._begin(self._work_aside(where))

    async def _work_aside(self, where: object) -> None:
        """Send what waits for one conversation, batch by batch, in its order."""
        while self._aside[where]:
            batch, self._aside[where] = self._aside[where], []
            drafts = [waiting.draft for waiting in batch]
            try:
                results = await self._side_threads.once(partial(send_many, drafts))
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(batch, error)
                continue
            for waiting, result in zip(batch, results, strict=True):
                self._settle(waiting, result)
        del self._aside[where]

    # --- answers

    def _settle(self, waiting: _Waiting, result: Result) -> None:
        self.unanswered -= 1
        if not waiting.answer.done():  # the caller may have left; the message is kept all the same
            waiting.answer.set_result(result)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            self.unanswered -= 1
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


_groups: WeakKeyDictionary[asyncio.AbstractEventLoop, GroupCommit] = WeakKeyDictionary()
sends_waiting.set_function(lambda: sum(each.unanswered for each in list(_groups.values())))


def group() -> GroupCommit:
    """Return the running loop's group commit."""
    loop = asyncio.get_running_loop()
    if loop not in _groups:
        _groups[loop] = GroupCommit()
    return _groups[loop]


async def drain() -> None:
    """Send what the running loop still has queued: the last thing that a server does."""
    found = _groups.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.drain()
