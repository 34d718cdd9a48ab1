"""Everyone at once: ten thousand who connect, and ten thousand who come back."""

from __future__ import annotations

import asyncio
import random
import re
import resource
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.clients import Person, Sender, Visitor, visiting
from faults.history import History
from faults.lines import CURSOR, UPGRADE, Line
from faults.report import Finding, at_most, equal, fault, told
from faults.stage import Stage
from tests.servers import NotHere

COUNT = 10_000
PEOPLE = 20
WITHIN_S = 2.0
OPENING = 100  # at a time, where nobody is in a hurry
AWAY = 10  # messages that everyone misses
BACK_S = 60.0
PATIENCE_S = 300.0
LONGEST_PAUSE_S = 30.0
CALLS = "SELECT COALESCE(SUM(calls), 0) FROM pg_stat_statements"


class Refused(ConnectionError):
    """The server does not take a connection now; it says when to come again, or does not."""

    def __init__(self, status: int, *, is_kind: bool) -> None:
        super().__init__(status)
        self.status, self.is_kind = status, is_kind


@dataclass
class Socket:
    """A device with a WebSocket, who comes back until it has what it missed."""

    address: str
    person: Person
    cursor: str = ""
    line: Line | None = None
    refused: Counter[str] = field(default_factory=Counter)

    async def open(self, place: int) -> None:
        self.line = await Line.open(self.address, self.person.credential, "/ws/", UPGRADE, place)
        status, is_kind = await self.line.status()
        if status != 101:
            raise Refused(status, is_kind=is_kind)
        hello = await self.line.until(CURSOR)
        self.cursor = self.cursor or hello[1].decode()

    async def live(self) -> None:
        """Answer pings, until cancelled."""
        assert self.line is not None
        await self.line.until(re.compile(b"(?!)"))

    async def come_back(self, last: re.Pattern[bytes]) -> float:
        """Come back until the last of what was missed is there; return when it was.

        The first delay, as each later one, is anything up to its longest: "full jitter".
        """
        longest = WITHIN_S
        while True:
            await asyncio.sleep(random.uniform(0, longest))
            try:
                return await self._resume(last)
            except Refused as refused:
                hint = "" if refused.is_kind else " without Retry-After"
                self.refused[f"{refused.status}{hint}"] += 1
            except OSError as error:
                self.refused[str(error) or type(error).__name__] += 1
            finally:
                if self.line is not None:
                    self.line.cut()
            longest = min(2 * longest, LONGEST_PAUSE_S)

    async def _resume(self, last: re.Pattern[bytes]) -> float:
        await self.open(place=4)
        assert self.line is not None
        self.line.resume(self.cursor)
        await self.line.until(last)
        return time.monotonic()


@fault("F12", "10,000 connect at once, and 10,000 WebSockets come back", "postgresql", seconds=60)
async def storm(stage: Stage) -> list[Finding]:
    _allow_files(COUNT + 1_000)
    preloaded = {"pg_stat_statements.track_utility": "off"}
    await stage.open_store(shared_preload_libraries="pg_stat_statements", **preloaded)
    [server] = await stage.serve()
    await asyncio.to_thread(stage.sql, "CREATE EXTENSION pg_stat_statements")
    people = await stage.cast(server.address, PEOPLE)
    [talk] = await stage.groups(server.address, people, 1)
    visitor = Visitor(people[0], server.address)
    stage.say(f"{COUNT:,} requests")
    findings = await _requests(server.address, people)
    sockets = [Socket(server.address, people[n % PEOPLE]) for n in range(COUNT)]
    stage.say(f"{COUNT:,} WebSockets open")
    await _hold(sockets, lambda: _write(server.address, people[1], talk))
    stage.say(f"{COUNT:,} WebSockets come back")
    last = re.compile(re.escape((await _write(server.address, people[1], talk, AWAY)).encode()))
    asked, begun = await _calls(stage), time.monotonic()
    async with visiting(visitor):
        ends = await _finished([socket.come_back(last) for socket in sockets])
    asked = await _calls(stage) - asked
    refusals = sum((socket.refused for socket in sockets), Counter[str]())
    return [
        *findings,
        equal("WebSockets that came back and missed nothing", len(ends), COUNT),
        at_most("until all had", max(ends, default=float("inf")) - begun, BACK_S, "s"),
        told("refused, or cut off, meanwhile", _shown(refusals)),
        equal("other refusals than 503 with Retry-After", _unkind(refusals), 0),
        at_most("statements of the database for each, and for others", asked / COUNT, 2),
        at_most("p95 of others", visitor.take(), 500, "ms"),
        told("answers to others", _shown(Counter(map(str, visitor.statuses.elements())))),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
        equal("the server ran on", server.is_running() and server.starts == 1, True),
    ]


async def _requests(address: str, people: Sequence[Person]) -> list[Finding]:
    """Have so many connect within two seconds, and ask once."""
    connected: list[float] = []
    answers = Counter[str]()

    async def ask(n: int) -> float:
        await asyncio.sleep(WITHIN_S * n / COUNT)
        begun = time.monotonic()
        path, close = "/api/unread/", "Connection: close\r\n"
        credential = people[n % len(people)].credential
        line = await Line.open(address, credential, path, close, place=2)
        connected.append(time.monotonic() - begun)
        try:
            status, is_kind = await line.status()
            answers[f"{status}{'' if status < 500 or is_kind else ' without Retry-After'}"] += 1
        finally:
            line.cut()
        return time.monotonic()

    begun = time.monotonic()
    ends = await _finished([ask(n) for n in range(COUNT)])
    slowest = sorted(connected)[int(0.99 * (len(connected) - 1))]
    return [
        equal("requests answered", len(ends), COUNT),
        told("answers", _shown(answers)),
        equal("other answers than 200, and 503 with Retry-After", _unkind(answers), 0),
        at_most("p99 of connecting", slowest, 1, "s"),
        told("from the first until all were answered", f"{max(ends) - begun:.1f} s"),
    ]


async def _hold(sockets: Sequence[Socket], meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Open all, a hundred at a time, do something, and cut all."""
    gate = asyncio.Semaphore(OPENING)
    lives: list[asyncio.Task[None]] = []

    async def open_one(socket: Socket) -> None:
        async with gate:
            await socket.open(place=3)
        lives.append(asyncio.create_task(socket.live()))

    try:
        await asyncio.gather(*(open_one(socket) for socket in sockets))
        await meanwhile()
    finally:
        for life in lives:
            life.cancel()
        for socket in sockets:
            if socket.line is not None:
                socket.line.cut()


async def _write(address: str, person: Person, talk: str, count: int = 1) -> str:
    """Write messages; return the body of the last."""
    sender, body = Sender(person, [address], History()), ""
    for _ in range(count):
        body = secrets.token_hex(16)
        await sender.send(talk, body)
    await sender.close()
    return body


async def _finished(works: Sequence[Coroutine[Any, Any, float]]) -> list[float]:
    """Return what those came to that ended well, in good time."""
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.wait(tasks, timeout=PATIENCE_S)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return [end for end in ends if isinstance(end, float)]


async def _calls(stage: Stage) -> int:
    [[calls]] = await asyncio.to_thread(stage.sql, CALLS)
    return int(str(calls))


def _unkind(answers: Counter[str]) -> int:
    """Count what is neither an answer nor a refusal that says when to come again."""
    return sum(number for what, number in answers.items() if what not in {"200", "503"})


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{what}: {n:,}" for what, n in sorted(counts.items())) or "none"


def _allow_files(count: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < count:
        raise NotHere(f"{count:,} open files are needed, and {most:,} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
