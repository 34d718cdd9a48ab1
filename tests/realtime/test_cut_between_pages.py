"""Who is cut between the pages of what was missed, and comes back, misses nothing."""

import asyncio
import time
from datetime import timedelta

import pytest
from django.core.asgi import get_asgi_application

from parley.conversations import fence
from parley.messaging.sync import sync
from parley.realtime.service import Live
from tests.realtime.conftest import events, heard, live, put, serving
from tests.talk import direct, group, say

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
            bodies, held = set(), cursor
            async with (
                asyncio.timeout(10),
                events(server, bearer(ben) | {"Last-Event-ID": cursor}) as (_, found),
            ):
                async for id_, type_, data in found:
                    if type_.startswith("message.") and id_ == held:  # as missed, not live
                        bodies.add(data["message"]["message_body"])
                    held = id_ or held
                    if {"c", "d", "between"} <= bodies:
                        return

        asyncio.run(scene())


class Watched:
    """The application, of which is noted how often it is synced, and when a stream's client is
    seen to be gone; until then the second page waits.
    """

    def __init__(self):
        self.pages, self.gone, self.ended = 0, asyncio.Event(), asyncio.Event()
        self.api = get_asgi_application()
        self.live = Live(self.sync)

    async def sync(self, scope, receive, send):
        self.pages += scope["path"] == "/api/sync/"
        if self.pages == 2:
            await self.gone.wait()
        await self.api(scope, receive, send)

    async def __call__(self, scope, receive, send):
        async def receiving():
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
            return message

        if scope["type"] != "http":
            await self.live(scope, receive, send)
            return
        await self.live(scope, receiving, send)
        self.ended.set()


def test_nobody_reads_on_for_a_stream_that_is_gone(transactional_db, bearer, ada, ben):
    talk = direct(ada, ben)
    for _ in range(3):
        fence.tick(unless_within=timedelta(0))
    held = sync(viewer=ben).cursor
    for n in range(201):  # three pages
        say(ada, talk, str(n))

    async def scene():
        async with (
            asyncio.timeout(10),
            events(address, bearer(ben) | {"Last-Event-ID": held}) as (_, found),
        ):
            async for _, type_, _ in found:
                if type_ == "cursor":  # the first page's
                    return

    application = Watched()
    with serving(application) as address:
        asyncio.run(scene())
        for _ in range(1_000):
            if application.ended.is_set():
                break
            time.sleep(0.01)
        assert application.ended.is_set()
    assert application.pages == 2
