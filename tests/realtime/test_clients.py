"""Clients that are cut and come back, over hints that are lost, doubled and late: whatever happens,
each ends with what a fresh sync says.
"""

import asyncio
import contextlib
import random

import httpx
import pytest
import websockets

from parley.messaging import operations
from parley.realtime.hub import Hub
from tests.realtime.conftest import events, heard, in_thread, live, put
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

SENT, CUTS = 25, 2  # at least so much happens
PATIENCE_S = 30.0


@pytest.fixture
def bad_hints(monkeypatch):
    """Hints get lost, come twice, or late."""
    chance, hear = random.Random(7), Hub.hear

    def badly(hub, told):
        kind = chance.random()
        if kind < 0.3:
            return
        hear(hub, told)
        if kind < 0.5:
            hear(hub, told)
        elif kind < 0.7:
            asyncio.get_running_loop().call_later(chance.random(), hear, hub, told)

    monkeypatch.setattr(Hub, "hear", badly)


class Client:
    """Keeps a copy of the messages, as an app would: by id, the highest revision wins."""

    def __init__(self, address, headers, chance):
        self.address, self.headers, self.chance = address, headers, chance
        self.messages, self.cursor, self.cuts = {}, None, 0

    async def run(self, until):
        while not until.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.chance.uniform(0.1, 1.5)):
                    await self.connect()
            self.cuts += 1

    def take(self, message):
        known = self.messages.get(message["message_id"])
        if known is None or known["revision"] <= message["revision"]:
            self.messages[message["message_id"]] = message

    def check_order(self, seen, frame):
        """Within a connection, the messages of a conversation come in the order of revisions."""
        assert frame["revision"] >= seen.get(frame["conversation"], 0)
        seen[frame["conversation"]] = frame["revision"]


class SocketClient(Client):
    async def connect(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            async with live(self.address, self.headers) as socket:
                held = self.cursor or socket.hello["cursor"]
                await put(socket, type="resume", cursor=held)
                self.cursor, seen = held, {}
                while True:
                    frame = await heard(socket, seconds=60)
                    if frame["type"] == "sync":
                        for where in frame["conversations"]:
                            for message in where["messages"]:
                                self.take(message)
                        self.cursor = frame["cursor"]
                    elif frame["type"] == "cursor":
                        self.cursor = frame["cursor"]
                    elif frame["type"] in {"message.created", "message.changed"}:
                        self.check_order(seen, frame)
                        self.take(frame["message"])
                    assert frame["type"] != "resync"


class StreamClient(Client):
    async def connect(self):
        headers = self.headers | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        with contextlib.suppress(httpx.HTTPError):
            async with events(self.address, headers) as (_, found):
                seen, is_live = {}, self.cursor is None
                async for id_, type_, data in found:
                    if type_ in {"message.created", "message.changed"}:
                        if is_live and id_ not in {None, self.cursor}:  # else it was missed
                            self.check_order(seen, data)
                        self.take(data["message"])
                    is_live |= type_ == "cursor"
                    assert type_ != "resync"
                    self.cursor = id_ or self.cursor


async def synced(address, headers):
    """What a fresh sync and the histories say."""
    found = {}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=20) as api:
        page = {"more": True, "cursor": None}
        wheres = set()
        while page["more"]:
            query = {"cursor": page["cursor"]} if page["cursor"] else {}
            page = (await api.get("/api/sync/", params=query)).json()
            wheres |= {where["conversation_id"] for where in page["conversations"]}
        for where in wheres:
            query = {"after": 0, "limit": 200}
            for _ in range(5):
                answer = await api.get(f"/api/conversations/{where}/messages/", params=query)
                items = answer.json()["results"]
                found |= {message["message_id"]: message for message in items}
                if len(items) < query["limit"]:
                    break
                query["after"] = items[-1]["seq"]
    return found


def kept(messages):
    """What of a message does not depend on the reader's own marks."""
    names = ("seq", "revision", "message_body", "edited_at", "retracted_at")
    return {id_: {name: message[name] for name in names} for id_, message in messages.items()}


class TestClients:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_end_with_what_a_fresh_sync_says(
        self, server, bearer, person, ada, ben, cyd, bad_hints, seed
    ):
        chance = random.Random(seed)
        talks = [(direct(ada, ben), [ada, ben]), (group(ada, ben, cyd), [ada, ben, cyd])]
        people = [ada, ben, cyd]

        async def act(sent):
            where, members = chance.choice(talks)
            if sent and chance.random() < 0.25:
                message, author = chance.choice(sent)
                await in_thread(
                    operations.edit_message,
                    editor=author,
                    message_id=message.message_id,
                    message_body=f"edited {chance.random()}",
                )
            else:
                author = chance.choice(members)
                sent.append((await in_thread(say, author, where, f"n {len(sent)}"), author))

        async def scene():
            until, sent = asyncio.Event(), []
            kinds = [SocketClient, StreamClient]
            clients = [
                (who, kind(server, bearer(who), random.Random(seed * 10 + n)))
                for n, (who, kind) in enumerate((w, k) for w in people for k in kinds)
            ]
            runs = [asyncio.create_task(client.run(until)) for _, client in clients]
            while not all(client.cursor for _, client in clients):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # what is before a first cursor is for a first sync
            while len(sent) < SENT or any(client.cuts <= CUTS for _, client in clients):
                await act(sent)
                await asyncio.sleep(chance.uniform(0, 0.05))
            until.set()
            await asyncio.gather(*runs)
            for who, client in clients:  # the last time, they stay until they have everything
                wanted = kept(await synced(server, bearer(who)))
                staying = asyncio.create_task(client.connect())
                async with asyncio.timeout(PATIENCE_S):
                    while kept(client.messages) != wanted:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                staying.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await staying

        asyncio.run(scene())
