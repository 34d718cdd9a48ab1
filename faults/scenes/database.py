"""The database's connections ended, and the database itself; commits that a standby holds."""

from __future__ import annotations

import asyncio
import signal
import time

from faults.clients import Person, Reader, Sender, read_back, syncing
from faults.history import History
from faults.listeners import SocketDevice, listening, until_all_have
from faults.report import Finding, at_least, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage

EACH_S = 0.3
RESTARTS = 3
END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)

# Whose commits do not wait for the standby, besides those of everyone else.
HASTY = "CREATE ROLE hasty LOGIN SUPERUSER; ALTER ROLE hasty SET synchronous_commit = local"
STANDBY = "ALTER SYSTEM SET synchronous_standby_names = '{}'"
HELD = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
AROUND_S = 3.0


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


@fault("F32", "commits held by a standby that does not answer", "postgresql", seconds=60)
async def commits_held(stage: Stage) -> list[Finding]:
    """Commits of one process wait for a standby, those of the other do not: what the one wrote
    before appears after what the other writes meanwhile, to readers who are long past that.
    """
    url = await stage.open_store()
    await asyncio.to_thread(stage.sql, HASTY)
    [held] = await stage.serve()
    [hasty] = await stage.serve(url=url.replace("parley@", "hasty@"))
    people = await stage.cast(hasty.address)
    [stuck, *free] = await stage.groups(hasty.address, people, 5)
    waiting, going = History(), History()
    reader, device = Reader(people[0]), SocketDevice(people[1], lambda: hasty.address)
    patient = [Sender(person, [held.address], waiting) for person in people[:4]]
    others = [Sender(person, [hasty.address], going, pause=0.02) for person in people[4:]]
    most = 0
    async with listening(device):
        async with syncing([reader], [hasty.address]), Load(patient, [stuck]), Load(others, free):
            await asyncio.sleep(AROUND_S)
            stage.say("commits are held")
            await _hold_commits(stage, "away")
            begun = time.monotonic()
            while time.monotonic() < begun + stage.seconds:
                await asyncio.sleep(1)
                [[number]] = await asyncio.to_thread(stage.sql, HELD)
                most = max(most, int(str(number)))
            released = time.monotonic()
            await _hold_commits(stage, "")
            stage.say("commits go through")
            await asyncio.sleep(AROUND_S)
        bodies = {attempt.body for attempt in [*waiting.acked, *going.acked]}
        await until_all_have([device], bodies, patience=15)
    stored = [
        m.message_id for w in [stuck, *free] for m in await read_back(hasty.address, people[0], w)
    ]
    within = [a for a in waiting.acked if begun < (a.acked or 0) < released]
    after = [a for a in waiting.acked if (a.acked or 0) >= released]
    both = History([*waiting.attempts, *going.attempts])
    violations = await stage.judge(both, [stuck, *free], people[0], hasty.address)
    return [
        told("held for", f"{released - begun:.0f} s"),
        at_least("commits held at once, at most", most, 1),
        equal("acknowledged meanwhile by who waits for the standby", len(within), 0),
        told("acknowledged by them thereafter", len(after)),
        *sent(both),
        safe(violations),
        equal("messages that a reader who syncs missed", len(set(stored) - reader.came), 0),
        equal("messages that a device missed", len(bodies - device.bodies), 0),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


async def _hold_commits(stage: Stage, standby: str) -> None:
    """Have commits wait for this standby; for none, where it is ''."""
    await asyncio.to_thread(stage.sql, STANDBY.format(standby))
    await asyncio.to_thread(stage.sql, "SELECT pg_reload_conf()")
