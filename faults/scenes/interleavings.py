"""Whatever people do, in any order, at two processes that are killed and do not hear each other:
each device ends with what a fresh sync shows, the others' read positions aside.

It is the machine of ``tests/realtime/test_machine.py`` on processes of the operating system.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from faults.clients import Person
from faults.report import Finding, at_least, equal, fault, told
from faults.scenes.live import DEAFEN
from faults.stage import Stage
from tests.realtime.copies import Client, differing, expected

PEOPLE = 5
PAUSE_S = 0.15  # of a person between two deeds: a copy is compared by 200 messages a conversation
CUT_S = 0.3  # between two cuts of a device, on average
DEAF_S = 1.0
KILLED_S = 6.0
PATIENCE_S = 15.0
MARKS = ("star", "read")


@dataclass
class World:
    """What there is to do something with, and what came of it."""

    addresses: Sequence[str]
    people: Sequence[Person]
    chance: random.Random
    talks: list[str] = field(default_factory=list)
    said: list[tuple[str, int, str]] = field(default_factory=list)  # where, its number, its id
    answers: Counter[str] = field(default_factory=Counter)

    def deed(self) -> tuple[str, str, dict[str, object] | None]:
        """Return something that someone may try: method, address, body."""
        chance, other = self.chance, self.chance.choice(self.people).user_id
        if not self.talks or chance.random() < 0.05:
            some = [each.user_id for each in self.people if chance.random() < 0.6]
            return "POST", "/api/conversations/", {"kind": "group", "participants": some}
        talk = f"/api/conversations/{chance.choice(self.talks)}/"
        body: dict[str, object] = {"message_body": secrets.token_hex(4)}
        if not self.said or chance.random() < 0.35:
            if chance.random() < 0.3:
                return "POST", "/api/messages/", body | {"recipient": other}
            return "POST", f"{talk}messages/", body
        _, seq, message_id = chance.choice(self.said[-60:])
        message = f"/api/messages/{message_id}/"
        now = datetime.now(UTC).isoformat() if chance.random() < 0.6 else None
        own = chance.choice(["archived_at", "pinned_at", "muted_until"])
        deeds: list[tuple[str, str, dict[str, object] | None]] = [
            ("PATCH", message, body),
            ("DELETE", f"{message}?for=everyone", None),
            ("DELETE", message, None),
            *(
                (method, f"{message}{what}/", None)
                for method in ("PUT", "DELETE")
                for what in MARKS
            ),
            ("POST", f"{talk}read/", {}),
            ("POST", f"{talk}read/", {"seq": seq}),
            ("POST", f"{talk}unread/", {"seq": seq}),
            ("PATCH", talk, {"me": {own: now}}),
            ("PATCH", talk, {"title": secrets.token_hex(3)}),
            ("POST", f"{talk}participants/", {"user_id": other}),
            ("DELETE", f"{talk}participants/{other}/", None),
            ("DELETE", talk, None),
            (chance.choice(["PUT", "DELETE", "DELETE"]), f"/api/blocks/{other}/", None),
        ]
        return chance.choice(deeds)

    def note(self, answer: httpx.Response) -> None:
        self.answers[f"{answer.status_code // 100}xx"] += 1
        if answer.status_code not in {200, 201} or answer.request.method != "POST":
            return
        given = answer.json()
        if "message_id" in given:
            where = given["conversation"]
            self.said.append((where, given["seq"], given["message_id"]))
        else:
            where = given.get("conversation_id")
        if where and where not in self.talks:
            self.talks.append(where)


@fault("F36", "any deeds in any order, at processes killed and deaf", "postgresql", seconds=60)
async def interleaved(stage: Stage) -> list[Finding]:
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0], PEOPLE)
    seed = secrets.randbits(32)
    world = World(addresses, people, random.Random(seed))
    devices = [
        Client(addresses, turn, dict(person.headers), person.user_id)
        for person in people
        for turn in range(2)
    ]
    lives = [asyncio.create_task(device.live()) for device in devices]
    try:
        await _play(stage, world, devices)
        left = [await _left(device) for device in devices]
    finally:
        for life in lives:
            life.cancel()
    differ = [place for places in left for place in places[:2]]
    return [
        told("seed", str(seed)),
        told("answers", ", ".join(f"{kind}: {n:,}" for kind, n in sorted(world.answers.items()))),
        at_least("messages", len(world.said), 20),
        told("that no process was there to be asked, or it went away", str(world.answers["cut"])),
        equal("devices that do not show what a fresh sync shows", sum(map(bool, left)), 0),
        told("where they differ", "; ".join(differ) or "nowhere"),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


async def _play(stage: Stage, world: World, devices: Sequence[Client]) -> None:
    chance, end = world.chance, asyncio.get_running_loop().time() + stage.seconds
    # In the last third nobody is cut off, and so has again by syncing what was not told.
    calm = end - stage.seconds / 3
    works = [
        *(_live(world, person) for person in world.people),
        _trouble(CUT_S, calm, lambda: chance.choice(devices).cut()),
        _trouble(KILLED_S, calm, lambda: chance.choice(stage.servers).restart()),
        _trouble(DEAF_S, end, lambda: asyncio.to_thread(stage.sql, DEAFEN)),
    ]
    tasks = [asyncio.create_task(work) for work in works]
    for second in range(int(stage.seconds)):
        stage.say(f"{second} s, {sum(world.answers.values())} deeds")
        await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _live(world: World, person: Person) -> None:
    async with person.client(world.addresses[0]) as one, person.client(world.addresses[1]) as other:
        while True:
            method, path, body = world.deed()
            client = world.chance.choice([one, other])
            try:
                world.note(await client.request(method, path, json=body))
            except httpx.HTTPError:
                world.answers["cut"] += 1
            await asyncio.sleep(world.chance.uniform(0, 2 * PAUSE_S))


async def _trouble(each: float, until: float, make: Callable[[], Awaitable[object]]) -> None:
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(random.uniform(0, 2 * each))
        await make()


async def _left(device: Client) -> list[str]:
    """Return where a device does not show what a fresh sync shows, once it has had time to."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        wanted = await asyncio.to_thread(expected, device.address, device.headers, device)
        places = differing(device.shown(), wanted)
        if not places or asyncio.get_running_loop().time() > end:
            return places
        await asyncio.sleep(0.2)
