"""What is unread, while it is sent, read and taken back at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from faults.clients import Person, Sender
from faults.history import History
from faults.report import Finding, at_least, equal, fault, sent, told
from faults.stage import Load, Stage

READERS = 4
DELETERS = 2
SAMPLES = 10_000


@fault("F28", "reading races with sending and deleting", "postgresql", "sqlite", "mariadb")
async def unread_race(stage: Stage) -> list[Finding]:
    """Each unread count that anybody is shown is a sample."""
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    talks = await stage.groups(addresses[0], people)
    history, race = History(), _Race(addresses, talks)
    senders = [Sender(person, addresses, history, pause=0.05) for person in people]
    works = [asyncio.create_task(race.read(person)) for person in people[:READERS]]
    works += [asyncio.create_task(race.delete(person)) for person in people[-DELETERS:]]
    loop = asyncio.get_running_loop()
    end = loop.time() + stage.seconds
    async with Load(senders, talks):
        # On a slow machine it goes on until enough was seen.
        while loop.time() < end or len(race.counts) < SAMPLES:
            stage.say(f"{len(race.counts):,} counts seen")
            if any(work.done() for work in works):
                break
            await asyncio.sleep(0.2)
    race.is_over = True
    await asyncio.gather(*works)
    stage.say("all is counted again")
    wrong = [await _miscounted(addresses[0], person, talks) for person in people]
    return [
        *sent(history),
        told("marked as read", f"{race.marks:,} times"),
        told("retracted, or removed for oneself", f"{race.deletions:,}"),
        equal("answers to these that were 500", race.failures, 0),
        at_least("unread counts seen", len(race.counts), SAMPLES),
        equal("of them negative", sum(count < 0 for count in race.counts), 0),
        equal("at rest, counts that are not what is unread", sum(wrong), 0),
    ]


@dataclass
class _Race:
    """Those who read and those who delete, and what they are shown."""

    addresses: Sequence[str]
    talks: Sequence[str]
    counts: list[int] = field(default_factory=list)
    marks: int = 0
    deletions: int = 0
    failures: int = 0
    is_over: bool = False

    async def read(self, person: Person) -> None:
        """Look at the inbox, and mark a conversation as read, again and again."""
        async with person.client(random.choice(self.addresses), timeout=60) as client:
            while not self.is_over:
                page = self._taken(await client.get("/api/conversations/"))
                self.counts += [where["unread_count"] for where in page.get("results", [])]
                path = f"/api/conversations/{random.choice(self.talks)}/read/"
                state = self._taken(await client.post(path, json={}))
                self.counts += [state["unread_count"]] if state else []
                total = self._taken(await client.get("/api/unread/"))
                self.counts += [total["messages"]] if total else []
                self.marks += 1

    async def delete(self, person: Person) -> None:
        """Retract one's own newest messages, and remove others' for oneself."""
        async with person.client(random.choice(self.addresses), timeout=60) as client:
            while not self.is_over:
                path = f"/api/conversations/{random.choice(self.talks)}/messages/"
                page = self._taken(await client.get(path, params={"limit": 10}))
                for message in page.get("results", [])[:2]:
                    is_own = message["sender"]["user_id"] == person.user_id
                    whom = {"for": "everyone"} if is_own else {}
                    where = f"/api/messages/{message['message_id']}/"
                    self._taken(await client.delete(where, params=whom))
                    self.deletions += 1
                await asyncio.sleep(0.1)

    def _taken(self, answer: httpx.Response) -> dict[str, Any]:
        self.failures += answer.status_code == 500
        return answer.json() if answer.status_code == 200 else {}


async def _miscounted(address: str, person: Person, talks: Sequence[str]) -> int:
    """Of how many conversations the count differs from what is unread, message by message."""
    wrong = 0
    async with person.client(address, timeout=60) as client:
        for talk in talks:
            shown = (await client.get(f"/api/conversations/{talk}/")).raise_for_status().json()
            unread, after = 0, shown["me"]["watermark"]
            while True:
                path = f"/api/conversations/{talk}/messages/"
                answer = await client.get(path, params={"after": after, "limit": 200})
                page = answer.raise_for_status().json()["results"]
                unread += sum(
                    m["sender"]["user_id"] != person.user_id and m["retracted_at"] is None
                    for m in page
                )
                if len(page) < 200:
                    break
                after = page[-1]["seq"]
            wrong += shown["unread_count"] != unread and not shown["unread_capped"]
    return wrong
