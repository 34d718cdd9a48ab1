"""A connection to PostgreSQL in libpq's pipeline mode (its chapter 34.5), watched by an event loop.

Statements follow one another without waiting for the answers before them, each a transaction of its
own; the socket is watched once and for all. What a short statement costs otherwise is mostly what
an adapter spends on waiting for it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.types.string import TextLoader

Rows = list[tuple[Any, ...]]

FAILED = {ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED}
# What a statement that was prepared says when tables have changed under it.
UNPREPARED = (errors.FeatureNotSupported, errors.InvalidSqlStatementName)
ENDING = {"57P01", "57P02", "57P03"}  # what a server says that ends, or begins
HOLE = re.compile("%(.)")


@dataclass(slots=True)
class _Asked:
    """A statement on its way, and what was heard of it so far."""

    sql: str
    answer: asyncio.Future[Rows]
    result: pq.abc.PGresult | None = None
    error: pq.abc.PGresult | None = None


class Pipeline:
    """One connection; it ends for good when the database does not answer any more."""

    def __init__(self, connected: psycopg.AsyncConnection[Any]) -> None:
        for name in ("uuid", "timestamptz"):  # text stays text; binary values are read as ever
            connected.adapters.register_loader(name, TextLoader)
        self._connected = connected
        self._pg = connected.pgconn
        self._transformer = Transformer.from_context(connected)
        self._asked: deque[_Asked] = deque()
        self._names: dict[str, bytes] = {}
        self._numbers = count()
        self._loop = asyncio.get_running_loop()
        self._socket = self._pg.socket
        self._is_writing = False
        self.is_open = True
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._receive)

    @classmethod
    async def connect(cls, parameters: Mapping[str, Any]) -> Pipeline:
        """Return a new connection.

        :raises psycopg.OperationalError: there is none to be had.
        """
        return cls(await psycopg.AsyncConnection.connect(**parameters))

    @property
    def waiting(self) -> int:
        """How many statements are not answered yet."""
        return len(self._asked)

    def ask(
        self, sql: str, parameters: Sequence[Any], *, as_text: bool = False
    ) -> asyncio.Future[Rows]:
        """Send a statement, and return what will be its rows.

        It is prepared when it is first asked, and takes the types that the statement gives its
        parameters.

        :raises psycopg.Error: now, where it cannot be sent; from the future, where it is refused,
            or the connection is lost and nobody knows what became of it.
        """
        formats = [PyFormat.TEXT] * len(parameters)
        values = self._transformer.dump_sequence(parameters, formats)
        asked = _Asked(sql, self._loop.create_future())
        try:
            name = self._names.get(sql) or self._prepare(sql)
            self._pg.send_query_prepared(
                name, values, result_format=Format.TEXT if as_text else Format.BINARY
            )
            self._pg.pipeline_sync()
            self._asked.append(asked)
            self._flush()
        except psycopg.OperationalError as error:
            self.close(error)
            raise
        return asked.answer

    def _prepare(self, sql: str) -> bytes:
        name = self._names[sql] = b"p%d" % next(self._numbers)
        self._pg.send_prepare(name, numbered(sql))
        return name

    def _flush(self) -> None:
        """Send what the system did not take yet, now and as soon as it takes more."""
        is_left = self._pg.flush() == 1
        if is_left != self._is_writing:
            self._is_writing = is_left
            if is_left:
                self._loop.add_writer(self._socket, self._write)
            else:
                self._loop.remove_writer(self._socket)

    def _write(self) -> None:
        try:
            self._flush()
        except psycopg.OperationalError as error:
            self.close(error)

    def _receive(self) -> None:
        try:
            self._pg.consume_input()
            if self._is_writing:
                self._flush()
            while self._asked and not self._pg.is_busy():
                self._hear(self._pg.get_result())
        except psycopg.OperationalError as error:
            self.close(error)

    def _hear(self, result: pq.abc.PGresult | None) -> None:
        """Take the next result: of the preparation, of the statement, and that it ends there.

        :raises psycopg.OperationalError: the connection is lost.
        """
        if result is None:  # no more from this one
            if self._pg.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(self._pg.get_error_message())
            return
        asked = self._asked[0]
        if result.status == ExecStatus.PIPELINE_SYNC:
            self._asked.popleft()
            self._settle(asked)
        elif result.status in FAILED:
            asked.error = asked.error or result
        else:
            asked.result = result

    def _settle(self, asked: _Asked) -> None:
        """Give a statement's answer to whoever asked.

        :raises psycopg.OperationalError: it is the last answer here.
        """
        if asked.error is not None:
            failure = errors.error_from_result(asked.error)
            if asked.result is None or isinstance(failure, UNPREPARED):
                self._names.pop(asked.sql, None)
            if not asked.answer.done():
                asked.answer.set_exception(failure)
            if failure.sqlstate in ENDING:  # its end is on its way
                raise psycopg.OperationalError(str(failure))
            return
        if asked.answer.done() or asked.result is None:  # whoever asked has left
            return
        try:
            self._transformer.set_pgresult(asked.result)
            found = self._transformer.load_rows(0, asked.result.ntuples, tuple)
        except psycopg.Error as error:
            asked.answer.set_exception(error)
        else:
            asked.answer.set_result(found)

    def close(self, error: psycopg.OperationalError | None = None) -> None:
        """End the connection; what is not answered yet fails."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._socket)
        if self._is_writing:
            self._loop.remove_writer(self._socket)
        self._pg.finish()
        lost = str(error or "the connection was closed").strip()
        for asked in self._asked:
            if not asked.answer.done():
                asked.answer.set_exception(psycopg.OperationalError(lost))
        self._asked.clear()


@lru_cache(maxsize=1_000)
def numbered(sql: str) -> bytes:
    """Return a statement with ``%s`` as PostgreSQL takes it, with ``$1``, ``$2``."""
    numbers = count(1)
    return HOLE.sub(lambda at: "%" if at[1] == "%" else f"${next(numbers)}", sql).encode()
