"""Who plays a row: wrk and a WebSocket client against a server; pgbench, mariadb-slap and sqlite3
against SQL.

All keep so many requests under way, each as soon as the last was answered: a server that stalls is
asked less meanwhile, so the latencies are those of this many patient clients, and leave out what
others who came during a stall would have waited.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from bench.speed import servers, slap, statements
from bench.speed.rows import Row
from bench.speed.verdicts import Run
from bench.speed.world import NAME


def play_server(row: Row, port: int, pid: int, seconds: int, folder: Path) -> Run:
    """Play requests by a program that costs a fraction of what a server does."""
    if row.player != "two processes":
        return _play(row, port, port, pid, seconds, folder)
    other = servers.free_port()
    with servers.serving(servers.product(other), other):
        return _play(row, port, other, pid, seconds, folder)


def _play(row: Row, port: int, listening: int, pid: int, seconds: int, folder: Path) -> Run:
    pairs = folder / ("hot" if row.kind == "hot" else "pair")
    servers.wait_until_idle(port)
    environment = os.environ | {"BENCH_KIND": row.kind, "BENCH_PAIRS": str(pairs)}
    if row.player == "websocket":
        command = [sys.executable, "-m", "bench.speed.websocket", str(port), str(pairs)]
        command += [str(row.clients), str(seconds)]
    elif row.player in {"one process", "two processes"}:
        command = [sys.executable, "-m", "bench.speed.latency", str(port), str(listening)]
        command += [str(pairs), str(row.clients), str(seconds)]
    else:
        command = ["wrk", "-t1", f"-c{row.clients}", f"-d{seconds}s", "--timeout", "60s"]
        command += ["-s", "bench/load.lua", f"http://127.0.0.1:{port}"]
    before = _cpu(pid)
    done = subprocess.run(
        command, cwd=servers.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    after = _cpu(pid)
    servers.wait_until_idle(port)  # or the next to play has half of the machine
    found = re.search(r"BENCH (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise RuntimeError(f"{row.name}: {done.stdout}{done.stderr}")
    requests, micros, p50, p99, errors = map(int, found.groups())
    if errors:
        raise RuntimeError(f"{row.name}: {errors} of {requests} requests failed")
    requests = max(requests, 1)
    costs = [1_000 * max(b - a, 0) / requests for a, b in zip(before, after, strict=True)]
    return Run(1e6 * requests / micros, p50 / 1_000, p99 / 1_000, *costs)


def _cpu(pid: int) -> tuple[float, float, float]:
    return (
        servers.cpu_of(servers.family(pid)),
        servers.cpu_of(database_processes()),
        servers.cpu_of_clients(),
    )


def database_processes() -> list[int]:
    """Return the processes that work for the bench's database; an embedded one has none."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid<>pg_backend_pid()"
            cursor.execute(asked, [NAME])
            return [pid for (pid,) in cursor.fetchall()]
        if connection.vendor == "mysql":
            cursor.execute("SELECT @@pid_file, @@datadir")
            file, folder = map(Path, cursor.fetchone())
            path = folder / file
            return [int(path.read_text())] if path.exists() else []
    return []


def play_sql(row: Row, seconds: int) -> Run:
    """Play what the product asks of the database, with nothing in between."""
    from django.db import connection

    return {"sqlite": _play_sqlite, "mysql": slap.play}.get(connection.vendor, _pgbench)(
        row, seconds
    )


def _pgbench(row: Row, seconds: int) -> Run:
    """Play the statements by themselves, each connection one after the other."""
    from parley.kernel.async_database import WALKS, parameters

    writes = row.kind in {"send", "hot", "read"}
    options = parameters(**({} if writes else WALKS))["options"]
    parts = urlsplit(os.environ["DATABASE_URL"])
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(statements.script(row.kind))
        file.flush()
        command = ["pgbench", "-n", "-M", "prepared", "-f", file.name, "-T", str(seconds)]
        command += ["-c", str(row.clients), "-j", "1", "-h", parts.hostname or "", "-U"]
        command += [parts.username or "", "-p", str(parts.port or 5432), NAME]
        environment = os.environ | {"PGOPTIONS": options}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{row.name}: pgbench: {done.stderr}")
    rate = float(re.findall(r"tps = ([0-9.]+)", done.stdout)[-1])
    latency = float(re.findall(r"latency average = ([0-9.]+)", done.stdout)[-1])
    return Run(rate, latency, latency)


def _play_sqlite(row: Row, seconds: int) -> Run:
    """Insert the rows that the product's clients would send, as many at once as they are, into a
    copy of its database.
    """
    from django.conf import settings

    product = Path(settings.DATABASES["default"]["NAME"])
    with tempfile.TemporaryDirectory(dir=product.parent) as at:
        copy = Path(at) / "raw.sqlite3"
        with closing(sqlite3.connect(product)) as original:
            original.execute("VACUUM INTO ?", [str(copy)])
        with closing(sqlite3.connect(copy, isolation_level=None)) as raw:
            raw.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            like = raw.execute("SELECT * FROM messaging_message ORDER BY seq DESC LIMIT 1")
            names = [column[0] for column in like.description]
            rows = _rows(names, like.fetchone(), raw.execute("SELECT * FROM bench_pair").fetchall())
            places = ", ".join("?" * len(names))
            sql = f"INSERT INTO messaging_message VALUES ({places})"  # noqa: S608
            began, sent = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                raw.execute("BEGIN IMMEDIATE")
                raw.executemany(sql, islice(rows, row.clients))
                raw.execute("COMMIT")
                sent += row.clients
            took = time.perf_counter() - began
    latency = 1_000 * took * row.clients / sent
    return Run(sent / took, latency, latency)


def _rows(
    names: list[str], pattern: Sequence[object], pairs: list[tuple[int, str, str]]
) -> Iterator[tuple[object, ...]]:
    """Yield new rows like one that stands, each by someone into a conversation of theirs."""
    from parley.kernel import ids

    row = dict(zip(names, pattern, strict=True))
    for number in count(10_000_000):  # beyond all that stand in any conversation
        _, row["sender_id"], row["conversation_id"] = random.choice(pairs)
        row["message_id"] = ids.message_id(UUID(row["conversation_id"])).hex
        row["seq"] = row["revision"] = number
        yield tuple(row.values())
