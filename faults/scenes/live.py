"""Live streams that are cut, and a broker that is gone."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable

from faults.clients import Person, Sender
from faults.history import History
from faults.listeners import Device, SocketDevice, StreamDevice, listening, until_all_have
from faults.report import Finding, at_least, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage

PATIENCE_S = 15  # until what does not come is lost
SHARE_AWAY = 0.5
EACH_LISTENER_S = 0.3
DEAFEN = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
EACH_DEVICE_S = 1.0  # between two cuts of one device, on average


@fault("F07", "the broker killed, and back empty", "postgresql", "mariadb")
async def broker_away(stage: Stage) -> list[Finding]:
    """Redis carries the hints; nobody is told by it, for half of the time."""
    broker = await stage.open_broker()

    async def away() -> None:
        stage.say("the broker is killed")
        await asyncio.to_thread(broker.end, signal.SIGKILL)
        await asyncio.sleep(stage.seconds * SHARE_AWAY)
        stage.say("the broker is back, and empty")
        await broker.start()

    return await _hints_lost(stage, away)


@fault("F07-notify", "what listens to NOTIFY cut off, again and again", "postgresql")
async def listening_cut(stage: Stage) -> list[Finding]:
    """PostgreSQL carries the hints; who listens is cut off as soon as it is back."""
    cuts = 0

    async def cut() -> None:
        nonlocal cuts
        end = time.monotonic() + stage.seconds * SHARE_AWAY
        while time.monotonic() < end:
            cuts += len(await asyncio.to_thread(stage.sql, DEAFEN))
            stage.say(f"{cuts} cuts")
            await asyncio.sleep(EACH_LISTENER_S)

    findings = await _hints_lost(stage, cut)
    return [at_least("connections that listened, cut", cuts, 2), *findings]


async def _hints_lost(stage: Stage, trouble: Callable[[], Awaitable[None]]) -> list[Finding]:
    """Send through two processes, and listen at both, before, under and after some trouble."""
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    history = History()
    senders = [
        Sender(person, [addresses[n % 2]], history, pause=0.1) for n, person in enumerate(people)
    ]
    devices: list[Device] = [
        kind(people[n], lambda a=address: a)
        for n, address in enumerate(addresses)
        for kind in (SocketDevice, StreamDevice)
    ]
    async with listening(*devices):
        async with Load(senders, talks):
            await asyncio.sleep(stage.seconds / 4)
            await trouble()
            back = {attempt.body for attempt in history.acked}
            took = await until_all_have(devices, back, patience=PATIENCE_S, most=30)
            await asyncio.sleep(stage.seconds / 4)
        every = {attempt.body for attempt in history.acked}
        last = await until_all_have(devices, every, patience=PATIENCE_S)
    violations = await stage.judge(history, talks, people[0], addresses[0])
    refused = sum(n for status, n in history.statuses().items() if status not in {200, 201})
    return [
        *sent(history),
        equal("sends not answered at once", refused, 0),
        safe(violations),
        at_most("from the end of it until everyone had everything", took, 5, "s"),
        at_most("from the last send until everyone had everything", last, 5, "s"),
        *heard(devices, talks, every),
        equal("connections that ended", sum(device.cuts for device in devices), 0),
        equal("processes that ended", sum(not server.is_running() for server in servers), 0),
    ]


def heard(devices: list[Device], talks: list[str], bodies: set[str]) -> list[Finding]:
    """What devices missed, or took twice by revision; connections told each talk in order."""
    taken = [device.sequence(talk) for device in devices for talk in talks]
    return [
        equal("events lost", sum(len(bodies - device.bodies) for device in devices), 0),
        equal("taken twice", sum(len(seqs) - len(set(seqs)) for seqs in taken), 0),
        equal("out of order on a connection", sum(device.reordered for device in devices), 0),
        equal("resync asked of a device", sum(device.resyncs for device in devices), 0),
        told("came again with the revision it had", sum(device.again for device in devices)),
    ]


@fault("F21", "streams cut at random, processes killed, the broker lost", "postgresql", "mariadb")
async def streams_cut(stage: Stage) -> list[Finding]:
    await stage.open_broker()
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    await _settle(addresses[0], people[0])
    history = History()
    senders = [
        Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history, pause=0.05)
        for n, person in enumerate(people)
    ]
    devices: list[Device] = [
        kind(person, lambda: random.choice(addresses))
        for person in people
        for kind in (SocketDevice, StreamDevice)
    ]
    async with listening(*devices):
        loop = asyncio.get_running_loop()
        end, cuts = loop.time() + stage.seconds, 0
        async with Load(senders, talks):
            trouble = asyncio.create_task(_kill(stage))
            while loop.time() < end:
                await random.choice(devices).cut()
                cuts += 1
                stage.say(f"{cuts} cuts")
                await asyncio.sleep(random.uniform(0, 2 * EACH_DEVICE_S / len(devices)))
            await trouble
        every = {attempt.body for attempt in history.acked}
        took = await until_all_have(devices, every, patience=PATIENCE_S)
    violations = await stage.judge(history, talks, people[0], addresses[0])
    return [
        *sent(history),
        safe(violations),
        at_least("times that a stream ended", sum(device.cuts for device in devices), 1),
        told("from the last send until everyone had everything", f"{took:.2f} s"),
        *heard(devices, talks, every),
    ]


async def _kill(stage: Stage) -> None:
    """A server is killed, then the broker, then the other server."""
    for n in range(3):
        await asyncio.sleep(stage.seconds / 4)
        if n == 1 and stage.broker is not None:
            await stage.broker.restart(signal.SIGKILL)
        else:
            await stage.servers[n // 2].restart()


async def _settle(address: str, person: Person) -> None:
    """Let the beginning of the groups settle: what is new whole comes with its newest twenty."""
    async with person.client(address) as client:
        for _ in range(4):
            await client.get("/api/sync/")
            await asyncio.sleep(1.1)
