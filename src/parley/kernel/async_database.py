"""The database from an event loop: PostgreSQL over a few connections of our own, the others through
threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection

from parley.kernel.database import ATTEMPTS
from parley.kernel.database import rows as synchronous_rows
from parley.kernel.pipelines import ENDING, Pipeline, Rows
from parley.kernel.questions import Gathered, Key, Question
from parley.kernel.threads import close_threads, readers

MOST_SHARED = 3  # by what only reads
MOST_ALONE = 8
DEEP = 8  # so many statements wait for one connection before there is another
PATIENCE_S = 5.0
PAUSE_S = 0.1
LOST = {None, *ENDING}  # it is the connection that was lost
# Planned once, for all values, and along indexes: planning the inbox takes longer than reading it,
# and what was planned while a table was small must not read all of it later.
PLANS = {"plan_cache_mode": "force_generic_plan", "jit": "off"} | dict.fromkeys(
    ("enable_seqscan", "enable_bitmapscan"), "off"
)
# A join by hash reads one side whole; what joins the items of a batch with each other needs it.
WALKS = dict.fromkeys(("enable_hashjoin", "enable_mergejoin"), "off")
FORMS = {"TimeZone": "UTC", "DateStyle": "ISO"}
# A database that is there no more, and whose end did not reach us, is found out in this time.
LIVENESS = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
# What only Django's own connections take.
DJANGOS = {"cursor_factory", "context", "prepare_threshold", "server_side_binding"}


class AsyncDatabase:
    """The database that Django uses too, over prepared statements that commit by themselves.

    What only reads shares connections, each statement on its way behind the ones before it. What
    may have to wait for a lock has a connection to itself meanwhile; those are lent first come,
    first served.
    """

    def __init__(self, *, connections: int = MOST_ALONE) -> None:
        self._shared: list[Pipeline] = []
        self._free: list[Pipeline] = []
        self._turns = asyncio.Semaphore(connections)
        self._opening: asyncio.Task[Pipeline] | None = None
        self._gathered: dict[Question, Gathered] = {}

    async def rows(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        as_text: bool = False,
        alone: bool = False,
    ) -> Rows:
        """Return all rows of a statement that may be repeated: after a lost connection it is.

        With ``as_text`` UUIDs and instants are the text that PostgreSQL writes: what is only passed
        on need not be made a value first. What may wait for a lock goes ``alone``.

        :raises psycopg.Error: the database refuses it, or does not answer.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if alone:
                    return await self.once(sql, parameters, as_text=as_text)
                shared = self._share() or await self._open()
                return await shared.ask(sql, parameters, as_text=as_text)
            except psycopg.OperationalError as error:
                if attempt == ATTEMPTS or error.sqlstate not in LOST:
                    raise
        raise AssertionError("unreachable")

    async def each(self, question: Question, keys: Iterable[Key]) -> list[Rows]:
        """Return the rows of each of these keys, asked together with whoever asks the same now.

        :raises psycopg.Error: as above.
        """
        gathered = self._gathered.get(question)
        if gathered is None:
            gathered = self._gathered[question] = Gathered(question, self._ask_many)
        return await gathered.rows(keys)

    async def _ask_many(self, question: Question, columns: list[str]) -> Rows:
        return await self.rows(question.many, columns, as_text=question.as_text)

    async def once(
        self, sql: str, parameters: Sequence[Any] = (), *, as_text: bool = False
    ) -> Rows:
        """Return all rows of a statement that may wait for locks, and is not repeated by itself.

        :raises psycopg.Error: as above; whether it was committed may then be unknown.
        """
        async with self._turns:
            alone = self._lend() or await _connect()
            try:
                return await alone.ask(sql, parameters, as_text=as_text)
            finally:
                if alone.waiting:  # nobody waits for it any more
                    alone.close()
                elif alone.is_open:
                    self._free.append(alone)

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        for each in (*self._shared, *self._free):
            each.close()

    # --- connections

    def _lend(self) -> Pipeline | None:
        while self._free:
            alone = self._free.pop()
            if alone.is_open:
                return alone
        return None

    def _share(self) -> Pipeline | None:
        """Return the shared connection on which the fewest statements wait, if there is one. Where
        many wait, there will be one more.
        """
        self._shared = [each for each in self._shared if each.is_open]
        best = min(self._shared, key=lambda each: each.waiting, default=None)
        if best is not None and best.waiting >= DEEP and len(self._shared) < MOST_SHARED:
            self._begin_to_open()
        return best

    async def _open(self) -> Pipeline:
        """Return the first connection to share; whoever needs it waits for the same one."""
        return await asyncio.shield(self._begin_to_open())

    def _begin_to_open(self) -> asyncio.Task[Pipeline]:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open_one())
            # Where it was to be one more, nobody waits for it.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._opening

    async def _open_one(self) -> Pipeline:
        opened = await _connect(**WALKS)  # meanwhile the list may have become another one
        self._shared.append(opened)
        return opened


async def _connect(**settings: str) -> Pipeline:
    """Return a new connection, which a database that begins again may take a moment to give.

    :raises psycopg.OperationalError: it does not answer.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await Pipeline.connect(parameters(**settings))
        except TimeoutError:
            raise psycopg.OperationalError("the database does not answer") from None
        except psycopg.OperationalError:
            if asyncio.get_running_loop().time() + PAUSE_S > deadline:
                raise
        await asyncio.sleep(PAUSE_S)


def parameters(**settings: str) -> dict[str, Any]:
    """Return how Django connects, for connections that are ours."""
    found = connection.get_connection_params()
    plain = {name: value for name, value in found.items() if name not in DJANGOS}
    ours = (f"-c {name}={value}" for name, value in (FORMS | PLANS | settings).items())
    options = " ".join([plain.get("options", ""), *ours]).strip()
    return LIVENESS | plain | {"options": options, "autocommit": True}


_databases: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncDatabase] = WeakKeyDictionary()


def database() -> AsyncDatabase:
    """Return the running loop's database; it connects when it is first asked."""
    loop = asyncio.get_running_loop()
    if loop not in _databases:
        _databases[loop] = AsyncDatabase()
    return _databases[loop]


async def rows(sql: str, parameters: Sequence[Any] = ()) -> Rows:
    """Return all rows of a statement that reads, on any database; most have no driver for loops."""
    if connection.vendor == "postgresql":
        return await database().rows(sql, parameters)
    return await readers().ask(partial(synchronous_rows, sql, parameters))


async def answer(question: Question, *key: Hashable) -> Rows:
    """Return the rows of one key, on any database; on PostgreSQL those who ask at once ask
    together.
    """
    if connection.vendor == "postgresql":
        [found] = await database().each(question, [key])
        return found
    return await readers().ask(partial(synchronous_rows, question.one, key))


async def close_database() -> None:
    """Close the running loop's connections, if there are any."""
    found = _databases.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
    await close_threads()
