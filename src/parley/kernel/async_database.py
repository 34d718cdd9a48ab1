"""The database from an event loop: PostgreSQL over a few connections of our own, lent first come,
first served; the others through threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from psycopg.types.string import TextLoader
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from parley.kernel.database import ATTEMPTS
from parley.kernel.database import rows as synchronous_rows
from parley.kernel.threads import close_threads, readers

Rows = list[tuple[Any, ...]]

MOST_CONNECTIONS = 8
PATIENCE_S = 5.0
# Planned once, for all values, and along indexes: planning the inbox takes longer than reading it,
# and what was planned while a table was small must not read all of it later.
OPTIONS = " ".join(
    f"-c {name}"
    for name in (
        "TimeZone=UTC",
        "DateStyle=ISO",
        "plan_cache_mode=force_generic_plan",
        "enable_seqscan=off",
        "enable_bitmapscan=off",
        "jit=off",
    )
)
# What only Django's own connections take.
DJANGOS = {"cursor_factory", "context", "prepare_threshold", "server_side_binding"}


class AsyncDatabase:
    """The database that Django uses too, over prepared statements that commit by themselves."""

    def __init__(self, *, connections: int = MOST_CONNECTIONS) -> None:
        self._pool = AsyncConnectionPool(
            kwargs=_parameters,
            min_size=1,
            max_size=connections,
            timeout=PATIENCE_S,
            open=False,
            check=None,
            configure=_configure,
        )
        # The pool alone would let a newcomer overtake one that it has just woken.
        self._turns = asyncio.Semaphore(connections)

    async def rows(
        self, sql: str, parameters: Sequence[Any] = (), *, as_text: bool = False
    ) -> Rows:
        """Return all rows of a statement that reads; after a lost connection ask again.

        :raises psycopg.Error: the database refuses it, or does not answer.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self.once(sql, parameters, as_text=as_text)
            except psycopg.OperationalError:
                if attempt == ATTEMPTS:
                    raise
                await self.renew()
        raise AssertionError("unreachable")

    async def once(
        self, sql: str, parameters: Sequence[Any] = (), *, as_text: bool = False
    ) -> Rows:
        """Return all rows of a statement that is not to be repeated by itself.

        With ``as_text`` UUIDs and instants are the text that PostgreSQL writes: what is only passed
        on need not be made a value first.

        :raises psycopg.Error: as above; whether it was committed may then be unknown.
        """
        async with self._turns:
            lent = await self._lend()
            try:
                cursor = await lent.execute(sql, parameters, binary=not as_text)
                return await cursor.fetchall()
            finally:
                await self._pool.putconn(lent)

    async def renew(self) -> None:
        """Replace connections that do not answer any more, as after a restart of the database."""
        await self._pool.check()

    async def close(self) -> None:
        await self._pool.close()

    async def _lend(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        try:
            if self._pool.closed:
                await self._pool.open()
            return await self._pool.getconn()
        except (PoolTimeout, PoolClosed) as error:
            raise psycopg.OperationalError("the database does not answer") from error


async def _configure(connected: psycopg.AsyncConnection[Any]) -> None:
    """Have text stay text; statements whose rows come in binary form give values as ever."""
    for name in ("uuid", "timestamptz"):
        connected.adapters.register_loader(name, TextLoader)


def _parameters() -> dict[str, Any]:
    """Return how Django connects, for connections that are ours."""
    found = connection.get_connection_params()
    plain = {name: value for name, value in found.items() if name not in DJANGOS}
    options = f"{plain.get('options', '')} {OPTIONS}".strip()
    return plain | {"options": options, "autocommit": True, "prepare_threshold": 0}


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


async def close_database() -> None:
    """Close the running loop's connections, if there are any."""
    found = _databases.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
    await close_threads()
