"""How long the express lane waits while Django works hard in the same process.

    python bench/stall.py [--seconds 8] [--part postgresql] [--write]

Serves the world of ``bench.speed`` by ``manage.py serve``, once for each way to run it: intervals
after which a thread that computes lets another one have the interpreter
(``sys.setswitchinterval``), threads that Django works in, and two processes behind one port. To
each it sends a hundred requests a second of the lane, sends and histories in turns, first alone and
then beside eight clients who ask Django without a pause: for pages of 200 messages, as an export
does, for the browsable API, for a list of the admin. Prints the lane's p50 and p99 (ms, from when a
request was due), how many times its p99 is the idle one's, and what Django answered meanwhile.
``--write`` keeps it in ``bench/results/``.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "bench")]

from bench.speed import servers, tables, world  # noqa: E402

RATE = 100
CONNECTIONS = 16
HEAVY = 8
SWITCHING = """
import os, runpy, sys
os.environ["PARLEY_THREADS"] = "{threads}"
interval = {interval}
if interval:
    chosen = sys.setswitchinterval
    sys.setswitchinterval = lambda _of_the_product: chosen(interval)
    chosen(interval)
sys.argv = ["manage.py", "serve", "--port", "{port}", "--workers", "{workers}"]
runpy.run_path("manage.py", run_name="__main__")
"""
# How to run it: milliseconds between switches (0: as the product has them), threads that Django
# works in, processes.
WAYS = ((5.0, 8, 1), (0.0, 8, 1), (0.0, 4, 1), (0.0, 3, 1), (0.0, 2, 1), (1.0, 3, 1), (0.0, 3, 2))


@dataclass
class Found:
    interval_ms: float
    threads: int
    workers: int
    idle_p50: float = 0.0
    idle_p99: float = 0.0
    beside_p50: float = 0.0
    beside_p99: float = 0.0
    django_a_second: float = 0.0


class Lane(asyncio.Protocol):
    """A connection that asks the lane whenever something is due."""

    def __init__(self, free: list[Lane], latencies: list[float]) -> None:
        self._free, self._latencies = free, latencies
        self._due, self._left = 0.0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self._left:
            head, _, body = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 20"):
                raise RuntimeError(head.decode())
            [length] = [
                line[16:] for line in head.split(b"\r\n") if line[:15] == b"content-length:"
            ]
            self._left, data = int(length), body
        self._left -= len(data)
        if not self._left:
            self._latencies.append(time.perf_counter() - self._due)
            self._free.append(self)


async def ask_lane(port: int, pairs: list[list[str]], seconds: float) -> list[float]:
    """Return the latencies (s) of a hundred requests a second, in order."""
    free: list[Lane] = []
    latencies: list[float] = []
    for _ in range(CONNECTIONS):
        await asyncio.get_running_loop().create_connection(
            lambda: Lane(free, latencies), "127.0.0.1", port
        )
    began = time.perf_counter()
    for n in range(int(seconds * RATE)):
        due = began + n / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        while not free:  # noqa: ASYNC110 - it is late, which counts
            await asyncio.sleep(0.001)
        token, where = pairs[n % len(pairs)][:2]
        free.pop().ask(_request(token, where, is_send=n % 2 == 0), due)
    while len(free) < CONNECTIONS:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return sorted(latencies)


def _request(token: str, where: str, *, is_send: bool) -> bytes:
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    path = f"/api/conversations/{where}/messages/"
    if not is_send:
        return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
    body = '{"message_body":"hello"}'
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode()


@contextmanager
def working(port: int, pairs: list[list[str]], session: str) -> Iterator[list[int]]:
    """Keep Django busy within; lend the list of the answers that it gave."""
    ending, answers = threading.Event(), list[int]()

    def work(n: int) -> None:
        bearer = {"Authorization": f"Bearer {pairs[n][0]}"}
        asked = (
            ("/api/messages/?limit=200", bearer),
            ("/api/messages/", bearer | {"Accept": "text/html"}),
            ("/admin/messaging/message/", {"Cookie": f"sessionid={session}"}),
        )
        while not ending.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            for path, headers in asked:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.HTTPStatus.OK:
                    raise RuntimeError(f"{path}: {answer.status}")
                answers.append(answer.status)
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(HEAVY)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def measure(way: tuple[float, int, int], folder: Path, session: str, seconds: float) -> Found:
    interval, threads, workers = way
    port = servers.free_port()
    script = SWITCHING.format(
        interval=interval / 1_000, threads=threads, port=port, workers=workers
    )
    pairs = [line.split() for line in (folder / "pair").read_text().splitlines()]
    found = Found(interval, threads, workers)
    with servers.serving([sys.executable, "-c", script], port):
        asyncio.run(ask_lane(port, pairs, 2))  # warm up
        idle = asyncio.run(ask_lane(port, pairs, seconds))
        with working(port, pairs, session) as answers:
            time.sleep(1)
            before = len(answers)
            beside = asyncio.run(ask_lane(port, pairs, seconds))
            found.django_a_second = round((len(answers) - before) / seconds, 1)
    found.idle_p50, found.idle_p99 = _quantiles(idle)
    found.beside_p50, found.beside_p99 = _quantiles(beside)
    return found


def _quantiles(ordered: list[float]) -> tuple[float, float]:
    p50, p99 = (ordered[len(ordered) * part // 100] for part in (50, 99))
    return round(1_000 * p50, 2), round(1_000 * p99, 2)


def admin_session() -> str:
    """Return the key of a session of someone who may see the admin."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from parley.accounts.models import User

    user = User.objects.order_by("user_id")[0]
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True, role="admin")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def show(found: list[Found]) -> None:
    table = Table(title="the lane beside Django at work (ms)")
    names = (
        "switch ms",
        "threads",
        "processes",
        "idle p50",
        "p99",
        "beside p50",
        "p99",
        "×",
        "Django/s",
    )
    for heading in names:
        table.add_column(heading, justify="right")
    for each in found:
        times = each.beside_p99 / each.idle_p99
        values = (
            each.interval_ms or "product's",
            each.threads,
            each.workers,
            each.idle_p50,
            each.idle_p99,
        )
        more = (each.beside_p50, each.beside_p99, f"{times:.1f}", each.django_a_second)
        table.add_row(*map(str, (*values, *more)))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--part", choices=("postgresql", "sqlite", "mysql"), default="postgresql")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with world.filled(chosen.part, folder, quick=True):
            world.write_pairs(folder)
            session = admin_session()
            found = [measure(way, folder, session, chosen.seconds) for way in WAYS]
    show(found)
    if chosen.write:
        kept = {"machine": tables.machine(), "ways": [asdict(each) for each in found]}
        at = ROOT / "bench" / "results" / f"stall-{chosen.part}.json"
        at.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
