"""Many who send at once: one conversation, one key, a lost connection, a lock that stays."""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
import psycopg
import websockets

from faults.clients import Person, Sender, read_back
from faults.history import History
from faults.listeners import SocketDevice, listening, until_all_have
from faults.proxy import Trouble, proxying
from faults.report import Finding, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage

AT_ONCE = 50
HOT_SENDERS = 32
COOL_SENDERS = 4
LOCKED_SHARE = 0.5
LOST, LATE_S = 0.05, 0.02  # of answers; each way


def _quantile(history: History, share: float) -> float:
    """Return a quantile of the latencies, in ms."""
    latencies = sorted(1_000 * attempt.latency for attempt in history.acked)
    return latencies[min(int(share * len(latencies)), len(latencies) - 1)]


@fault("F22", "32 senders in one conversation, on two processes", "postgresql", "mariadb", "sqlite")
async def one_conversation(stage: Stage) -> list[Finding]:
    """The others' latency is compared with that under as many senders spread over conversations."""
    servers = await stage.serve(2)
    addresses = [server.address for server in servers]
    people = await stage.cast(addresses[0])
    [hot, *cool] = await stage.groups(addresses[0], people, 1 + HOT_SENDERS // 4)
    others = await stage.groups(addresses[0], people, COOL_SENDERS)
    devices = [SocketDevice(people[0], lambda a=address: a) for address in addresses]
    async with listening(*devices):  # all the while: hearing costs, too
        spread = await _press(stage, addresses, people, cool, others)
        pressed = await _press(stage, addresses, people, [hot], others)
        bodies = {a.body for a in pressed[0].acked if a.conversation == hot}
        took = await until_all_have([*devices], bodies, patience=15)
    violations = await stage.judge(pressed[0], [hot], people[0], addresses[0])
    same = [device.sequence(hot) for device in devices]
    whole = list(range(1, len(bodies) + 1))
    before, during = _quantile(spread[1], 0.95), _quantile(pressed[1], 0.95)
    return [
        *sent(pressed[0]),
        safe(violations),
        equal("two listeners on two processes hear one sequence", same[0] == same[1], True),
        equal("and it is whole, in order", same == [whole, whole], True),
        told("seconds after the last send until both had everything", f"{took:.2f}"),
        told("p95 of others, as many senders spread", f"{before:.0f} ms"),
        told("p95 of others, all in one conversation", f"{during:.0f} ms"),
        at_most("ratio", during / before, 2),
    ]


async def _press(
    stage: Stage,
    addresses: Sequence[str],
    people: Sequence[Person],
    talks: Sequence[str],
    others: Sequence[str],
) -> tuple[History, History]:
    """Have 32 send into ``talks`` for a while, and a few into others; return both histories."""
    crowd, few = History(), History()
    senders = [
        (Sender(people[n % len(people)], [addresses[n % 2]], crowd), talks[n % len(talks)])
        for n in range(HOT_SENDERS)
    ]
    senders += [
        (Sender(people[n], [addresses[n % 2]], few, pause=0.02), others[n])
        for n in range(COOL_SENDERS)
    ]
    over = asyncio.Event()
    runs = [asyncio.create_task(sender.run([where], over)) for sender, where in senders]
    stage.say(f"{HOT_SENDERS} senders, {len(talks)} conversations")
    await asyncio.sleep(stage.seconds / 2)
    over.set()
    await asyncio.gather(*runs)
    # Several devices of one person send at once here: each is a sender of its own.
    for n, attempt in enumerate(crowd.attempts):
        attempt.sender = f"{attempt.sender} {n}"
    return crowd, few


@fault("F23", "one key, many times", "postgresql", "sqlite", "mariadb", seconds=1)
async def one_key(stage: Stage) -> list[Finding]:
    servers = await stage.serve(2)
    one, other = (server.address for server in servers)
    ada, ben = await stage.cast(one, 2)
    [talk] = await stage.groups(one, [ada, ben], 1)
    body, key = secrets.token_hex(8), secrets.token_hex(8)
    answers = await asyncio.gather(
        *(_post([one, other][n % 2], ada, talk, body, key) for n in range(AT_ONCE))
    )
    first = answers[0].json()["message_id"]
    statuses = dict(Counter(answer.status_code for answer in answers))
    altered = await _post(one, ada, talk, "something else", key)
    bens = await _post(one, ben, talk, body, key)
    await servers[0].restart()
    again = await _post(one, ada, talk, body, key)
    elsewhere = await _post(other, ada, talk, body, key)
    by_socket = await _by_socket(other, ada, talk, body, key)
    stored = [m for m in await read_back(one, ada, talk) if m.body == body]
    return [
        equal("answers to fifty at once", statuses, {201: 1, 200: AT_ONCE - 1}),
        equal("different ids in them", len({a.json()["message_id"] for a in answers}), 1),
        equal("another body with the key", altered.status_code, 409),
        equal("another user with the key", bens.status_code, 201),
        equal("after a restart: status", again.status_code, 200),
        equal("after a restart: the same id", again.json()["message_id"] == first, True),
        equal("over another process", elsewhere.json()["message_id"] == first, True),
        equal("over a WebSocket", by_socket == first, True),
        equal("stored, of two users", len(stored), 2),
    ]


async def _post(address: str, person: Person, talk: str, body: str, key: str) -> httpx.Response:
    given = {"message_body": body, "client_id": key}
    async with person.client(address) as client:
        return await client.post(f"/api/conversations/{talk}/messages/", json=given)


async def _by_socket(address: str, person: Person, talk: str, body: str, key: str) -> str:
    given = {"conversation": talk, "message_body": body, "client_id": key}
    url = f"ws://{address}/ws/"
    async with websockets.connect(url, additional_headers=person.headers) as socket:
        await socket.send(json.dumps({"type": "send", "ref": "r", **given}))
        async with asyncio.timeout(10):
            while True:
                frame = json.loads(await socket.recv())
                if frame["type"] in {"ack", "error"}:
                    return str(frame.get("message", {}).get("message_id"))


@fault("F29", "answers lost, and late, on the way to clients", "postgresql", "sqlite", "mariadb")
async def lossy(stage: Stage) -> list[Finding]:
    servers = await stage.serve(2)
    people = await stage.cast(servers[0].address)
    talks = await stage.groups(servers[0].address, people)
    history, trouble = History(), Trouble(delay=LATE_S, lose_answers=LOST)
    async with (
        proxying("127.0.0.1", servers[0].port, trouble) as one,
        proxying("127.0.0.1", servers[1].port, trouble) as other,
    ):
        addresses = [one.address, other.address]
        senders = [
            Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history)
            for n, person in enumerate(people)
        ]
        async with Load(senders, talks):
            await asyncio.sleep(stage.seconds)
        lost = one.lost + other.lost
    violations = await stage.judge(history, talks, people[0], servers[0].address)
    asked = history.statuses().total()
    return [
        told("answers lost", f"{lost:,}"),
        *sent(history),
        safe(violations),
        at_most("requests for each message", asked / len(history.attempts), 3),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


@fault("F33", "the connection lost in COMMIT, under load", "postgresql", "mariadb")
async def lost_in_commit(stage: Stage) -> list[Finding]:
    """The database does what it was asked, and its answer does not arrive."""
    await stage.open_store()
    parts = urlsplit(stage.url)
    trouble = Trouble()
    async with proxying("127.0.0.1", parts.port or 0, trouble) as proxy:
        url = parts._replace(netloc=f"{parts.username}@{proxy.address}").geturl()
        servers = await stage.serve(2, url=url)
        addresses = [server.address for server in servers]
        people = await stage.cast(addresses[0])
        talks = await stage.groups(addresses[0], people)
        history = History()
        senders = [
            Sender(person, [*addresses[n % 2 :], *addresses[: n % 2]], history, keyed=n % 3 > 0)
            for n, person in enumerate(people)
        ]
        trouble.lose_answers = 0.01
        trouble.is_doomed = lambda asked: b"COMMIT" in asked and secrets.randbelow(20) == 0
        async with Load(senders, talks):
            stage.say("answers of the database are lost")
            await asyncio.sleep(stage.seconds)
            trouble.lose_answers, trouble.is_doomed = 0.0, lambda _asked: False
        violations = await stage.judge(history, talks, people[0], addresses[0])
    without = [attempt for attempt in history.attempts if attempt.client_id is None]
    return [
        told("answers of the database lost", f"{proxy.lost:,}"),
        told("drafts without a client id", f"{len(without):,}"),
        *sent(history),
        safe(violations),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


@fault("F34", "one conversation locked by hand", "postgresql", seconds=60)
async def locked(stage: Stage) -> list[Finding]:
    [server] = await stage.serve(1)
    people = await stage.cast(server.address)
    [stuck, *talks] = await stage.groups(server.address, people, 5)
    free, held, blocked = History(), History(), History()

    async def load(history: History) -> None:
        senders = [Sender(person, [server.address], history, pause=0.01) for person in people]
        async with Load(senders, talks):
            await asyncio.sleep(stage.seconds * LOCKED_SHARE)

    stage.say("nothing is locked")
    await load(free)
    # Four wait for what is locked, as patient clients do.
    waiting = Load([Sender(person, [server.address], blocked) for person in people[:4]], [stuck])
    with psycopg.connect(stage.url) as own:
        own.execute(
            "SELECT 1 FROM conversations_conversation WHERE conversation_id = %s FOR UPDATE",
            [stuck],
        )
        stage.say("one conversation is locked")
        async with waiting:
            begun = time.monotonic()
            await load(held)
            own.rollback()
            freed = time.monotonic()
            while not blocked.acked and time.monotonic() - freed < 30:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    violations = await stage.judge(blocked, [stuck], people[0], server.address)
    before, during = _quantile(free, 0.99), _quantile(held, 0.99)
    return [
        told("locked for", f"{freed - begun:.0f} s"),
        told("p99 of sends to others before", f"{before:.0f} ms"),
        told("p99 of sends to others meanwhile", f"{during:.0f} ms"),
        at_most("ratio", during / before, 2),
        told(
            "median ratio",
            f"{statistics.median(_latencies(held)) / statistics.median(_latencies(free)):.2f}",
        ),
        *sent(blocked),
        safe(violations),
    ]


def _latencies(history: History) -> list[float]:
    return [attempt.latency for attempt in history.acked]
