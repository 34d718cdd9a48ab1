"""Our own server without one of its guards: what is looked for can be found."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from faults.clients import Person, Reader, Sender, read_back, syncing
from faults.history import History
from faults.listeners import SocketDevice, listening, until_all_have
from faults.proxy import Trouble, proxying
from faults.report import Finding, equal, fault, told
from faults.stage import ROOT, Load, Server, Stage

MOST_TRIES = 5  # a mutant that chance spared is played again
REPAIR_S = 8.0
READERS = 2
UNFIT = re.compile(r"\b(?:TypeError|AttributeError|NameError)\b.*")


@fault("F03", "mutants of the server are caught by the checker", "postgresql", seconds=5)
async def mutants(stage: Stage) -> list[Finding]:
    plays: list[tuple[str, str, str | None, Play]] = [
        ("(a) a client id is not looked at", "no-idempotency", None, _lose_answers),
        ("(c) answered before the commit", "ack-before-commit", None, _kill),
        ("(d) one frame in a hundred lost", "frames-lost", None, _listen),
        # The sound one shows more than that it is sound: hints may be lost.
        ("(f) hints lost, and not made up for", "hints-lost-for-good", "hints-lost", _listen),
        ("(e) settled too early", "settled-too-early", "late-commits", _sync),
        # Last, for it changes the database too.
        ("(b) numbered without a lock", "no-row-lock", None, _crowd),
    ]
    findings = []
    await stage.open_store()
    for title, mutant, sound, play in plays:
        stage.say(f"{title}: the sound server")
        clean = await play(stage, await stage.serve(2, mutant=sound))
        await _end(stage)
        caught = ""
        for tries in range(1, MOST_TRIES + 1):
            stage.say(f"{title}: the mutant, {tries}")
            caught = await play(stage, await stage.serve(2, mutant=mutant))
            await _end(stage)
            if caught:
                break
        findings += [
            equal(f"{title}: the sound server is flagged", clean or "no", "no"),
            Finding(
                f"{title}: the mutant is flagged",
                f"{caught}, in {tries} of {MOST_TRIES} tries" if caught else "no",
                bool(caught),
                "yes",
            ),
        ]
    return findings


Play = Callable[[Stage, list[Server]], Awaitable[str]]


async def _end(stage: Stage) -> None:
    """End the servers.

    :raises RuntimeError: a mutant fails, as what it changes is no longer as it was.
    """
    for server in stage.servers:
        await server.kill()
        if found := UNFIT.search(server.log.read_text(errors="replace")):
            raise RuntimeError(f"the mutant {server.mutant} is none of this server: {found[0]}")
    stage.servers.clear()


async def _load(
    stage: Stage, servers: Sequence[Server], addresses: Sequence[str], trouble: Awaitable[None]
) -> str:
    """Send through these addresses while something happens; return the violations, if any."""
    people = await stage.cast(servers[0].address)
    talks = await stage.groups(servers[0].address, people)
    history = History()
    senders = [
        Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history)
        for n, person in enumerate(people)
    ]
    async with Load(senders, talks):
        await trouble
    violations = await stage.judge(history, talks, people[0], servers[0].address)
    return ", ".join(f"{name} {count}" for name, count in violations.items() if count)


async def _lose_answers(stage: Stage, servers: list[Server]) -> str:
    trouble = Trouble(lose_answers=0.1)
    async with (
        proxying("127.0.0.1", servers[0].port, trouble) as one,
        proxying("127.0.0.1", servers[1].port, trouble) as other,
    ):
        addresses = [one.address, other.address]
        return await _load(stage, servers, addresses, asyncio.sleep(stage.seconds))


async def _crowd(stage: Stage, servers: list[Server]) -> str:
    addresses = [server.address for server in servers]
    return await _load(stage, servers, addresses, asyncio.sleep(stage.seconds))


async def _kill(stage: Stage, servers: list[Server]) -> str:
    async def kill() -> None:
        end = time.monotonic() + stage.seconds
        for n in range(1_000):
            if time.monotonic() > end:
                return
            await asyncio.sleep(0.5)
            await servers[n % 2].restart()

    return await _load(stage, servers, [server.address for server in servers], kill())


async def _listen(stage: Stage, servers: list[Server]) -> str:
    """New groups of three, one message each, so that no later message makes up for a lost hint."""
    address = servers[0].address
    people = await stage.cast(address, 6)
    device = SocketDevice(people[0], lambda: address)
    bodies: set[str] = set()
    end = time.monotonic() + 2 * stage.seconds

    async def found(person: Person) -> None:
        given = {"recipients": [people[0].user_id, people[1].user_id]}
        async with person.client(address) as client:
            while time.monotonic() < end:
                body = secrets.token_hex(8)
                answer = await client.post("/api/messages/", json={**given, "message_body": body})
                answer.raise_for_status()
                bodies.add(body)

    async with listening(device):
        await asyncio.gather(*(found(person) for person in people[2:]))
        await until_all_have([device], bodies, patience=REPAIR_S)
    lost = len(bodies - device.bodies)
    return f"{lost} of {len(bodies):,} never heard" if lost else ""


async def _sync(stage: Stage, servers: list[Server]) -> str:
    """Readers sync all the while, through both; in the end they must have everything."""
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people, 8)
    history, readers = History(), [Reader(person) for person in people[:READERS]]
    senders = [
        Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history)
        for n, person in enumerate(people)
    ]
    async with syncing(readers, addresses), Load(senders, talks):
        await asyncio.sleep(stage.seconds)
    stored = [m.message_id for w in talks for m in await read_back(addresses[0], people[0], w)]
    missed = sum(len(set(stored) - reader.came) for reader in readers)
    return f"{missed} of {2 * len(stored):,} never synced" if missed else ""


@fault("F35", "mutants of the fence are caught by the checker", "postgresql", "mariadb", "sqlite")
async def fence_mutants(stage: Stage) -> list[Finding]:
    """The tests of the fence: writers that stall, readers who sync; on a sound fence, and on ones
    without the shared lock, settled too early, with a cursor by the clock.
    """
    url = await stage.open_store()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PARLEY_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    if stage.database != "sqlite":
        environment["DATABASE_URL"] = url
    test = "tests/promises/test_interleavings.py"
    command = [sys.executable, "-m", "pytest", test, "-v", "-p", "no:cacheprovider"]
    stage.say("writers stall, readers sync")
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = dict(re.findall(r"::test_(\S+) (PASSED|FAILED|ERROR)", done.stdout))
    sound = said.pop("make_no_reader_miss_anything_or_get_it_twice", "not run")
    caught = [re.search(r"\[(\w+)\]", name)[1] for name in said if said[name] == "PASSED"]
    return [
        equal("the sound fence: nothing missed, nothing doubled", sound, "PASSED"),
        equal("mutants caught", f"{len(caught)} of {len(said)}", f"{len(said)} of {len(said)}"),
        told("which", ", ".join(caught)),
    ]
