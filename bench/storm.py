"""Everyone comes back at once: is everyone answered, and does anyone lose anything?

    python bench/storm.py [--sockets 10000] [--people 200] [--groups 1]
                          [--kind websocket|events] [--seconds 2] [--keep FILE]

Serves as ``bench/connections.py`` does (``DATABASE_URL``; default an SQLite file), holds so many
connections, delivers to all, cuts all, writes while they are away, and lets all come back within
the seconds, each with its cursor. Prints the memory a connection, how long it took until all were
answered and until all had what they missed, what one return costs the server (and the database,
where it is PostgreSQL), and the longest that anyone waited for ``/api/unread/`` meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from connections import (
    PORTS,
    Client,
    Made,
    cpu,
    deliver,
    described,
    memory,
    open_all,
    parser,
    populated,
    write,
)

from faults.lines import CURSOR, UPGRADE, Line

PATIENCE_S = 180.0
PROBE_S = 0.05
AWAY = 10  # messages that everyone misses
LAST_WORDS = "that was all while you were away"
LAST = re.compile(LAST_WORDS.encode())


class Holder(Client):
    """A connection that knows from where to resume."""

    cursor = ""

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done() and (found := CURSOR.search(self.found + data)):
            self.cursor = found[1].decode()
        super().data_received(data)


async def come_back(
    port: int, kind: str, credential: str, n: int, cursor: str, delay: float
) -> tuple[Line, float, float]:
    """Come back after a delay, to stay; return also when it was answered, and when all was there
    that was missed.
    """
    await asyncio.sleep(delay)
    path = {"websocket": "/ws/", "events": "/api/events/"}[kind]
    more = UPGRADE if kind == "websocket" else f"Last-Event-ID: {cursor}\r\n"
    line = await Line.open(f"127.0.0.1:{port}", credential, path, more, 12 + n // PORTS)
    status, _ = await line.status()
    if status not in {101, 200}:
        raise ConnectionError(status)
    if kind == "websocket":
        await line.until(CURSOR)
        line.resume(cursor)
    answered = time.monotonic()
    await line.until(LAST)
    return line, answered, time.monotonic()


@asynccontextmanager
async def probing(url: str, token: str) -> AsyncIterator[list[float]]:
    """Ask the express lane again and again; give the list of how long each answer took."""
    waits: list[float] = []

    async def probe() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            while True:
                begun = time.monotonic()
                answer = await client.get("/api/unread/", headers={"Authorization": token})
                answer.raise_for_status()
                waits.append(time.monotonic() - begun)
                await asyncio.sleep(PROBE_S)

    task = asyncio.create_task(probe())
    try:
        yield waits
    finally:
        task.cancel()


def database_work() -> tuple[int, float]:
    """Return how many transactions the database has seen and the CPU that its connections have
    used, where it is PostgreSQL and here.
    """
    from django.db import connection

    from bench.speed.servers import cpu_of

    if connection.vendor != "postgresql":
        return 0, 0.0
    time.sleep(2)  # it counts with a delay
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database"
            " WHERE datname = current_database()"
        )
        [seen] = cursor.fetchone()
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return int(seen), cpu_of([pid for (pid,) in cursor.fetchall()])


async def storm(options: argparse.Namespace, pid: int, port: int, made: Made) -> dict[str, Any]:
    tokens = made.tokens
    url, count = f"http://127.0.0.1:{port}", options.sockets
    idle = memory(pid)
    held: list[Any] = await open_all(port, options.kind, tokens, count, make=Holder)
    await asyncio.sleep(2)
    found: dict[str, Any] = {"held": count, "KiB each": (memory(pid) - idle) / count}
    begun = time.monotonic()
    await deliver(url, made, messages=10, sockets=count)
    found["10 messages to all, s"] = time.monotonic() - begun
    for client in held:
        client.transport.abort()
    await asyncio.sleep(3)
    await deliver(url, made, messages=AWAY, sockets=0)
    await write(url, made, [LAST_WORDS])
    asked, busy = await asyncio.to_thread(database_work)
    used, begun = cpu(pid), time.monotonic()
    async with probing(url, tokens[1]) as waits:
        returns = (
            come_back(
                port,
                options.kind,
                tokens[n % len(tokens)],
                n,
                each.cursor,
                options.seconds * n / count,
            )
            for n, each in enumerate(held)
        )
        tasks = [asyncio.create_task(each) for each in returns]
        _, late = await asyncio.wait(tasks, timeout=PATIENCE_S)
        for task in late:
            task.cancel()
        back = await asyncio.gather(*tasks, return_exceptions=True)
    found["CPU ms a return"] = (cpu(pid) - used) / count * 1e3
    well = [each for each in back if isinstance(each, tuple)]
    failed = [repr(each) for each in back if not isinstance(each, tuple)]
    found["not back"] = {why: failed.count(why) for why in set(failed)}
    found["came back and missed nothing"] = len(well)
    found["all answered, s"] = max((answered for _, answered, _ in well), default=begun) - begun
    found["all caught up, s"] = max((caught_up for _, _, caught_up in well), default=begun) - begun
    found["longest wait of another, s"] = max(waits, default=0.0)
    seen, worked = await asyncio.to_thread(database_work)
    found["transactions a return"] = (seen - asked) / count
    found["the database's CPU ms a return"] = (worked - busy) / count * 1e3
    found["MiB afterwards"] = memory(pid) / 1024
    return found


def main() -> None:
    parsed = parser(__doc__, sockets=10_000)
    parsed.add_argument("--seconds", type=float, default=2.0, help="within which all come back")
    options = parsed.parse_args()
    with populated(options.people, options.groups) as (pid, port, made):
        machine = described()
        found = asyncio.run(storm(options, pid, port, made))
    for name, value in found.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")
    if options.keep:
        kept = machine | vars(options) | {"found": found}
        options.keep.write_text(json.dumps(kept, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
