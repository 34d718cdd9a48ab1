"""What a commit is worth."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from faults.clients import Sender
from faults.history import History
from faults.report import Finding, at_least, equal, fault, safe, sent
from faults.stage import Stage

AUDITED = 100
STRACE = (
    "strace",
    "-f",
    "-qq",
    "-s",
    "24",
    "-e",
    "trace=fsync,fdatasync,write,writev,sendto,sendmsg",
)
SYNCED = re.compile(r"(?:fsync|fdatasync)(?:\(.*\)| resumed>\)) += 0")
ACKNOWLEDGED = "HTTP/1.1 201"
SAYS = "how the database keeps what is committed"
WARNS = "a power cut can cost acknowledged messages"


@fault("F26", "what is acknowledged has reached the disk", "sqlite", "postgresql", seconds=5)
async def audit(stage: Stage) -> list[Finding]:
    """SQLite's own system calls; of PostgreSQL, what it says of its settings."""
    if stage.database == "postgresql":
        return await _settings_said(stage)
    calls = stage.folder / "calls"
    [server] = await stage.serve(1, before=(*STRACE, "-o", str(calls)))
    people = await stage.cast(server.address, 2)
    [talk] = await stage.groups(server.address, people, 1)
    history = History()
    sender = Sender(people[0], [server.address], history)
    begin = len(calls.read_text(errors="replace").splitlines())
    for n in range(AUDITED):
        stage.say(f"{n} messages, one after the other")
        await sender.send(talk, secrets.token_hex(8))
    await sender.close()
    unsynced, synced, acks = _audited(calls, begin)
    violations = await stage.judge(history, [talk], people[0], server.address)
    return [
        *sent(history),
        safe(violations),
        equal("answers seen among the system calls", acks, AUDITED),
        equal("of them without an fsync since the one before", unsynced, 0),
        at_least("fsyncs in all", synced, AUDITED),
        equal("the log says how", SAYS in server.log.read_text(), True),
    ]


def _audited(calls: Path, begin: int) -> tuple[int, int, int]:
    """Return how many answers no fsync preceded, and how many fsyncs and answers there were."""
    unsynced = synced = acks = since = 0
    for line in calls.read_text(errors="replace").splitlines()[begin:]:
        if SYNCED.search(line):
            synced, since = synced + 1, since + 1
        elif ACKNOWLEDGED in line:
            acks += 1
            unsynced += since == 0
            since = 0
    return unsynced, synced, acks


async def _settings_said(stage: Stage) -> list[Finding]:
    findings = []
    for options, said in (
        ({}, SAYS),
        ({"fsync": "off"}, WARNS),
        ({"synchronous_commit": "off"}, WARNS),
    ):
        await stage.open_store(**options)
        [server] = await stage.serve(1)
        shown = ", ".join(f"{name} = {value}" for name, value in options.items()) or "as installed"
        findings.append(
            equal(f"{shown}: the log says", said in server.log.read_text() and said, said)
        )
        await server.kill()
    return findings
