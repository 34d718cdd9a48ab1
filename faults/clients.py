"""People who speak HTTP to the servers there are, and go to the next one where one fails."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx

from faults.history import Attempt, History, Stored

PATIENCE_S = 15.0
PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
SETTLES_S = 1.5
ASKED = ("/api/unread/", "/api/")  # the express lane answers the one, Django's threads the other
PASSWORD = "a lamp in the corner"
CONTEXT = ssl.create_default_context()  # made once: it is what costs most of a client


@dataclass
class Person:
    """A user, and how they prove it; ``client`` is closed by whoever opened it."""

    name: str
    user_id: str
    token: str

    @property
    def credential(self) -> str:
        return f"Bearer {self.token}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": self.credential}

    def client(self, address: str, *, timeout: float = PATIENCE_S) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://{address}",
            headers=self.headers,
            timeout=timeout,
            verify=CONTEXT,
            trust_env=False,
        )


async def sign_up(address: str, name: str) -> Person:
    """Make an account; the name gets an ending of its own."""
    name = f"{name}-{secrets.token_hex(4)}"
    given = {"username": name, "password": PASSWORD}
    async with Person(name, "", "").client(address, timeout=60) as client:
        made = await client.post("/api/register/", json=given, headers={"Authorization": ""})
        made.raise_for_status()
        signed_in = await client.post("/api/token/", json=given, headers={"Authorization": ""})
        signed_in.raise_for_status()
    return Person(name, made.json()["user_id"], signed_in.json()["access"])


async def make_group(address: str, owner: Person, others: Sequence[Person]) -> str:
    given = {"kind": "group", "participants": [other.user_id for other in others]}
    async with owner.client(address) as client:
        answer = await client.post("/api/conversations/", json=given)
        answer.raise_for_status()
        return str(answer.json()["conversation_id"])


async def read_back(address: str, viewer: Person, conversation: str) -> list[Stored]:
    """Return all that is stored of a conversation."""
    return [
        Stored(m["message_id"], m["seq"], m["sender"]["user_id"], m["message_body"])
        for m in await messages_of(address, viewer, conversation)
    ]


async def messages_of(address: str, viewer: Person, conversation: str) -> list[dict[str, Any]]:
    """Return every message of a conversation, as the API shows it."""
    found: list[dict[str, Any]] = []
    path = f"/api/conversations/{conversation}/messages/"
    async with viewer.client(address, timeout=60) as client:
        while True:
            after = found[-1]["seq"] if found else 0
            answer = await client.get(path, params={"after": after, "limit": 200})
            answer.raise_for_status()
            page = answer.json()["results"]
            found += page
            if len(page) < 200:
                return found


@dataclass
class Sender:
    """Someone who sends one message after the other, each until it is acknowledged.

    Without ``keyed`` there is no client id, and no second try. ``balanced`` is who goes to the next
    server where a connection cannot even be made, as through a balancer.
    """

    person: Person
    addresses: Sequence[str]
    history: History
    keyed: bool = True
    pause: float = 0.0
    retries: bool = True
    balanced: bool = False
    _place: int = 0
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def run(self, conversations: Sequence[str], over: asyncio.Event) -> None:
        """Send until it is over, and end what was begun."""
        try:
            number = 0
            while not over.is_set():
                where = conversations[number % len(conversations)]
                await self.send(where, f"{self.person.name} {number} {secrets.token_hex(6)}")
                number += 1
                if self.pause:
                    await asyncio.sleep(self.pause)
        finally:
            await self.close()

    async def send(self, conversation: str, body: str) -> Attempt:
        key = secrets.token_hex(12) if self.keyed else None
        attempt = self.history.begin(self.person.user_id, conversation, body, key, time.monotonic())
        given = {"message_body": body} | ({"client_id": key} if key else {})
        pause = PAUSE_S
        while True:
            try:
                answer = await self._ask(f"/api/conversations/{conversation}/messages/", given)
            except httpx.HTTPError:
                attempt.statuses[0] += 1
            else:
                attempt.statuses[answer.status_code] += 1
                if answer.status_code in {200, 201}:
                    attempt.acked = time.monotonic()
                    message = answer.json()
                    attempt.acks.append((message["message_id"], message["seq"]))
                    return attempt
                if answer.status_code < 500:
                    raise RuntimeError(f"{answer.status_code} to a good message: {answer.text}")
            if not (self.keyed and self.retries):
                return attempt
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _ask(self, path: str, given: dict[str, Any]) -> httpx.Response:
        """Ask the server that answered last; where it fails, the next one is next."""
        address = self.addresses[self._place % len(self.addresses)]
        if address not in self._clients:
            self._clients[address] = self.person.client(address)
        try:
            answer = await self._clients[address].post(path, json=given)
        except httpx.ConnectError:
            self._place += 1
            if not self.balanced:
                raise
            await asyncio.sleep(PAUSE_S)
            return await self._ask(path, given)
        except httpx.HTTPError:
            self._place += 1
            raise
        if answer.status_code >= 500:
            self._place += 1
        return answer


@dataclass
class Reader:
    """Someone who syncs, and keeps the ids of what came."""

    person: Person
    cursor: str = ""
    came: set[str] = field(default_factory=set)

    async def step(self, address: str) -> bool:
        """Take the next page; return whether there is more."""
        query = {"cursor": self.cursor, "limit": "200"} if self.cursor else {"limit": "200"}
        async with self.person.client(address) as client:
            answer = await client.get("/api/sync/", params=query)
        answer.raise_for_status()
        news = answer.json()
        self.came |= {m["message_id"] for c in news["conversations"] for m in c["messages"]}
        self.cursor = news["cursor"]
        return bool(news["more"])


@asynccontextmanager
async def syncing(readers: Sequence[Reader], addresses: Sequence[str]) -> AsyncIterator[None]:
    """Have readers sync within, through one address after the other, and to the end after it."""
    over = asyncio.Event()

    async def read(reader: Reader) -> None:
        turn = 0
        while not over.is_set():
            await reader.step(addresses[turn % len(addresses)])
            turn += 1
        await asyncio.sleep(SETTLES_S)
        while await reader.step(addresses[0]):
            pass

    async with asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(read(reader))
        yield
        over.set()


@dataclass
class Visitor:
    """Someone who asks again and again, and is to be answered as fast as ever."""

    person: Person
    address: str
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)  # 0 stands for no answer

    async def ask(self, over: asyncio.Event) -> None:
        async with self.person.client(self.address) as client:
            for path in cycle(ASKED):
                if over.is_set():
                    return
                begun = time.monotonic()
                try:
                    status = (await client.get(path)).status_code
                except httpx.HTTPError:
                    status = 0
                self.statuses[status] += 1
                self.latencies.append(1_000 * (time.monotonic() - begun))
                await asyncio.sleep(0.02)

    def take(self) -> float:
        """Return the 95th percentile of the latencies since the last time, in ms."""
        found = statistics.quantiles(self.latencies, n=20)[-1]
        self.latencies.clear()
        return found


@asynccontextmanager
async def visiting(*visitors: Visitor) -> AsyncIterator[None]:
    """Have visitors ask within."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for visitor in visitors:
            group.create_task(visitor.ask(over))
        yield
        over.set()
