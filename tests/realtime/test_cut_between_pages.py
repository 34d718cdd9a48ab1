"""Who is cut between the pages of what was missed, and comes back, misses nothing."""

import asyncio
from datetime import timedelta

import pytest

from parley.conversations import fence
from parley.messaging.sync import sync
from tests.realtime.conftest import events, heard, live, put
from tests.talk import group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cursor(ada, ben, monkeypatch):
    """Ben's, of a page that gave one conversation whole and another in part; after that, the first
    one has another message.
    """
    first, second = sorted(group(ada, ben) for _ in range(2))
    for _ in range(3):
        fence.tick(unless_within=timedelta(0))
    held = sync(viewer=ben).cursor
    monkeypatch.setattr(fence, "tick", lambda **_: fence.state())  # all in one generation
    for where, bodies in ((first, "a"), (second, "bcd")):
        for body in bodies:
            say(ada, where, body)
    page = sync(viewer=ben, cursor=held, limit=2)
    assert [[m.message_body for m in c.messages] for c in page.conversations] == [["a"], ["b"]]
    say(ada, first, "between")
    monkeypatch.undo()
    return page.cursor


class TestCutBetweenPages:
    def test_of_a_socket(self, server, bearer, ada, ben, cursor):
        async def scene():
            async with live(server, bearer(ben)) as socket:
                await put(socket, type="resume", cursor=cursor)
                bodies, more = [], True
                while more:
                    page = await heard(socket, "sync")
                    more = page["more"]
                    bodies += [
                        m["message_body"] for c in page["conversations"] for m in c["messages"]
                    ]
                return bodies

        assert {"c", "d", "between"} <= set(asyncio.run(scene()))

    def test_of_an_event_stream(self, server, bearer, ada, ben, cursor):
        async def scene():
            bodies = set()
            async with (
                asyncio.timeout(10),
                events(server, bearer(ben) | {"Last-Event-ID": cursor}) as (_, found),
            ):
                async for id_, type_, data in found:
                    if type_.startswith("message.") and id_ is None:  # as missed, not live
                        bodies.add(data["message"]["message_body"])
                    if {"c", "d", "between"} <= bodies:
                        return

        asyncio.run(scene())
