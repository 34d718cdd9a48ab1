"""Processes of the server that die."""

from __future__ import annotations

import asyncio
import time

from faults.clients import Sender
from faults.history import History
from faults.report import Finding, at_least, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage

EACH_S = 1.5


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
