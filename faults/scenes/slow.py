"""Clients that are slow on purpose, huge, or too many; others are served meanwhile."""

from __future__ import annotations

import asyncio
import csv
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from faults.clients import Visitor, visiting
from faults.report import Finding, at_most, equal, fault, told
from faults.stage import Server, Stage
from tests.servers import NotHere

MEBIBYTE = 1024 * 1024
MODES: dict[str, list[str]] = {
    "heads": ["-H", "-i", "10", "-t", "GET", "-x", "24"],
    "bodies": ["-B", "-i", "10", "-s", "8192", "-t", "POST", "-x", "10"],
    "readers": ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3"],
}
PATHS = {
    "heads": "/api/",
    "bodies": "/api/token/",
    "readers": "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js",
}
# Each reader asks for three answers of 1.4 MB, which are work for the server by themselves.
COUNTS = {"heads": 1_000, "bodies": 1_000, "readers": 200}
RATES = {"heads": 200, "bodies": 200, "readers": 40}  # connections that begin in a second
OTHERS = 10  # connections of those who are not slow
OVER = {"06", "0A"}  # as Linux numbers what waits out its time, and what listens
CUT_S = {"heads": 15, "bodies": 15, "readers": 30}


@fault("F14", "1,000 slow heads, 1,000 slow bodies, 200 slow readers", "sqlite", seconds=15)
async def slow(stage: Stage) -> list[Finding]:
    """The others' latency is compared with that of a server beside it which nobody disturbs: what
    slowhttptest takes of the machine is no work of the server.
    """
    if shutil.which("slowhttptest") is None:
        raise NotHere("apt-get install slowhttptest brings it")
    [server] = await stage.serve()
    [calm] = await stage.serve(url=f"sqlite:///{stage.folder / 'calm.sqlite3'}")
    visitor, other = [
        Visitor((await stage.cast(address, 1))[0], address)
        for address in (server.address, calm.address)
    ]
    async with visiting(visitor, other):
        await asyncio.sleep(stage.seconds)
    findings = _compared("p95 of others before", visitor, other)
    for mode in MODES:
        stage.say(mode)
        findings += await _slow(stage, server, [visitor, other], mode)
    answers = ", ".join(f"{status}: {n:,}" for status, n in sorted(visitor.statuses.items()))
    return [
        *findings,
        told("answers to others", answers),
        equal("other answers than 200", set(visitor.statuses) - {200} or "none", "none"),
        equal("the server ran on", server.is_running() and server.starts == 1, True),
    ]


def _compared(what: str, visitor: Visitor, other: Visitor) -> list[Finding]:
    one, calm = visitor.take(), other.take()
    return [
        told(what, f"{one:.1f} ms, {calm:.1f} ms of the server beside"),
        at_most(f"{what}, ratio", one / calm, 2),
    ]


async def _slow(
    stage: Stage, server: Server, visitors: Sequence[Visitor], mode: str
) -> list[Finding]:
    count, limit = COUNTS[mode], CUT_S[mode] + 2  # it is told by the second
    kept = stage.folder / mode
    call = ["slowhttptest", *MODES[mode], "-c", str(count), "-r", str(RATES[mode])]
    call += ["-u", f"http://{server.address}{PATHS[mode]}", "-p", "3", "-l", str(limit + 15)]
    assert server.process is not None
    size, counts, sizes = _memory(server.process.pid), list[int](), list[int]()
    watching = asyncio.create_task(_watch(server, counts, sizes))
    async with visiting(*visitors):
        process = await asyncio.create_subprocess_exec(
            *call, "-g", "-o", str(kept), stdout=asyncio.subprocess.DEVNULL
        )
        await process.wait()
    watching.cancel()
    rows = list(_rows(kept.with_suffix(".csv")))
    return [
        told(f"slow {mode}, most at once", max(counts)),
        at_most(f"slow {mode}, from the most until all are cut off", _held(counts), limit, "s"),
        equal(f"slow {mode}, seconds without service", _unserved(rows), 0),
        told(f"slow {mode}, memory for them", f"{(max(sizes) - size) / MEBIBYTE:.0f} MiB"),
        *_compared(f"slow {mode}, p95 of others", *visitors),
    ]


def _rows(path: Path) -> Iterator[dict[str, int]]:
    with path.open() as file:
        for row in csv.DictReader(file):
            yield {key.strip(): int(value) for key, value in row.items() if value.strip()}


async def _watch(server: Server, counts: list[int], sizes: list[int]) -> None:
    """Note each second, until cancelled, how many connections the kernel has at a server's port,
    and how many bytes of memory the server holds.
    """
    assert server.process is not None
    while True:
        counts.append(_connections(server.port))
        sizes.append(_memory(server.process.pid))
        await asyncio.sleep(1)


def _connections(port: int) -> int:
    found = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(f[1].endswith(f":{port:04X}") and f[3] not in OVER for f in found)


def _held(counts: Sequence[int]) -> int:
    """Return the seconds from when most were there to when only others were."""
    return max(n for n, count in enumerate(counts) if count > OTHERS) - counts.index(max(counts))


def _unserved(rows: Sequence[dict[str, int]]) -> int:
    return sum(row["Service Available"] == 0 for row in rows)


# --- too much -------------------------------------------------------------------------------------

HUGE = 500 * MEBIBYTE
CHUNK = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
SOCKETS = 8 * MEBIBYTE  # what the buffers on the way may hold besides what is read


@dataclass(frozen=True, slots=True)
class Attack:
    """A request that is too much: its head, a piece of what follows, and how often it comes."""

    what: str
    wanted: tuple[int, ...]
    head: bytes
    piece: bytes = b""
    times: int = 0


def _attacks(token: str) -> Iterator[Attack]:
    own = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n".encode()
    anonymous, chunked = b"Host: localhost\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
    for who, headers in (("a stranger's", anonymous), ("a user's", own)):
        for path in (b"/no/such/address", b"/api/messages/"):
            head = b"POST " + path + b" HTTP/1.1\r\n" + headers + chunked
            what = f"{who} 500 MiB in chunks to {path.decode()}"
            yield Attack(what, (413,), head, CHUNK, HUGE // 65536)
    head = b"POST /api/token/ HTTP/1.1\r\n" + anonymous
    yield Attack(
        "500 MiB where 10 bytes were said",
        (400,),
        head + b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n",
        b"x" * 65536,
        HUGE // 65536,
    )
    yield Attack("a header of 2 MB", (431,), b"GET / HTTP/1.1\r\nX-A: ", b"x" * 65536, 31)
    yield Attack("an address of 1 MB", (414,), b"GET /", b"x" * 65536, 16)
    form = b"&".join(b"field%d=1" % n for n in range(10_000))
    said = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
    yield Attack("10,000 fields", (400, 413), head + said % len(form), form, 1)


@fault("F15", "bodies, headers, addresses and forms that are too large", "sqlite", seconds=10)
async def too_large(stage: Stage) -> list[Finding]:
    [server] = await stage.serve(TMPDIR=str(stage.folder))
    [person] = await stage.cast(server.address, 1)
    async with visiting(Visitor(person, server.address)):
        await asyncio.sleep(stage.seconds / 4)
    assert server.process is not None
    before, findings = _memory(server.process.pid), list[Finding]()
    for attack in _attacks(person.token):
        stage.say(attack.what)
        status, is_json, sent, closed = await asyncio.to_thread(_attack, server.port, attack)
        shown = f"{status}{' in JSON' if is_json else ''}, {sent / MEBIBYTE:.1f} MiB sent"
        # What is read to its end is refused as any request is, and the connection stays.
        in_time = closed <= 1 or attack.times == 1
        holds = status in attack.wanted and is_json and sent <= SOCKETS and in_time
        wanted = " or ".join(map(str, attack.wanted))
        wanted += f" in JSON, ≤ {SOCKETS // MEBIBYTE} MiB, closed within 1 s"
        findings.append(Finding(attack.what, f"{shown}, closed in {closed:.2f} s", holds, wanted))
    spooled = [path.name for path in stage.folder.iterdir() if path.name.startswith("tmp")]
    grown = (_memory(server.process.pid) - before) / MEBIBYTE
    return [
        *findings,
        equal("files that bodies were spooled to", len(spooled), 0),
        at_most("memory that the server grew by", grown, 16, "MiB"),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


def _memory(process: int) -> int:
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * 4096


def _attack(port: int, attack: Attack) -> tuple[int, bool, int, float]:
    """Return the status, whether JSON came with it, the bytes sent, and the seconds from then
    until nothing more is taken from us.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(attack.head)
        line.setblocking(False)
        answer, sent, left, waiting = b"", 0, attack.times, b""
        answered, until = 0.0, time.monotonic() + 20
        while time.monotonic() < until:
            try:
                got = line.recv(65536)
                answered = answered or time.monotonic()
                answer += got
                if not got and answer:
                    break
            except BlockingIOError:
                time.sleep(0.0005)
            except OSError:
                break
            if not waiting and left:
                waiting, left = attack.piece, left - 1
            try:
                went = line.send(waiting) if waiting else 0
                sent, waiting = sent + went, waiting[went:]
            except BlockingIOError:
                pass
            except OSError:
                waiting, left = b"", 0
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 0
        is_json = b"application/json" in head.lower() and body.startswith(b"{")
        return status, is_json, sent, time.monotonic() - (answered or until)


CROWD = 200
CONNECTIONS = 20
OPEN = "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


@fault("F16", "200 at once where the database has 20 connections, and one who locks", "postgresql")
async def exhausted(stage: Stage) -> list[Finding]:
    url = await stage.open_store(max_connections=str(CONNECTIONS))
    [server] = await stage.serve()
    people = await stage.cast(server.address, 8)
    [stuck, free] = await stage.groups(server.address, people, 2)
    statuses, waits, over = Counter[int](), list[float](), asyncio.Event()
    without_hint = 0

    async def press(n: int) -> None:
        nonlocal without_hint
        async with people[n % 8].client(server.address, timeout=60) as client:
            while not over.is_set():
                begun = time.monotonic()
                where = stuck if n % 10 == 0 else free
                if n % 3:
                    said = {"conversation": where, "message_body": f"{n} {begun}"}
                    answer = await client.post("/api/messages/", json=said)
                else:
                    answer = await client.get("/api/users/")
                statuses[answer.status_code] += 1
                without_hint += answer.status_code == 503 and "retry-after" not in answer.headers
                waits.append(time.monotonic() - begun)

    async with await psycopg.AsyncConnection.connect(url) as own:
        locked = "SELECT 1 FROM conversations_conversation WHERE conversation_id = %s FOR UPDATE"
        await own.execute(locked, [stuck])
        pressing = [asyncio.create_task(press(n)) for n in range(CROWD)]
        await asyncio.sleep(stage.seconds)
        cursor = await own.execute(OPEN)
        found = await cursor.fetchone()
        await own.rollback()
    over.set()
    await asyncio.gather(*pressing)
    begun = time.monotonic()
    async with people[0].client(server.address) as client:
        after = await client.get("/api/users/")
    return [
        told("answers", ", ".join(f"{s}: {n:,}" for s, n in sorted(statuses.items()))),
        told("connections to the database, of 20", found[0] if found else 0),
        equal("answers 500", statuses[500], 0),
        equal("503 without Retry-After", without_hint, 0),
        at_most("the longest wait for an answer", max(waits), 15, "s"),
        equal("the next answer", after.status_code, 200),
        at_most("seconds until it", time.monotonic() - begun, 2, "s"),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]
