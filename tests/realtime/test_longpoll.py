"""``GET /api/sync/?wait=`` behind the live doors: it waits at the hub, on no thread."""

import asyncio
import signal
import threading
import time
from contextlib import asynccontextmanager

import httpx
import pytest

from parley.api import news
from parley.conversations.models import Conversation
from parley.http.turns import Turns
from parley.messaging import operations
from parley.messaging.drafts import Draft
from parley.messaging.sync import here
from parley.realtime import longpoll
from parley.realtime.service import Live
from tests.realtime.conftest import heard, in_thread, live, put, serving
from tests.realtime.test_farewell import account, process
from tests.realtime.test_own import deaf, star
from tests.talk import direct, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

URL = "/api/sync/"


@pytest.fixture(autouse=True)
def no_threads_wait(monkeypatch):
    """No thread may wait: what waits all the same does so at the hub."""
    monkeypatch.setattr(news, "waiting", threading.BoundedSemaphore(0))


@asynccontextmanager
async def asking(address, headers):
    limits = httpx.Limits(max_connections=None)
    url = f"http://{address}"
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=20, limits=limits
    ) as client:
        yield client


async def poll(client, cursor, wait=15, **query):
    answer = await client.get(URL, params={"cursor": cursor, "wait": wait, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def waiting(hub_of, count):
    """Wait until so many wait."""
    async with asyncio.timeout(15):
        while sum(len(each) for each in hub_of._hub._connections.values()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)  # until each was told that there is nothing


@pytest.fixture
def turns(transactional_db):
    """Django, in few threads: a thread for each poll would be a connection to the database."""
    return Turns(threads=3)


@pytest.fixture
def application(turns):
    return Live(turns)


@pytest.fixture
def address(application, turns):
    with serving(application, ending=turns.close) as address:
        yield address


class TestAWait:
    def test_ends_with_the_news_for_many_at_once(self, application, address, bearer, ada, ben):
        application._hub.limited = False
        talk = direct(ada, ben)
        cursor, bens = here(viewer=ada), here(viewer=ben)

        async def scene():
            async with asking(address, bearer(ada)) as one, asking(address, bearer(ben)) as other:
                polls = [asyncio.create_task(poll(one, cursor)) for _ in range(40)]
                polls += [asyncio.create_task(poll(other, bens)) for _ in range(40)]
                await waiting(application, 80)
                assert not any(each.done() for each in polls)
                await in_thread(say, ben, talk, "there")
                async with asyncio.timeout(15):
                    return await asyncio.gather(*polls)

        for found in asyncio.run(scene()):
            [shown] = found["conversations"]
            assert [m["message_body"] for m in shown["messages"]] == ["there"]

    @pytest.mark.parametrize("are_lost", [False, True], ids=["heard", "lost"])
    def test_ends_with_what_one_did_oneself(self, application, address, bearer, ada, ben, are_lost):
        message = say(ben, direct(ada, ben))
        cursor = here(viewer=ada)

        async def scene():
            async with asking(address, bearer(ada)) as client:
                found = asyncio.create_task(poll(client, cursor))
                await waiting(application, 1)
                if are_lost:
                    with deaf():
                        await in_thread(star, ada, message)
                else:
                    await in_thread(star, ada, message)
                return await found

        found = asyncio.run(scene())
        assert [mark["starred"] for mark in found["marks"]] == [True]

    def test_ends_empty_when_nothing_comes(self, address, bearer, ada, ben):
        say(ben, direct(ada, ben))
        cursor = here(viewer=ada)

        async def scene():
            async with asking(address, bearer(ada)) as client:
                begun = time.monotonic()
                found = await poll(client, cursor, wait=1)
                assert time.monotonic() - begun >= 1
                assert found.keys() == (await poll(client, cursor, wait=0)).keys()
                return found

        found = asyncio.run(scene())
        assert not any(found[k] for k in ("conversations", "marks", "removed", "left", "more"))

    def test_does_not_look_again_for_what_is_of_the_moment(
        self, application, address, bearer, ada, ben, monkeypatch
    ):
        ask, asked = longpoll._ask, []

        async def counted(*args):
            asked.append(args)
            return await ask(*args)

        monkeypatch.setattr(longpoll, "_ask", counted)
        talk = direct(ada, ben)
        say(ada, talk)
        cursor, gen = here(viewer=ada), Conversation.objects.get(conversation_id=talk).gen

        async def scene():
            async with asking(address, bearer(ada)) as client, live(address, bearer(ben)) as bens:
                found = asyncio.create_task(poll(client, cursor))
                await waiting(application, 2)
                async with asyncio.timeout(10):  # what was before is told again until it settles
                    while application._hub.place.settled < gen:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                before = len(asked)
                await put(bens, type="typing", conversation=str(talk))
                await put(bens, type="read", conversation=str(talk), seq=1)
                await heard(bens, "unread")
                await asyncio.sleep(0.3)
                assert (len(asked), found.done()) == (before, False)
                await in_thread(say, ben, talk, "there", subject="now")
                return await found

        assert len(asyncio.run(scene())["conversations"]) == 1

    def test_gives_the_answer_that_was_asked_for(self, application, address, bearer, ada, ben):
        talk = direct(ada, ben)
        cursor = here(viewer=ada)

        async def scene():
            async with asking(address, bearer(ada)) as client:
                found = asyncio.create_task(poll(client, cursor, users="map", limit=1))
                await waiting(application, 1)
                await in_thread(
                    operations.send_many,
                    [Draft(ben.user_id, word, conversation_id=talk) for word in ("one", "two")],
                )
                return await found

        found = asyncio.run(scene())
        assert set(found["users"]) == {str(ada.user_id), str(ben.user_id)}
        assert [m["message_body"] for m in found["conversations"][0]["messages"]] == ["one"]
        assert found["more"] is True

    @pytest.mark.parametrize("query", [{"wait": "soon"}, {"wait": 5, "limit": "²"}])
    def test_refuses_what_is_wrong(self, address, bearer, ada, query):
        query = {"cursor": here(viewer=ada), **query}
        answer = httpx.get(f"http://{address}{URL}", params=query, headers=bearer(ada))

        assert answer.status_code == 400

    def test_refuses_nobody_in_particular(self, address, ada):
        query = {"cursor": here(viewer=ada), "wait": 5}
        answer = httpx.get(f"http://{address}{URL}", params=query)

        assert answer.status_code == 401

    def test_ends_when_the_credential_does(self, application, address, bearer, ada):
        cursor = here(viewer=ada)

        def deactivate():
            ada.is_active = False
            ada.save(update_fields=["is_active"])

        async def scene():
            async with asking(address, bearer(ada)) as client:
                found = asyncio.create_task(client.get(URL, params={"cursor": cursor, "wait": 15}))
                await waiting(application, 1)
                await in_thread(deactivate)
                async with asyncio.timeout(6):
                    return (await found).status_code

        assert asyncio.run(scene()) == 401

    def test_is_forgotten_when_the_client_goes(self, application, address, bearer, ada):
        cursor = here(viewer=ada)

        async def scene():
            async with asking(address, bearer(ada)) as client:
                found = asyncio.create_task(poll(client, cursor))
                await waiting(application, 1)
                found.cancel()
            async with asyncio.timeout(5):
                while application._hub.online:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        asyncio.run(scene())

    def test_is_not_had_by_who_has_ten_connections(self, application, address, bearer, ada):
        cursor = here(viewer=ada)

        async def scene():
            async with asking(address, bearer(ada)) as client:
                polls = [asyncio.create_task(poll(client, cursor)) for _ in range(10)]
                await waiting(application, 10)
                async with asyncio.timeout(5):
                    found = await poll(client, cursor)
                assert not any(each.done() for each in polls)
                for each in polls:
                    each.cancel()
                return found

        assert asyncio.run(scene())["conversations"] == []

    def test_ends_when_the_server_goes(self, tmp_path):
        async def scene():
            async with process(tmp_path) as (server, address):
                headers = await account(address, "ada")
                async with asking(address, headers) as client:
                    cursor = (await client.get(URL)).json()["cursor"]
                    found = asyncio.create_task(poll(client, cursor, wait=30))
                    await asyncio.sleep(1)
                    server.send_signal(signal.SIGTERM)
                    async with asyncio.timeout(8):
                        assert (await found)["conversations"] == []
                        await server.wait()

        asyncio.run(scene())
