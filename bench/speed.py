"""How fast is it, against the database itself and against a plain Django REST framework?

    python bench/speed.py [--quick] [--rounds 5] [--seconds 5] [--only send …] [--write]

Needs a PostgreSQL server that lets us create a database (``DATABASE_URL``; default one on this
machine), ``wrk`` and ``pgbench``. Fills a database of its own, serves it twice, by ``manage.py
serve`` and by plain views (``bench/plain``) under gunicorn, and plays each row of the table in
rounds: the product, plain views, and pgbench with the product's own statements, in turns. Prints
medians and ratios, with the CPU of server, database and client from ``/proc``, and whether the
targets hold. ``--write`` keeps the figures in ``bench/results/``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
NAME = "parley_bench_speed"
CLIENTS = 32
PAIRS = 4_000
WORKERS = 2  # of the plain views: one a core of the machine that the targets were set on
TICKS = os.sysconf("SC_CLK_TCK")
PLACEHOLDER = re.compile("%s")

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]


@dataclass(frozen=True)
class Row:
    """A line of the table: what is asked, by how many, and the targets as ratios and in ms."""

    name: str
    kind: str
    clients: int = CLIENTS
    against_sql: float | None = None
    against_plain: float | None = None
    p50: float | None = None
    p99: float | None = None


# What only reads comes first: sends are news.
ROWS = (
    Row("history page of 50", "history", against_sql=0.33, against_plain=13, p50=5),
    Row("inbox of 25", "inbox", against_sql=0.6, against_plain=35, p50=7),
    Row("unread total", "unread", against_sql=0.4, against_plain=10, p50=3),
    Row("sync, nothing new", "sync", against_sql=0.4, against_plain=10, p50=3),
    Row("mark read up to", "read", against_sql=0.4, against_plain=10, p50=3),
    Row("send, 32 connections", "send", against_sql=1.0, against_plain=25, p50=2.5, p99=10),
    Row("send, 1 connection", "send", clients=1, against_sql=1 / 1.3),
    Row("send, one hot conversation", "hot", against_sql=5, against_plain=35, p99=12),
)


@dataclass(frozen=True)
class Run:
    """What one run came to: requests a second, latencies in ms, CPU in ms a request."""

    rate: float
    p50: float
    p99: float
    server: float = 0.0
    database: float = 0.0
    client: float = 0.0


# --- the database ---------------------------------------------------------------------------------


def server_url() -> str:
    given = os.environ.get("DATABASE_URL", "postgres://root@127.0.0.1:5432/postgres")
    return given.rsplit("/", 1)[0]


@contextmanager
def filled_database(*, quick: bool) -> Iterator[str]:
    """Lend the URL of a database with the world of the bench in it."""
    url = f"{server_url()}/{NAME}"
    with psycopg.connect(f"{server_url()}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
    try:
        _prepare_django(url)
        _fill(quick=quick)
        yield url
    finally:
        from django.db import connection as own

        own.close_pool()
        with psycopg.connect(f"{server_url()}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def _prepare_django(url: str) -> None:
    os.environ |= {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "parley.config.settings",
        "DJANGO_SECRET_KEY": "a key for measuring alone, of a decent length",
        "PARLEY_ENV_FILE": os.devnull,
        "PARLEY_RATES": "off",
        "PARLEY_ACCESS_LOG": "off",
        "LOGGER_LEVEL": "WARNING",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "bench")]),
    }
    import django

    django.setup()


def _fill(*, quick: bool) -> None:
    import ground
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    ground.make(ground.Size(200, 800, 40_000) if quick else ground.Size(2_000, 8_000, 400_000))


def write_pairs(folder: Path) -> None:
    """Write who asks for what: an access token, a conversation of that user's, a fresh cursor.

    One file for all kinds of requests, one of the members of a single conversation.
    """
    from parley.conversations import epochs, fence
    from parley.conversations.models import Participant

    epochs.begin()
    for _ in range(3):  # what was filled in is settled
        fence.tick(unless_within=timedelta(0))
    found = Participant.objects.order_by("user_id", "conversation_id").select_related("user")
    hot = found.filter(conversation_id=found[0].conversation_id)
    for name, participants in (("pair", found[:PAIRS]), ("hot", hot)):
        pairs = list(participants)
        asking = {mine.user_id: _asking(mine.user) for mine in pairs}
        lines = [
            f"{asking[p.user_id][0]} {p.conversation_id} {asking[p.user_id][1]}" for p in pairs
        ]
        (folder / name).write_text("\n".join([*lines, ""]))
        _write_table(name, pairs)


def _asking(user: Any) -> tuple[str, str]:
    """Return a user's access token, of a new sign-in, and a cursor that has everything."""
    from django.utils import timezone
    from rest_framework_simplejwt.tokens import AccessToken

    from parley.accounts.models import SignIn
    from parley.conversations import epochs, fence
    from parley.messaging.cursors import Cursor

    now, state = timezone.now(), fence.state()
    sign_in = SignIn.objects.create(
        user=user,
        security_stamp=user.security_stamp,
        refresh_jti="bench",
        created_at=now,
        expires_at=now + timedelta(days=1),
    )
    token: Any = AccessToken()
    token["user_id"], token["sid"] = str(user.user_id), str(sign_in.sign_in_id)
    token.set_exp(lifetime=timedelta(days=1))
    held = Cursor(state.current, epochs.covering(state.current) or "", state.settled)
    return str(token), held.write(user.user_id)


def _write_table(name: str, pairs: list[Any]) -> None:
    """Keep the pairs for pgbench, by number."""
    columns = "(n int PRIMARY KEY, user_id uuid, conversation_id uuid)"
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(f"CREATE TABLE bench_{name} {columns}")
        with connection.cursor().copy(f"COPY bench_{name} FROM STDIN") as copy:
            for n, mine in enumerate(pairs, start=1):
                copy.write_row((n, mine.user_id, mine.conversation_id))


# --- the statements, for pgbench ------------------------------------------------------------------

WHO = "(SELECT user_id FROM bench_pair WHERE n = :n)"
WHERE = "(SELECT conversation_id FROM bench_pair WHERE n = :n)"
NEW_ID = (
    "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'"
    " || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid"
)
PAGE = (
    "SELECT conversation_id FROM conversations_participant"  # noqa: S608
    f" WHERE user_id = {WHO} AND left_at IS NULL LIMIT 25"
)
BODY = "'The quick brown fox jumps over the lazy dog, again and again.'"


def script(kind: str) -> str:
    """Return what pgbench is to play: the statements that the product plays, with these values."""
    import ground

    from parley.conversations import fence
    from parley.messaging import express
    from parley.messaging.operations import messages_sent, one_trip

    first = f"\\set n random(1, {ground.MEMBERS if kind == 'hot' else PAIRS})\n"
    if kind in {"send", "hot"}:
        who, where = WHO, WHERE
        if kind == "hot":
            who, where = (part.replace("bench_pair", "bench_hot") for part in (who, where))
        values = [f"ARRAY[{NEW_ID}]", f"ARRAY[{where}]", "ARRAY[NULL]", f"ARRAY[{who}]"]
        values += ["ARRAY['']", f"ARRAY[{BODY}]", "ARRAY[NULL]", "ARRAY[NULL]", r"ARRAY['\x']"]
        sql = one_trip.together(messages_sent.in_sql() or [])
        return first + put(sql, [*values, "true"])
    if kind == "history":
        sql = express.HISTORIES["seq", False]
        return first + put(sql, [WHO, WHERE, WHERE, "-1", f"{2**63 - 1}", WHO, "51", WHO])
    if kind == "inbox":
        edge = [_literal(value) for value in express.NEWEST_EDGE]
        page = put(express.INBOXES[False], ["400", WHO, *edge, "26", WHO])
        ids = f"SELECT array_agg(conversation_id) FROM ({PAGE}) AS i"  # noqa: S608
        kinds = f"SELECT array_agg(false) FROM ({PAGE}) AS k"  # noqa: S608
        return first + page + put(express.MEMBERS, [f"({ids})", f"({kinds})"])
    if kind == "read":
        return (
            first
            + "\\set seq random(1, 50)\n"
            + put(express.READ, [WHO, WHERE, ":seq", "1000", "1000"])
        )
    if kind == "unread":
        return first + put(express.TOTAL, ["4000", "4000", WHO])
    state = fence.state()
    return first + put(express.NEWS, [str(state.current), WHO, str(state.settled)])


def _literal(value: Any) -> str:
    if isinstance(value, UUID | datetime):
        return f"'{value}'"
    return str(value)


def put(sql: str, values: list[str]) -> str:
    """Put values in the places of parameters."""
    left = iter(values)
    found = PLACEHOLDER.sub(lambda _: next(left), " ".join(sql.split()))
    assert next(left, None) is None, "as many values as places"
    return f"{found};\n"


def play_sql(row: Row, seconds: int) -> Run:
    """Play the statements by themselves, each connection one after the other."""
    from parley.kernel.async_database import OPTIONS

    parts = urlsplit(os.environ["DATABASE_URL"])
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script(row.kind))
        file.flush()
        command = ["pgbench", "-n", "-M", "prepared", "-f", file.name, "-T", str(seconds)]
        command += ["-c", str(row.clients), "-j", "1", "-h", parts.hostname or "", "-U"]
        command += [parts.username or "", "-p", str(parts.port or 5432), NAME]
        environment = os.environ | {"PGOPTIONS": OPTIONS}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rate = float(re.findall(r"tps = ([0-9.]+)", done.stdout)[-1])
    latency = float(re.findall(r"latency average = ([0-9.]+)", done.stdout)[-1])
    return Run(rate, latency, latency)


# --- the servers ----------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int) -> Iterator[int]:
    """Keep a server running within; lend its process id."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(port)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("a server did not start")


def product(port: int) -> list[str]:
    return [sys.executable, "manage.py", "serve", "--port", str(port)]


def plain(port: int) -> list[str]:
    application = "django.core.wsgi:get_wsgi_application()"
    options = ["--workers", str(WORKERS), "--threads", "1", "--bind", f"127.0.0.1:{port}"]
    environment = ["--env", "DJANGO_SETTINGS_MODULE=plain.settings", "--log-level", "error"]
    return [sys.executable, "-m", "gunicorn", *options, *environment, application]


def play_http(row: Row, port: int, pid: int, seconds: int, folder: Path) -> Run:
    """Play requests by wrk, which costs a fraction of what a server does."""
    pairs = folder / ("hot" if row.kind == "hot" else "pair")
    environment = os.environ | {"BENCH_KIND": row.kind, "BENCH_PAIRS": str(pairs)}
    _wait_until_idle(port)
    command = ["wrk", "-t1", f"-c{row.clients}", f"-d{seconds}s", "--timeout", "60s"]
    command += ["-s", "bench/load.lua"]
    before = cpu_of(family(pid)), cpu_of(backends()), own_cpu()
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    after = cpu_of(family(pid)), cpu_of(backends()), own_cpu()
    found = re.search(r"BENCH (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found is not None, done.stdout
    requests, micros, p50, p99, errors = map(int, found.groups())
    if errors:
        raise SystemExit(f"{row.name}: {errors} of {requests} requests failed")
    requests = max(requests, 1)
    costs = [1_000 * max(b - a, 0) / requests for a, b in zip(before, after, strict=True)]
    return Run(1e6 * requests / micros, p50 / 1_000, p99 / 1_000, *costs)


def _wait_until_idle(port: int) -> None:
    """Wait until a server has done what clients who left had asked of it."""
    for _ in range(2 * WORKERS):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as probe:
            probe.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            probe.recv(1)


def family(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *map(int, found.stdout.split())]


def backends() -> list[int]:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        return [pid for (pid,) in connection.execute(asked, [NAME])]


def cpu_of(pids: list[int]) -> float:
    """Return the seconds of CPU that these processes have had."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- the table ------------------------------------------------------------------------------------


def measure(
    row: Row, rounds: int, seconds: int, ports: dict[str, tuple[int, int]], folder: Path
) -> dict[str, list[Run]]:
    """Return the runs of a row by who was asked, in turns."""
    runs: dict[str, list[Run]] = {"product": [], "plain": [], "sql": []}
    for port, pid in ports.values():  # warm up
        play_http(row, port, pid, 1, folder)
    for _ in range(rounds):
        for who, (port, pid) in ports.items():
            runs[who].append(play_http(row, port, pid, seconds, folder))
        runs["sql"].append(play_sql(row, seconds))
    return runs


def median(runs: list[Run], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def verdict(row: Row, runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Return the medians, the ratios, and what of the targets holds."""
    ours, theirs, sql = (
        {name: median(runs[who], name) for name in asdict(runs[who][0])}
        for who in ("product", "plain", "sql")
    )
    ratios = {"sql": ours["rate"] / sql["rate"], "plain": ours["rate"] / max(theirs["rate"], 0.1)}
    cpu = (theirs["server"] + theirs["database"]) / max(ours["server"] + ours["database"], 1e-6)
    checks = {
        "against pgbench": (ratios["sql"], row.against_sql, True),
        "against plain DRF": (ratios["plain"], row.against_plain, True),
        "p50 ms": (ours["p50"], row.p50, False),
        "p99 ms": (ours["p99"], row.p99, False),
    }
    held = {
        name: {"is": round(found, 3), "target": target, "holds": (found >= target) == rising}
        for name, (found, target, rising) in checks.items()
        if target is not None
    }
    spread = [round(run.rate) for run in runs["product"]]
    return {
        "row": row.name,
        "product": {name: round(value, 4) for name, value in ours.items()},
        "plain": {name: round(value, 4) for name, value in theirs.items()},
        "pgbench": {"rate": round(sql["rate"], 1), "latency": round(sql["p50"], 3)},
        "runs": spread,
        "cpu_ratio": round(cpu, 1),
        "targets": held,
    }


def show(console: Console, found: list[dict[str, Any]]) -> None:
    table = Table(title="requests a second; CPU in ms a request (server + database, client)")
    for name in ("", "product", "p50/p99 ms", "CPU", "wrk", "pgbench", "ratio", "plain", "ratio"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_column("targets")
    for each in found:
        ours, theirs, sql = each["product"], each["plain"], each["pgbench"]
        marks = ", ".join(
            f"{name} {'≥' if 'against' in name else '≤'} {t['target']:.2g} "
            f"{'holds' if t['holds'] else 'MISSED'}"
            for name, t in each["targets"].items()
        )
        table.add_row(
            each["row"],
            f"{ours['rate']:.0f}",
            f"{ours['p50']:.1f}/{ours['p99']:.1f}",
            f"{ours['server']:.3f} + {ours['database']:.3f}",
            f"{ours['client']:.3f}",
            f"{sql['rate']:.0f}",
            f"{ours['rate'] / sql['rate']:.2f}",
            f"{theirs['rate']:.0f}",
            f"{ours['rate'] / max(theirs['rate'], 0.1):.1f}",
            marks,
        )
    console.print(table)


def machine() -> dict[str, Any]:
    from django import get_version

    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        database = connection.execute("SHOW server_version").fetchone()
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processors": f"{len(models)} × {models[0] if models else platform.machine()}",
        "load before": os.getloadavg()[0],
        "python": platform.python_version(),
        "django": get_version(),
        "postgresql": database and database[0],
        "command": " ".join(["python", "bench/speed.py", *sys.argv[1:]]),
    }


def keep(facts: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """Keep the figures so far."""
    kept = RESULTS / f"speed-{datetime.now(UTC):%Y-%m-%d}.json"
    kept.write_text(json.dumps({"machine": facts, "rows": found}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little data, two short rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="kinds of rows")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = min(chosen.rounds, 2), min(chosen.seconds, 2)
    missing = [name for name in ("wrk", "pgbench") if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"missing: {' and '.join(missing)}")
    console = Console(width=200)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-")))
        os.environ["PARLEY_DATA_DIR"] = str(folder)
        stack.enter_context(filled_database(quick=chosen.quick))
        write_pairs(folder)
        ports = {}
        for who, command in (("product", product), ("plain", plain)):
            port = free_port()
            ports[who] = port, stack.enter_context(serving(command(port), port))
        facts = machine()
        found = []
        for row in ROWS:
            if not chosen.only or row.kind in chosen.only:
                runs = measure(row, chosen.rounds, chosen.seconds, ports, folder)
                found.append(verdict(row, runs))
                show(console, found[-1:])
                if chosen.write:
                    keep(facts, found)
        show(console, found)


if __name__ == "__main__":
    main()
