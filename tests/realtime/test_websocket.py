import asyncio
import json
import threading
from contextlib import AsyncExitStack

import httpx
import pytest
import websockets
from django.core.asgi import get_asgi_application
from django.db import connection

from parley.accounts import operations as accounts
from parley.api.lane.application import Lane
from parley.conversations import operations as conversations
from parley.conversations.events import happened
from parley.messaging import listings, operations
from parley.messaging.models import Message
from parley.messaging.operations.following import make_heavy
from parley.realtime import greetings, hub, websocket
from parley.realtime.service import Live
from parley.realtime.tickets import still_valid
from tests.realtime.conftest import heard, in_thread, live, put, quiet, serving
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

COMING = hub.MOST_COMING_TOGETHER + 2
TOGETHER = hub.MOST_COMING_TOGETHER if connection.vendor == "postgresql" else hub.MOST_COMING


class TestHello:
    def test_says_who_it_is_and_where_to_resume_from(self, server, bearer, ada, ben):
        say(ben, direct(ada, ben))

        async def scene():
            async with live(server, bearer(ada), subprotocols=["parley.v1"]) as socket:
                assert socket.subprotocol == "parley.v1"
                return socket.hello

        hello = asyncio.run(scene())
        assert list(hello) == ["type", "user_id", "cursor", "heartbeat_s", "unread"]
        assert hello["user_id"] == str(ada.user_id)
        assert hello["unread"] == {"messages": 1, "conversations": 1, "capped": False}

    @pytest.mark.parametrize(
        ("headers", "status"),
        [({}, 401), ({"Authorization": "Bearer forged"}, 401), ({"Authorization": "Token x"}, 401)],
    )
    def test_is_refused_to_whoever_proves_nothing(self, server, headers, status):
        async def scene():
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with live(server, headers):
                    pass
            return refused.value.response.status_code

        assert asyncio.run(scene()) == status

    def test_takes_no_token_from_the_address(self, server, bearer, ada):
        token = bearer(ada)["Authorization"].split()[1]

        async def scene():
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with live(server, query=f"?token={token}&access={token}"):
                    pass
            return refused.value.response.status_code

        assert asyncio.run(scene()) == 401

    @pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://127.0.0.1:1"])
    def test_takes_a_cookie_only_from_pages_of_its_own(self, server, client, ada, origin):
        client.force_login(ada)
        cookie = f"sessionid={client.cookies['sessionid'].value}"

        async def scene(headers):
            async with live(server, headers) as socket:
                return socket.hello["user_id"]

        own = {"Cookie": cookie, "Origin": f"http://{server}"}
        assert asyncio.run(scene(own)) == str(ada.user_id)
        with pytest.raises(websockets.InvalidStatus) as refused:
            asyncio.run(scene({"Cookie": cookie} | ({"Origin": origin} if origin else {})))
        assert refused.value.response.status_code == 403

    def test_takes_a_ticket_once(self, server, bearer, ada):
        answer = httpx.post(f"http://{server}/api/realtime/ticket/", headers=bearer(ada))
        assert answer.status_code == 201
        assert list(answer.json()) == ["ticket", "expires_at"]
        query = f"?ticket={answer.json()['ticket']}"

        async def scene():
            async with live(server, query=query) as socket:
                return socket.hello["user_id"]

        assert asyncio.run(scene()) == str(ada.user_id)
        with pytest.raises(websockets.InvalidStatus):
            asyncio.run(scene())

    @pytest.mark.parametrize("is_heavy", [False, True])
    def test_is_by_listings_for_those_who_have_them_and_asks_no_more_who_that_is(
        self, transactional_db, bearer, ada, ben, monkeypatch, is_heavy
    ):
        say(ben, direct(ada, ben))
        if is_heavy:
            make_heavy(ada.user_id)
        asked, in_threads = [], []
        here = greetings.here
        monkeypatch.setattr(listings, "is_heavy", asked.append)
        monkeypatch.setattr(
            greetings, "here", lambda *, viewer: (in_threads.append(viewer), here(viewer=viewer))[1]
        )

        async def scene(address):
            async with live(address, bearer(ada)) as socket:
                return socket.hello["unread"]["messages"]

        with serving(Live(Lane(get_asgi_application()))) as address:
            assert asyncio.run(scene(address)) == 1

        assert asked == []
        assert bool(in_threads) is (is_heavy or connection.vendor != "postgresql")


class TestCrowd:
    @pytest.mark.parametrize("most", [hub.MOST_COMING, TOGETHER], ids=["django", "lane"])
    def test_is_let_in_a_few_at_a_time(
        self, transactional_db, bearer, ada, monkeypatch, request, most
    ):
        is_lane = request.node.callspec.id == "lane"
        inside, at_once = 0, websocket._at_once

        async def slowly(*given):
            nonlocal inside
            inside += 1
            found.append(inside)
            await asyncio.sleep(0.2)
            inside -= 1
            return await at_once(*given)

        async def scene(server):
            async with AsyncExitStack() as stack:
                opening = (stack.enter_async_context(live(server, headers)) for _ in range(COMING))
                await asyncio.gather(*opening)

        found, headers = [], bearer(ada)
        monkeypatch.setattr(websocket, "_at_once", slowly)
        monkeypatch.setattr(hub, "MOST_CONNECTIONS", COMING)
        api = get_asgi_application()
        with serving(Live(Lane(api) if is_lane else api)) as address:
            asyncio.run(scene(address))

        assert len(found) == COMING
        assert max(found) == most < COMING


class TestEvents:
    def test_reach_every_device_of_everyone_in_order(self, server, bearer, ada, ben, mallory):
        talk = direct(ada, ben)

        async def scene():
            async with (
                live(server, bearer(ada)) as one,
                live(server, bearer(ada)) as other,
                live(server, bearer(ben)) as bens,
                live(server, bearer(mallory)) as strangers,
            ):
                for n in range(5):
                    await in_thread(say, [ada, ben][n % 2], talk, f"number {n}")
                for socket in (one, other, bens):
                    got = [await heard(socket, "message.created") for _ in range(5)]
                    assert [e["message"]["seq"] for e in got] == [1, 2, 3, 4, 5]
                    assert [e["revision"] for e in got] == [1, 2, 3, 4, 5]
                    assert [e["prev_revision"] for e in got] == [0, 1, 2, 3, 4]
                    assert list(got[0])[:5] == ["type", "conversation", "revision", "at", "message"]
                assert got[0]["message"]["read"] is False
                assert got[1]["message"]["read"] is True
                assert await quiet(strangers)

        asyncio.run(scene())

    def test_say_what_was_edited_retracted_and_removed(self, server, bearer, ada, ben):
        talk = direct(ada, ben)
        first, second = say(ada, talk), say(ada, talk)

        async def scene():
            async with live(server, bearer(ben)) as socket, live(server, bearer(ada)) as adas:
                await in_thread(
                    operations.edit_message,
                    editor=ada,
                    message_id=first.message_id,
                    message_body="new",
                )
                changed = await heard(socket, "message.changed")
                assert changed["message"]["message_body"] == "new"
                await in_thread(operations.retract_message, actor=ada, message_id=second.message_id)
                changed = await heard(socket, "message.changed")
                assert changed["message"]["retracted_at"]
                await in_thread(operations.remove_message, viewer=ben, message_id=first.message_id)
                removed = await heard(socket, "message.removed")
                assert removed["message_id"] == str(first.message_id)
                assert (await heard(socket, "unread"))["messages"] == 0
                assert await quiet(adas, "message.removed", "unread")

        asyncio.run(scene())

    def test_say_who_comes_and_goes_and_stop_for_who_went(self, server, bearer, ada, ben, cyd):
        talk = group(ada, ben)

        async def scene():
            async with live(server, bearer(ben)) as bens, live(server, bearer(cyd)) as cyds:
                await in_thread(
                    conversations.add_participant,
                    actor=ada,
                    conversation_id=talk,
                    user_id=cyd.user_id,
                )
                joined = await heard(bens, "participant.joined")
                assert joined["user"]["username"] == "cyd"
                created = await heard(cyds, "conversation.created")
                assert created["conversation"]["conversation_id"] == str(talk)
                await in_thread(
                    conversations.change_conversation,
                    actor=ada,
                    conversation_id=talk,
                    title="Trip",
                )
                changed = await heard(bens, "conversation.changed")
                assert changed["conversation"]["title"] == "Trip"
                await in_thread(
                    conversations.remove_participant,
                    actor=ada,
                    conversation_id=talk,
                    user_id=cyd.user_id,
                )
                assert (await heard(cyds, "participant.left"))["user"]["username"] == "cyd"
                await in_thread(say, ada, talk, "secret")
                assert (await heard(bens, "message.created"))["message"]["message_body"] == "secret"
                assert await quiet(cyds, "message.created")

        asyncio.run(scene())

    @pytest.mark.parametrize("was_hidden", [False, True])
    def test_tell_a_conversation_before_the_message_that_opens_it(
        self, server, bearer, ada, ben, was_hidden
    ):
        if was_hidden:
            say(ada, direct(ada, ben))
            conversations.leave(viewer=ben, conversation_id=direct(ada, ben))

        async def scene():
            async with live(server, bearer(ben)) as socket:
                await in_thread(lambda: say(ada, direct(ada, ben)))
                types = [(await heard(socket))["type"] for _ in range(2)]
                assert types == ["conversation.created", "message.created"]

        asyncio.run(scene())

    def test_say_how_far_others_have_read(self, server, bearer, ada, ben):
        talk = direct(ada, ben)
        say(ada, talk)

        async def scene():
            async with live(server, bearer(ada)) as adas, live(server, bearer(ben)) as bens:
                await put(bens, type="delivered", conversation=str(talk), seq=1)
                assert (await heard(adas, "delivered"))["delivered_seq"] == 1
                await put(bens, type="read", conversation=str(talk), seq=1)
                read = await heard(adas, "read")
                assert (read["user_id"], read["read_seq"]) == (str(ben.user_id), 1)
                assert (await heard(bens, "unread"))["messages"] == 0

        asyncio.run(scene())

    def test_lost_on_the_way_come_within_seconds(self, server, bearer, ada, ben):
        """A hint that never comes costs seconds, never a message."""
        talk = direct(ada, ben)

        async def scene():
            async with live(server, bearer(ben)) as socket:
                deaf, happened._callables = happened._callables, []
                try:
                    await in_thread(say, ada, talk, "lost")
                finally:
                    happened._callables = deaf
                event = await heard(socket, "message.created", seconds=8)
                assert event["message"]["message_body"] == "lost"
                await in_thread(say, ada, talk, "found")
                event = await heard(socket, "message.created")
                assert event["message"]["message_body"] == "found"

        asyncio.run(scene())


class TestFrames:
    def test_send_is_acknowledged_once_it_is_stored_and_safe_to_repeat(
        self, server, bearer, ada, ben
    ):
        async def scene():
            async with live(server, bearer(ada)) as socket:
                for ref in (1, "two"):
                    await put(
                        socket,
                        type="send",
                        ref=ref,
                        recipient="ben",
                        message_body="hi",
                        client_id="a",
                    )
                    ack = await heard(socket, "ack")
                    assert list(ack) == ["type", "ref", "message"]
                    assert ack["ref"] == ref
                return ack["message"]["message_id"]

        found = asyncio.run(scene())
        assert [str(m) for m in Message.objects.values_list("pk", flat=True)] == [found]

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            ({"type": "send", "recipient": "nobody", "message_body": "x"}, "does_not_exist"),
            ({"type": "send", "recipient": "ben"}, "required"),
            ({"type": "send", "recipient": "ben", "message_body": "\ud800"}, None),
            ({"type": "read", "conversation": "nonsense"}, "invalid_frame"),
            ({"type": "read", "conversation": "0" * 32}, "not_found"),
            ({"type": "delivered", "conversation": "0" * 32, "seq": 1}, "not_found"),
            ({"type": "delivered", "conversation": "0" * 32, "seq": 10**19}, "invalid_frame"),
            ({"type": "presence", "state": "asleep"}, "invalid_frame"),
            ({"type": "watch", "users": ["x"]}, "invalid_frame"),
            ({"type": "watch", "users": ["0" * 32] * 201}, "invalid_frame"),
            ({"type": "resume", "cursor": "forged"}, "invalid_cursor"),
            ({"type": "resume"}, "invalid_frame"),
            ({"type": ["send"]}, "invalid_frame"),
            ({}, "invalid_frame"),
        ],
    )
    def test_that_are_wrong_are_refused_and_the_socket_goes_on(
        self, server, bearer, ada, ben, frame, code
    ):
        async def scene():
            async with live(server, bearer(ada)) as socket:
                await put(socket, ref="r", **frame)
                error = await heard(socket, "error")
                assert error["ref"] == "r"
                assert code in (None, error["errors"][0]["code"])
                await put(socket, type="ping", ref=7)
                assert await heard(socket, "pong") == {"type": "pong", "ref": 7}

        asyncio.run(scene())

    @pytest.mark.parametrize(
        "ref", ["\ud800", "שלום", 10**40, 1.5, [None, True], {"a": "\0"}], ids=repr
    )
    def test_bear_any_reference_back(self, server, bearer, ada, ref):
        async def scene():
            async with live(server, bearer(ada)) as socket:
                await put(socket, type="ping", ref=ref)
                assert await heard(socket) == {"type": "pong", "ref": ref}

        asyncio.run(scene())

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "1",
            "[" * 40_000,
            '{"type": 1e400}',
            "null",
            '{"type": "ping", "ref": NaN}',
            '{"type": "ping", "ref": [-1e999]}',
        ],
    )
    def test_that_are_no_objects_are_refused(self, server, bearer, ada, text):
        async def scene():
            async with live(server, bearer(ada)) as socket:
                await socket.send(text)
                assert (await heard(socket, "error"))["errors"][0]["code"] == "invalid_frame"

        asyncio.run(scene())

    @pytest.mark.parametrize(
        ("sent", "code"), [("x" * 65_537, 4413), (b"{}", 4413), (["{}"] * 121, 4429)]
    )
    def test_too_large_or_too_many_end_it(self, server, bearer, ada, sent, code):
        async def scene():
            async with live(server, bearer(ada)) as socket:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    for each in sent if isinstance(sent, list) else [sent]:
                        await socket.send(each)
                    await heard(socket, "never")
                return closed.value.rcvd.code

        assert asyncio.run(scene()) == code

    def test_resume_gives_what_was_missed(self, server, bearer, ada, ben):
        talk = direct(ada, ben)

        async def scene():
            async with live(server, bearer(ben)) as socket:
                cursor = socket.hello["cursor"]
            for n in range(3):
                await in_thread(say, ada, talk, f"missed {n}")
            async with live(server, bearer(ben)) as socket:
                await put(socket, type="resume", cursor=cursor, ref=1)
                news = await heard(socket, "sync")
                assert (news["ref"], news["more"]) == (1, False)
                return [m["seq"] for c in news["conversations"] for m in c["messages"]]

        assert asyncio.run(scene()) == [1, 2, 3]


@pytest.fixture
def quick_recheck(monkeypatch):
    monkeypatch.setattr(hub, "RECHECK_S", 0.2)


class TestPresence:
    def test_is_for_those_who_share_a_conversation_and_watch(
        self, server, bearer, ada, ben, mallory
    ):
        direct(ada, ben)
        watched = [str(ben.user_id)]

        async def scene():
            async with live(server, bearer(ada)) as adas, live(server, bearer(mallory)) as others:
                await put(adas, type="watch", users=watched)
                await put(others, type="watch", users=watched)
                assert (await heard(adas, "presence"))["state"] == "offline"
                async with live(server, bearer(ben)) as bens:
                    assert (await heard(adas, "presence"))["state"] == "online"
                    for state in ("away", "offline", "online"):
                        await put(bens, type="presence", state=state)
                        assert (await heard(adas, "presence"))["state"] == state
                assert await quiet(others, "presence")

        asyncio.run(scene())

    def test_ends_for_who_shares_nothing_any_more(
        self, quick_recheck, server, bearer, ada, ben, cyd
    ):
        talk = group(ada, ben, cyd)

        async def scene():
            async with live(server, bearer(cyd)) as cyds:
                await put(cyds, type="watch", users=[str(ben.user_id)])
                assert (await heard(cyds, "presence"))["state"] == "offline"
                await in_thread(conversations.leave, viewer=cyd, conversation_id=talk)
                await asyncio.sleep(0.8)
                async with live(server, bearer(ben)):
                    assert await quiet(cyds, "presence")

        asyncio.run(scene())

    def test_of_typing_is_told_to_the_others_in_it(self, server, bearer, ada, ben, mallory):
        talk = direct(ada, ben)

        async def scene():
            async with live(server, bearer(ada)) as adas, live(server, bearer(ben)) as bens:
                await put(adas, type="typing", conversation=str(talk))
                typing = await heard(bens, "typing")
                assert (typing["user_id"], typing["conversation"]) == (
                    str(ada.user_id),
                    str(talk),
                )
                async with live(server, bearer(mallory)) as others:
                    await put(others, type="typing", conversation=str(talk))
                    assert await quiet(bens, "typing")
                assert await quiet(adas, "typing")

        asyncio.run(scene())


class TestEnd:
    def test_comes_within_five_seconds_of_the_sign_ins(self, server, bearer, ada):
        async def scene(end):
            async with live(server, bearer(ada)) as socket:
                await in_thread(end)
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await heard(socket, "never", seconds=5)
                return closed.value.rcvd.code

        def deactivate():
            ada.is_active = False
            ada.save(update_fields=["is_active"])

        assert asyncio.run(scene(deactivate)) == 4401
        assert accounts  # the operations end sign-ins by the same columns

    def test_does_not_come_to_who_opened_while_others_were_checked(
        self, monkeypatch, server, bearer, ada, ben
    ):
        asked, answer, done = threading.Event(), threading.Event(), threading.Event()

        def slowly(credentials):
            if asked.is_set():
                done.set()  # the first check is over, and what it closes is closed
            asked.set()
            answer.wait(8)
            return still_valid(credentials)

        async def scene():
            async with live(server, bearer(ada)):
                assert await asyncio.to_thread(asked.wait, 8)
                async with live(server, bearer(ben)) as bens:
                    answer.set()
                    assert await asyncio.to_thread(done.wait, 8)
                    await put(bens, type="ping", ref=1)
                    assert (await heard(bens, "pong"))["ref"] == 1

        monkeypatch.setattr(hub, "CHECK_S", 0.1)
        monkeypatch.setattr(hub, "still_valid", slowly)
        asyncio.run(scene())

    def test_of_an_eleventh_socket_comes_at_once(self, server, bearer, ada):
        async def scene():
            headers = bearer(ada)
            sockets = [
                await websockets.connect(f"ws://{server}/ws/", additional_headers=headers)
                for _ in range(10)
            ]
            try:
                with pytest.raises(websockets.InvalidStatus) as refused:
                    async with live(server, headers):
                        pass
                return refused.value.response
            finally:
                for socket in sockets:
                    await socket.close()

        refused = asyncio.run(scene())
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert json.loads(refused.body)["errors"][0]["code"] == "throttled"
