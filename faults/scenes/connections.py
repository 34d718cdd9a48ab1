"""Live connections whose clients do not read, or are gone without a word."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import websockets

from faults.clients import Person, Sender
from faults.history import History
from faults.listeners import SocketDevice, listening, until_all_have
from faults.namespaces import Elsewhere, elsewhere
from faults.report import Finding, at_most, equal, fault, sent, told
from faults.stage import Server, Stage

T = TypeVar("T")

TAKEN = 16_384  # bytes
LARGE = 10_000  # characters of a body
SENDERS = 4
DEAF_S = 18.0  # longer than a frame may wait, shorter than what a last frame is waited for after it
TOO_SLOW = 4510
EACH = 5  # connections of one kind a person
FREED_S = 60.0
REST_S = 5
LISTENING = "0A"  # of /proc/net/tcp


# --- who does not read ----------------------------------------------------------------------------


@dataclass
class _Deaf(SocketDevice):
    """A device that leaves what comes unread, until it is told to."""

    reads: asyncio.Event = field(default_factory=asyncio.Event)

    def options(self) -> dict[str, Any]:
        host, _, port = self.address().partition(":")
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TAKEN)  # the kernel takes little, too
        made.connect((host, int(port)))
        made.setblocking(False)
        return {"sock": made}

    async def _hear(self, line: websockets.ClientConnection, frame: dict[str, Any]) -> None:
        await self.reads.wait()
        await super()._hear(line, frame)


@fault("F11", "a WebSocket client stops reading", "postgresql", "mariadb", "sqlite", seconds=25)
async def deaf(stage: Stage) -> list[Finding]:
    [server] = await stage.serve(1)
    people = await stage.cast(server.address)
    talks = await stage.groups(server.address, people, 1)
    reader = SocketDevice(people[0], lambda: server.address)
    slow = _Deaf(people[1], lambda: server.address)
    slow.reads.set()
    async with listening(reader, slow):
        stage.say("everyone reads")
        before, size = await _measured(server, _flow(server, people, talks[0], stage.seconds))
        await until_all_have([reader, slow], {a.body for a in before.acked}, patience=15)
        slow.reads.clear()
        stage.say("one does not read")
        flowing = asyncio.create_task(_flow(server, people, talks[0], stage.seconds))
        _, most = await _measured(server, asyncio.sleep(DEAF_S))
        slow.reads.set()
        during = await flowing
        every = {attempt.body for attempt in [*before.acked, *during.acked]}
        took = await until_all_have([reader, slow], every, patience=15)
    one, other = _p99(before), _p99(during)
    return [
        *sent(during),
        told("not read for", f"{DEAF_S:.0f} s"),
        equal("the code that it was closed with", slow.codes[:1], [TOO_SLOW]),
        at_most(
            "memory of the server beyond the most that the same load took before",
            (most - size) / 2**20,
            4,
            "MiB",
        ),
        told("p99 of sends before", f"{one:.0f} ms"),
        told("p99 of sends meanwhile", f"{other:.0f} ms"),
        at_most("ratio", other / one, 2),
        at_most("after the last send, until it had all by resuming", took, 30, "s"),
        equal("connections of the other one that ended", reader.cuts, 0),
    ]


async def _flow(server: Server, people: Sequence[Person], talk: str, seconds: float) -> History:
    """Send large messages for a while; return their history."""
    history, end = History(), time.monotonic() + seconds

    async def send(person: Person) -> None:
        sender = Sender(person, [server.address], history)
        while time.monotonic() < end:
            await sender.send(talk, secrets.token_hex(8).ljust(LARGE, "."))
        await sender.close()

    await asyncio.gather(*(send(person) for person in people[2 : 2 + SENDERS]))
    return history


async def _measured(server: Server, work: Awaitable[T]) -> tuple[T, int]:
    """Return what some work gives, and the most memory that a server held meanwhile, in bytes."""
    running, most = asyncio.ensure_future(work), 0
    while not running.done():
        most = max(most, _resident(server))
        await asyncio.sleep(0.1)
    return running.result(), most


def _resident(server: Server) -> int:
    """Return the bytes of memory that a server holds."""
    assert server.process is not None
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _p99(history: History) -> float:
    """In ms."""
    latencies = sorted(1_000 * attempt.latency for attempt in history.acked)
    return latencies[int(0.99 * (len(latencies) - 1))]


# --- who is gone ----------------------------------------------------------------------------------


@fault(
    "F13", "the cable pulled: connections half open", "postgresql", "mariadb", "sqlite", seconds=70
)
async def half_open(stage: Stage) -> list[Finding]:
    """WebSockets and event streams from elsewhere; no end of them ever arrives."""
    [server] = await stage.serve(1, HOST="0.0.0.0")  # noqa: S104 - to be reached by the cable
    watcher, *people = await stage.cast(server.address, 5)
    await stage.groups(server.address, [watcher, *people], 1)
    there = stage.stack.enter_context(elsewhere())
    files = await _files_at_rest(server)
    stack = await stage.stack.enter_async_context(AsyncExitStack())
    await _connect_all(stack, there, server, people)
    opened = _files(server) - files
    url = f"ws://{server.address}/ws/"
    async with websockets.connect(url, additional_headers=watcher.headers) as line:
        await line.send(json.dumps({"type": "watch", "users": [p.user_id for p in people]}))
        stage.say("the cable is pulled")
        there.pull()
        pulled = time.monotonic()
        absence = asyncio.create_task(_until_absent(line, {p.user_id for p in people}))
        # One is the watcher's own.
        freed = await _until(lambda: _files(server) - 1 <= files + 2, stage.seconds)
        left = _files(server) - 1 - files
        await asyncio.wait([absence], timeout=20)
        absent = absence.result() - pulled if absence.done() else float("inf")
        absence.cancel()
    return [
        equal("files opened by so many connections", opened, 2 * EACH * len(people)),
        at_most("until they were closed", freed, FREED_S, "s"),
        at_most("files more than at first", left, 2),
        at_most("until everyone was told to be offline", absent, FREED_S, "s"),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


async def _connect_all(
    stack: AsyncExitStack, there: Elsewhere, server: Server, people: Sequence[Person]
) -> None:
    for person in people:
        for _ in range(EACH):
            made = await there.connect(server.port)
            opened = await websockets.connect(
                f"ws://{server.address}/ws/", sock=made, additional_headers=person.headers
            )
            stack.callback(opened.transport.abort)
            await opened.recv()
            reader, writer = await asyncio.open_connection(sock=await there.connect(server.port))
            # With its reader: a stream whose reader is collected is closed.
            stack.callback(lambda w=writer, _r=reader: w.transport.abort())
            headers = person.headers | {"Host": server.address}
            lines = ["GET /api/events/ HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await reader.readuntil(b"event: cursor")


def _files(server: Server) -> int:
    """Return how many files a server holds that are connections to its port."""
    assert server.process is not None
    own = Path(f"/proc/{server.process.pid}")
    port = f":{server.port:04X}"
    rows = [line.split() for line in (own / "net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] != LISTENING}
    return sum(_target(file) in ours for file in (own / "fd").iterdir())


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


async def _files_at_rest(server: Server) -> int:
    """Return how many a server holds, once that has not changed for a while."""
    seen = [_files(server)]
    while len(seen) < REST_S or len(set(seen[-REST_S:])) > 1:
        await asyncio.sleep(1)
        seen.append(_files(server))
    return seen[-1]


async def _until(is_so: Callable[[], bool], most: float) -> float:
    """Return after how many seconds it is so; endless if it takes longer than ``most``."""
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > most:
            return float("inf")
        await asyncio.sleep(0.2)
    return time.monotonic() - begun


async def _until_absent(line: websockets.ClientConnection, people: set[str]) -> float:
    """Return when everyone of these was told to be offline."""
    waiting = set(people)
    async for text in line:
        frame = json.loads(text)
        if frame["type"] == "presence" and frame["state"] == "offline":
            waiting.discard(frame["user_id"])
            if not waiting:
                return time.monotonic()
    return float("inf")
