"""The database's connections ended, and the database itself."""

from __future__ import annotations

import asyncio
import signal
import time

from faults.clients import Person, Sender
from faults.history import History
from faults.report import Finding, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage

EACH_S = 0.3
RESTARTS = 3
END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@fault("F04", "every connection of the database ended, again and again", "postgresql")
async def backends_ended(stage: Stage) -> list[Finding]:
    async def trouble() -> int:
        ended, end = 0, time.monotonic() + stage.seconds
        while time.monotonic() < end:
            ended += len(await asyncio.to_thread(stage.sql, END))
            await asyncio.sleep(EACH_S)
        return ended

    findings, _ = await _under(stage, trouble(), "connections ended")
    return findings


@fault("F05", "PostgreSQL stopped at once, or killed, and started again", "postgresql")
async def restarted(stage: Stage) -> list[Finding]:
    ups: list[float] = []

    async def trouble() -> int:
        assert stage.store is not None
        for n in range(RESTARTS):
            await asyncio.sleep(stage.seconds / RESTARTS / 2)
            how = signal.SIGKILL if n == RESTARTS - 1 else signal.SIGQUIT
            await stage.store.restart(how)
            ups.append(time.monotonic())
            await asyncio.sleep(stage.seconds / RESTARTS / 2)
        return RESTARTS

    findings, history = await _under(stage, trouble(), "restarts")
    acks = [attempt.acked for attempt in history.attempts if attempt.acked is not None]
    waits = [min((ack for ack in acks if ack > up), default=up + 99) - up for up in ups]
    return [
        *findings,
        at_most("from when it answers to the first acknowledgement", max(waits), 3, "s"),
    ]


async def _under(
    stage: Stage, trouble: asyncio.Future[int] | object, what: str
) -> tuple[list[Finding], History]:
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    history, reads, over = History(), list[int](), asyncio.Event()
    senders = [
        Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history)
        for n, person in enumerate(people)
    ]
    reading = asyncio.create_task(_read(addresses, people[0], talks[0], reads, over))
    stage.say(what)
    async with Load(senders, talks):
        times = await trouble  # type: ignore[misc]
    over.set()
    await reading
    violations = await stage.judge(history, talks, people[0], addresses[0])
    return [
        told(what, times),
        *sent(history),
        equal("reads answered 500", reads.count(500), 0),
        told("reads", ", ".join(f"{s}: {reads.count(s)}" for s in sorted(set(reads)))),
        safe(violations),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
        equal("processes that ended", sum(not server.is_running() for server in servers), 0),
    ], history


async def _read(
    addresses: list[str], person: Person, talk: str, statuses: list[int], over: asyncio.Event
) -> None:
    """Read in turns what lists and pages there are, and note the answers."""
    paths = [
        f"/api/conversations/{talk}/messages/",
        "/api/conversations/",
        "/api/unread/",
        "/api/sync/",
        "/api/users/me/",
    ]
    turn = 0
    while not over.is_set():
        async with person.client(addresses[turn % 2], timeout=30) as client:
            statuses.append((await client.get(paths[turn % len(paths)])).status_code)
        turn += 1
        await asyncio.sleep(0.02)
