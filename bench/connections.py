"""What do live connections cost: memory while idle, and CPU to deliver to?

    python bench/connections.py [--sockets 2000] [--people 200] [--groups 1]
                                [--kind websocket|events] [--messages 100]
                                [--minutes 0 [--keep FILE]]

Serves a database of its own (``DATABASE_URL``; default an SQLite file) by ``manage.py serve``,
opens connections of so many people, each in one of so many conversations, and lets one in each
write. Prints, from
``/proc``, the server's memory a connection and its CPU a delivery. With ``--minutes`` it goes on
writing that long while clients leave and others come, and prints the slope of the memory: of the
line that lies nearest to its samples (least squares), those of the first fifth left out. ``--keep``
writes the samples too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PORTS = 20_000  # connections from one loopback address
OPENING = 100  # at a time
LEAVING = 10  # clients after each ten messages, where minutes are asked for
WARMING = 0.2  # of the minutes
BEGUN = {"websocket": b'"hello"', "events": b"event: cursor"}
DELIVERED = b'"message.created"'
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

sys.path[:0] = [str(ROOT / "src"), str(ROOT)]


class Client(asyncio.Protocol):
    """A connection that counts what it is told of."""

    delivered = 0
    closed = 0

    def __init__(self, head: bytes, begun: bytes) -> None:
        self.head, self.begun, self.found = head, begun, b""
        self.is_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.head)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            self.found += data
            if not self.found.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")[: len(self.found)]):
                self.is_open.set_exception(RuntimeError(self.found.decode(errors="replace")))
            elif self.begun in self.found:
                self.is_open.set_result(None)
                self.found = b""
            return
        if PING in data:
            self.transport.write(PONG)  # type: ignore[attr-defined]
        text = self.found + data
        Client.delivered += text.count(DELIVERED)
        self.found = text[1 - len(DELIVERED) :]  # of one that is cut, the rest follows

    def connection_lost(self, _error: Exception | None) -> None:
        Client.closed += 1
        if not self.is_open.done():
            self.is_open.set_exception(ConnectionError("closed before it was open"))


class Made(NamedTuple):
    """What proves each person, and the conversations: the n-th person is in the n-th of them, in
    turn, so that each has one who writes.
    """

    tokens: list[str]
    conversations: list[str]


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve the database that the environment names; give the process and its port."""
    server = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--workers", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "Parley answers at" in line:
                break
        yield server, int(line.strip().rstrip("/").rpartition(":")[2])
    finally:
        server.terminate()
        server.communicate(timeout=30)


def populate(count: int, groups: int) -> Made:
    """Make so many people, in turn in one of so many conversations."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from parley.accounts.models import User
    from parley.accounts.operations import create_token
    from parley.conversations import operations as conversations

    call_command("migrate", verbosity=0)
    people = [User(username=f"person{n}", email=f"person{n}@example.org") for n in range(count)]
    for each in people:
        each.follow()
    User.objects.bulk_create(people)
    made = []
    for first in range(groups):
        creator, *others = people[first::groups]
        ids = [each.user_id for each in others]
        conversation_id, _ = conversations.create_conversation(
            creator=creator, participant_ids=ids, kind="group", title=f"Group {first}"
        )
        made.append(str(conversation_id))
    now = timezone.now()  # an access token would not last through the minutes
    made_for = [create_token(user=each, lifetime=None, most=1, at=now) for each in people]
    return Made([f"Token {text}" for _, text in made_for], made)


async def open_all(
    port: int, kind: str, tokens: list[str], count: int, make: type[Client] = Client
) -> list[Client]:
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(OPENING)
    path = {"websocket": "/ws/", "events": "/api/events/"}[kind]

    async def one(n: int) -> Client:
        more = HANDSHAKE if kind == "websocket" else "Accept: text/event-stream\r\n"
        token = tokens[n % len(tokens)]
        head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n"
            f"Authorization: {token}\r\n{more}\r\n"
        ).encode()
        client = make(head, BEGUN[kind])
        local = (f"127.0.0.{2 + n // PORTS}", 0)
        async with gate:
            await loop.create_connection(lambda: client, "127.0.0.1", port, local_addr=local)
            await client.is_open
        return client

    return await asyncio.gather(*(one(n) for n in range(count)))


def memory(pid: int) -> float:
    """Return the resident memory of a process in KiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def deliver(url: str, made: Made, *, messages: int, sockets: int) -> None:
    """Write so many messages in each conversation, ten at a time, and wait until everyone has each
    of theirs.
    """
    before = Client.delivered
    for _ in range(messages // 10):
        await write(url, made, ["x" * 80] * 10)
    async with asyncio.timeout(30):
        while Client.delivered - before < messages // 10 * 10 * sockets:  # noqa: ASYNC110 - others count
            await asyncio.sleep(0.05)


async def write(url: str, made: Made, bodies: Sequence[str]) -> None:
    """Write these messages, all at once, in one conversation after the other."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for token, conversation in zip(made.tokens, made.conversations, strict=False):
            said = [
                client.post(
                    "/api/messages/",
                    json={"conversation": conversation, "message_body": body},
                    headers={"Authorization": token},
                )
                for body in bodies
            ]
            for answer in await asyncio.gather(*said):
                answer.raise_for_status()


def parser(text: str | None, *, sockets: int) -> argparse.ArgumentParser:
    """Return the options that every bench of connections takes; ``sockets`` is how many there are
    unless it is said.
    """
    options = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    options.add_argument("--sockets", type=int, default=sockets)
    options.add_argument("--people", type=int, default=200, help="of whom they are, in turn")
    options.add_argument("--groups", type=int, default=1, help="in one of which each person is")
    options.add_argument("--kind", choices=sorted(BEGUN), default="websocket")
    options.add_argument("--keep", type=Path, help="a file for the figures, in JSON")
    return options


@contextmanager
def populated(people: int, groups: int) -> Iterator[tuple[int, int, Made]]:
    """Serve a database with so many people in it; give the process, its port, and them."""
    logging.disable(logging.INFO)  # of the client
    raise_limit()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        prepare(folder)
        made = populate(people, groups)
        with serving() as (server, port):
            yield server.pid, port, made


async def measure(options: argparse.Namespace, pid: int, port: int, made: Made) -> None:
    url = f"http://127.0.0.1:{port}"
    warm = await open_all(port, options.kind, made.tokens, 100)
    await deliver(url, made, messages=20, sockets=100)
    for client in warm:
        client.transport.close()
    await asyncio.sleep(2)
    idle, used = memory(pid), cpu(pid)
    clients = await open_all(port, options.kind, made.tokens, options.sockets)
    opening = (cpu(pid) - used) / options.sockets
    await asyncio.sleep(3)
    grown = memory(pid) - idle
    print(f"{options.sockets} x {options.kind}: {grown / options.sockets:.1f} KiB each")
    print(f"a handshake: {opening * 1e3:.2f} ms CPU")
    used = cpu(pid)
    await deliver(url, made, messages=options.messages, sockets=options.sockets)
    deliveries = options.messages // 10 * 10 * options.sockets
    print(f"a delivery: {(cpu(pid) - used) / deliveries * 1e6:.2f} µs CPU ({deliveries} in all)")
    if options.minutes:
        await soak(options, pid, port, made, clients)
    for client in clients:
        client.transport.close()


async def soak(
    options: argparse.Namespace, pid: int, port: int, made: Made, clients: list[Client]
) -> None:
    """Write, and let clients leave and others come, for so many minutes; print how memory grew."""
    begun, samples, rounds = time.monotonic(), [(0.0, memory(pid))], 0
    while (minutes := (time.monotonic() - begun) / 60) < options.minutes:
        await deliver(f"http://127.0.0.1:{port}", made, messages=10, sockets=len(clients))
        await asyncio.sleep(1)
        leaving, clients[:] = clients[:LEAVING], clients[LEAVING:]
        for client in leaving:
            client.transport.close()
        clients += await open_all(port, options.kind, made.tokens, len(leaving))
        rounds += 1
        samples.append((minutes, memory(pid)))
    warm = [each for each in samples if each[0] >= options.minutes * WARMING]
    print(f"memory, MiB: {', '.join(f'{size / 1024:.1f}' for size in _tenth(samples))}")
    print(
        f"slope: {slope(warm):+.1f} KiB a minute ({len(warm)} samples in {options.minutes:g} min; "
        f"{rounds * 10 * len(clients)} deliveries, {rounds * LEAVING} reconnects)"
    )
    if options.keep:
        found = {"slope, KiB a minute": slope(warm), "samples, minute and KiB": samples}
        text = json.dumps(described() | vars(options) | found, default=str)
        options.keep.write_text(text + "\n")


def described() -> dict[str, Any]:
    """Return what has run this, and how it was called."""
    from bench.speed.tables import machine

    return machine() | {"command": " ".join(["python", *sys.argv])}


def _tenth(samples: list[tuple[float, float]]) -> list[float]:
    return [size for _, size in samples[:: max(1, len(samples) // 10)]]


def slope(samples: list[tuple[float, float]]) -> float:
    """Return by how much the second grows with the first, by least squares."""
    of_x, of_y = (sum(each) / len(samples) for each in zip(*samples, strict=True))
    across = sum((x - of_x) * (y - of_y) for x, y in samples)
    return across / sum((x - of_x) ** 2 for x, _ in samples)


def raise_limit() -> None:
    """Have this process, and those that it begins, open as many files as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def prepare(folder: str) -> None:
    """Say how the server is to run, and where its data are."""
    os.environ |= {
        "PARLEY_ENV_FILE": os.devnull,
        "PARLEY_DATA_DIR": folder,
        "PARLEY_RATES": "off",
        "PARLEY_ACCESS_LOG": "off",
        "PORT": "0",
        "DJANGO_SETTINGS_MODULE": "parley.config.settings",
        "DJANGO_SECRET_KEY": "of the bench, and of nothing else whatsoever",
    }


def main() -> None:
    options = parser(__doc__, sockets=2_000)
    options.add_argument("--messages", type=int, default=100)
    options.add_argument("--minutes", type=float, default=0)
    parsed = options.parse_args()
    with populated(parsed.people, parsed.groups) as (pid, port, made):
        asyncio.run(measure(parsed, pid, port, made))


if __name__ == "__main__":
    main()
