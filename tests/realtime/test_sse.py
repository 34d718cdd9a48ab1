import asyncio

import httpx
import pytest

from parley.messaging import sync as module
from parley.messaging.sync import sync
from tests.realtime.conftest import events, in_thread
from tests.talk import direct, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


class TestEventStream:
    def test_begins_with_a_cursor_and_goes_on_live(self, server, bearer, ada, ben):
        talk = direct(ada, ben)

        async def scene():
            async with events(server, bearer(ben)) as (stream, found):
                assert stream.headers["content-type"].startswith("text/event-stream")
                id_, type_, data = await anext(found)
                assert (type_, data["cursor"]) == ("cursor", id_)
                await in_thread(say, ada, talk, "live")
                id_, type_, data = await anext(found)
                assert (type_, data["message"]["message_body"]) == ("message.created", "live")
                return id_

        last = asyncio.run(scene())
        assert last

    @pytest.mark.parametrize("how", ["header", "query"])
    def test_resumes_where_it_was_cut_and_repeats_nothing(self, server, bearer, ada, ben, how):
        talk = direct(ada, ben)

        async def scene():
            async with events(server, bearer(ben)) as (_, found):
                await anext(found)
                await in_thread(say, ada, talk, "heard")
                last, _, _ = await anext(found)
            await in_thread(say, ada, talk, "missed")
            headers = bearer(ben) | ({"Last-Event-ID": last} if how == "header" else {})
            query = {"cursor": last} if how == "query" else {}
            bodies = []
            async with events(server, headers, **query) as (_, found):
                async for _, type_, data in found:
                    if type_.startswith("message."):
                        bodies.append(data["message"]["message_body"])
                    if type_ == "cursor":
                        await in_thread(say, ada, talk, "live")
                    if bodies[-1:] == ["live"]:
                        break
            return bodies

        assert asyncio.run(scene()) == ["missed", "live"]

    def test_is_refused_to_strangers_and_to_forged_cursors(self, server, bearer, ada):
        answer = httpx.get(f"http://{server}/api/events/")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        answer = httpx.get(
            f"http://{server}/api/events/", headers=bearer(ada), params={"cursor": "forged"}
        )
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["attr"] == "cursor"

    @pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "DELETE"])
    def test_is_for_getting_alone(self, server, bearer, ada, method):
        answer = httpx.request(method, f"http://{server}/api/events/", headers=bearer(ada))

        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        assert "x-request-id" in answer.headers

    def test_checks_its_cursor_without_reading_what_was_missed(
        self, server, bearer, ada, ben, monkeypatch
    ):
        """Or those who are cut often have a server read more than it can."""
        conversation_id = direct(ada, ben)
        cursor = sync(viewer=ben).cursor
        say(ada, conversation_id, "missed")
        pages, read = [], module._read
        monkeypatch.setattr(module, "_read", lambda *given: (pages.append(1), read(*given))[1])

        async def scene():
            headers = bearer(ben) | {"Last-Event-ID": cursor}
            async with asyncio.timeout(10), events(server, headers) as (_, found):
                async for _, type_, _ in found:
                    if type_ == "cursor":
                        return

        asyncio.run(scene())
        assert len(pages) == 1
