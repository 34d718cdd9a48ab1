"""Processes of the server that die, or stand still."""

from __future__ import annotations

import asyncio
import signal
import time

from faults.clients import Sender
from faults.history import History
from faults.listeners import SocketDevice, listening, until_all_have
from faults.report import Finding, at_least, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage

EACH_S = 1.5
AROUND_S = 5.0


@fault("F01", "one of two processes killed again and again", "postgresql", "sqlite", "mariadb")
async def one_of_two(stage: Stage) -> list[Finding]:
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    history, kills = History(), 0
    senders = [
        Sender(person, addresses[n % 2 :] + addresses[: n % 2], history)
        for n, person in enumerate(people)
    ]
    async with Load(senders, talks):
        end = time.monotonic() + stage.seconds
        while time.monotonic() < end:
            stage.say(f"{kills} kills, {len(history.acked):,} messages acknowledged")
            # The other one is up; a kill is due every 1.5 s, or once both are up again.
            await asyncio.gather(servers[kills % 2].restart(), asyncio.sleep(EACH_S))
            kills += 1
    violations = await stage.judge(history, talks, people[0], addresses[0])
    return [
        told("kills", kills),
        *sent(history),
        safe(violations),
        at_most("longest time without an acknowledgement", history.longest_gap(), 2, "s"),
        at_least("acknowledged within 5 s", 100 * history.share_acked_within(5), 99.9, "%"),
    ]


@fault("F02", "the only process killed, and started again", "sqlite", "postgresql", "mariadb")
async def the_only_one(stage: Stage) -> list[Finding]:
    [server] = await stage.serve(1)
    people = await stage.cast(server.address)
    talks = await stage.groups(server.address, people)
    history, waits = History(), []
    senders = [Sender(person, [server.address], history) for person in people]
    async with Load(senders, talks):
        end = time.monotonic() + stage.seconds
        while time.monotonic() < end or not waits:
            stage.say(f"{len(waits)} kills, {len(history.acked):,} messages acknowledged")
            killed = time.monotonic()
            await server.restart()
            started = len(history.acked)
            while len(history.acked) == started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            waits.append(time.monotonic() - killed)
            await asyncio.sleep(EACH_S)
    violations = await stage.judge(history, talks, people[0], server.address)
    return [
        told("kills", len(waits)),
        *sent(history),
        safe(violations),
        at_most("from a kill to the first acknowledgement, at worst", max(waits), 5, "s"),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


@fault("F24", "processes restarted in turn, by SIGTERM, under load", "postgresql", "mariadb")
async def rolling(stage: Stage) -> list[Finding]:
    """Who sends does not try again; a connection that is refused goes to the other process, as a
    balancer has it.
    """
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    history, ends, turn = History(), list[float](), 0
    senders = [
        Sender(
            person,
            [*addresses[n % 2 :], *addresses[: n % 2]],
            history,
            retries=False,
            balanced=True,
        )
        for n, person in enumerate(people)
    ]
    devices = [SocketDevice(person, lambda: addresses[(turn + 1) % 2]) for person in people]
    async with listening(*devices):
        async with Load(senders, talks):
            end = time.monotonic() + stage.seconds
            while time.monotonic() < end or len(ends) < len(servers):
                turn = len(ends)
                stage.say(f"{turn} restarts, {len(history.acked):,} messages acknowledged")
                await asyncio.sleep(EACH_S)
                begun = time.monotonic()
                servers[turn % 2].signal(signal.SIGTERM)
                await servers[turn % 2].ended()
                ends.append(time.monotonic() - begun)
                await servers[turn % 2].start()
        every = {attempt.body for attempt in history.acked}
        took = await until_all_have(devices, every, patience=10)
    violations = await stage.judge(history, talks, people[0], addresses[0])
    failed = len(history.attempts) - len(history.acked)
    codes = [code for device in devices for code in device.codes]
    return [
        told("restarts", len(ends)),
        *sent(history),
        at_most("sends that failed", 100 * failed / len(history.attempts), 0.01, "%"),
        safe(violations),
        at_most("from the signal until the process had ended", max(ends), 10 + 2, "s"),
        equal("how live connections ended", sorted(set(map(str, codes))), ["4503"]),
        at_least("of those told their cursor", sum(d.cursors for d in devices), len(codes)),
        told("seconds from the last send until every device had everything", f"{took:.2f}"),
        equal("events lost", sum(len(every - device.bodies) for device in devices), 0),
    ]


@fault("F25", "one of two processes frozen, and thawed", "postgresql", "mariadb", seconds=30)
async def frozen(stage: Stage) -> list[Finding]:
    """As a virtual machine that is moved: it does not know that it was away."""
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    history, device = History(), SocketDevice(people[0], lambda: addresses[0])
    senders = [
        Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history)
        for n, person in enumerate(people)
    ]
    async with listening(device):
        async with Load(senders, talks):
            await asyncio.sleep(AROUND_S)
            stage.say("one process is frozen")
            begun = time.monotonic()
            servers[0].signal(signal.SIGSTOP)
            await asyncio.sleep(stage.seconds)
            meanwhile = sum(begun < (a.acked or 0) for a in history.attempts)
            servers[0].signal(signal.SIGCONT)
            stage.say("it goes on")
            await asyncio.sleep(AROUND_S)
        every = {attempt.body for attempt in history.acked}
        took = await until_all_have([device], every, patience=15)
    violations = await stage.judge(history, talks, people[0], addresses[0])
    return [
        *sent(history),
        at_least("acknowledged by the other meanwhile", meanwhile, 1),
        safe(violations),
        told("seconds from the last send until a device of the frozen one had all", f"{took:.2f}"),
        equal("events lost", len(every - device.bodies), 0),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]
