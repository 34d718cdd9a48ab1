"""A proxy that brings trouble to a connection: delay, loss, silence, at the word of a scene."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CHUNK = 65_536


@dataclass
class Trouble:
    """What happens to what passes; scenes change it while it does."""

    delay: float = 0.0  # seconds, each way
    lose_answers: float = 0.0  # chance that an answer is dropped, and its connection with it
    silent: bool = False  # nothing passes, and nobody is told: a black hole
    refusing: bool = False  # new connections are ended at once
    # Whether the answer to these bytes is to be lost: what they asked for is done all the same.
    is_doomed: Callable[[bytes], bool] = field(default=lambda _asked: False)


class Proxy:
    def __init__(self, host: str, port: int, trouble: Trouble) -> None:
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.trouble = trouble
        self.port = 0
        self.lost = 0  # answers, so far

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection there is."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._link(reader, writer)
        except asyncio.CancelledError:  # only the proxy's own end cancels
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trouble.refusing:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            link = _Link(self, writer, far_writer)
            self._open |= {writer, far_writer}
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(link.carry_questions(reader))
                    group.create_task(link.carry_answers(far_reader))
            except* OSError:
                pass
            finally:
                for each in (writer, far_writer):
                    each.transport.abort()
                    self._open.discard(each)

    async def end(self) -> None:
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class _Link:
    """One connection through the proxy."""

    proxy: Proxy
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    is_doomed: bool = False

    async def carry_questions(self, reader: asyncio.StreamReader) -> None:
        while asked := await reader.read(CHUNK):
            self.is_doomed |= self.proxy.trouble.is_doomed(asked)
            await self._pass_on(asked, self.far)
        if self.far.can_write_eof():
            self.far.write_eof()

    async def carry_answers(self, reader: asyncio.StreamReader) -> None:
        while answer := await reader.read(CHUNK):
            if self.is_doomed or random.random() < self.proxy.trouble.lose_answers:
                self.proxy.lost += 1
                raise ConnectionResetError
            await self._pass_on(answer, self.near)
        raise ConnectionResetError  # the server has ended; so does the other direction

    async def _pass_on(self, data: bytes, to: asyncio.StreamWriter) -> None:
        trouble = self.proxy.trouble
        if trouble.delay:
            await asyncio.sleep(trouble.delay)
        while trouble.silent:  # noqa: ASYNC110 - scenes only set a flag
            await asyncio.sleep(0.1)
        to.write(data)
        await to.drain()


@asynccontextmanager
async def proxying(host: str, port: int, trouble: Trouble | None = None) -> AsyncIterator[Proxy]:
    """Lend a proxy in front of an address, on a free port."""
    proxy = Proxy(host, port, trouble or Trouble())
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0, backlog=4096)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
