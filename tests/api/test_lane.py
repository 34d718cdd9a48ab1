"""The lane and Django answer alike: the same status, the same headers, the same bytes."""

import asyncio
import json
import math
import time
from datetime import timedelta
from unittest.mock import patch

import httpx
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from parley.accounts.operations import create_token
from parley.api.lane import asking, credentials
from parley.api.lane.application import Lane
from parley.api.lane.requests import Arrived
from parley.conversations import epochs, events, fence
from parley.conversations import operations as conversations
from parley.conversations.models import Epoch, Participant
from parley.http import throttling, tokens
from parley.http.guard import Guard
from parley.kernel import ids
from parley.kernel.async_database import close_database
from parley.messaging import express_sync, group_commit, operations
from parley.messaging import sync as sync_module
from parley.messaging.models import Mark, Message
from parley.messaging.operations.following import make_heavy
from parley.messaging.unread import LIST_CAP
from tests.conftest import PASSWORD
from tests.realtime.conftest import in_thread
from tests.talk import direct, group, say, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def star(viewer, other, talk):
    message_id = say(other, talk).message_id
    operations.set_message_starred(viewer=viewer, message_id=message_id, starred=True)


def come_back(viewer, other, talk):
    conversations.leave(viewer=viewer, conversation_id=talk)
    conversations.add_participant(actor=other, conversation_id=talk, user_id=viewer.user_id)


def archive(viewer, other, talk):
    conversations.set_own(viewer=viewer, conversation_id=talk, archived_at=timezone.now())


def hear_much(viewer, other, talk):
    for n in range(4):
        say(other, talk, str(n))


def read(viewer, other, talk, seq=1):
    say(other, talk)
    operations.read_up_to(viewer=viewer, conversation_id=talk, seq=seq)


def leave(viewer, other, talk):
    conversations.leave(viewer=viewer, conversation_id=talk)


NEWS = (star, come_back, archive, hear_much, read, leave)


class Site:
    """The server twice over: with the lane and without; it counts what came through to Django."""

    def __init__(self):
        self.passed = 0
        self._django = get_asgi_application()
        self._lane = Lane(self._counted)
        self._headers = {}

    def sign_in(self, user):
        self._headers = {"authorization": f"Bearer {tokens.sign_in(user).access}"}

    def use(self, **headers):
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def _counted(self, scope, receive, send):
        self.passed += 1
        await self._django(scope, receive, send)

    def _play(self, application, requests):
        async def run():
            transport = httpx.ASGITransport(Guard(application, body_limit=2**20))
            try:
                async with httpx.AsyncClient(
                    transport=transport, base_url="http://testserver"
                ) as client:
                    return [await self._one(client, *request) for request in requests]
            finally:
                await group_commit.drain()
                await close_database()

        return asyncio.run(run())

    async def _one(self, client, method, path, body=None, headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        more = {} if body is None else {"content": content}
        sent = {"accept": "*/*", "x-request-id": "one", **self._headers, **(headers or {})}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        return await client.request(method, path, headers=sent, **more)

    def by_lane(self, *requests):
        return self._play(self._lane, requests)

    def by_django(self, *requests):
        return self._play(self._django, requests)

    def both(self, *request):
        """Return the two answers to one request, alike in all but their bodies."""
        [fast], [plain] = self.by_lane(request), self.by_django(request)
        assert fast.status_code == plain.status_code, (fast.text, plain.text)
        assert sorted(fast.headers.items()) == sorted(plain.headers.items())
        return fast, plain

    def alike(self, *request, lane=True):
        """Compare the answers to one request to the byte; say whether the lane gave its own."""
        before = self.passed
        fast, plain = self.both(*request)
        assert fast.content == plain.content
        assert (self.passed == before) is lane, "by the lane" if lane else "by Django"
        return fast


@pytest.fixture(autouse=True)
def _no_rates():
    throttling.forget_all()


@pytest.fixture
def site():
    return Site()


def new_in_each(answer):
    """Return a message that was sent, without what no two messages share."""
    shown = answer.json()
    assert list(shown)[:5] == ["message_id", "sender", "message_body", "sent_at", "conversation"]
    return {k: v for k, v in shown.items() if k not in {"message_id", "sent_at", "seq", "revision"}}


class TestSending:
    @pytest.mark.parametrize(
        "body",
        [
            {"message_body": "hello"},
            {
                "message_body": '  שלום 👩🏽‍🚀 \u2028 \u2029 \x7f \x1f \t\n "quoted" <b> ',
                "subject": " s ",
            },
            {"message_body": "x", "reply_to": None, "client_id": None, "other": [1, {"a": None}]},
            {"message_body": "x" * 16_000, "subject": "語" * 255},
        ],
    )
    def test_in_a_conversation_is_alike(self, site, ada, ben, body):
        talk = direct(ada, ben)
        site.sign_in(ada)

        fast, plain = site.both("POST", f"/api/conversations/{talk}/messages/", body)

        assert fast.status_code == 201
        assert new_in_each(fast) == new_in_each(plain)
        assert len(fast.content) == len(plain.content)
        assert (fast.json()["seq"], plain.json()["seq"]) == (1, 2)
        assert site.passed == 0

    @pytest.mark.parametrize("place", ["user_id", "username", "email"])
    def test_to_a_person_is_alike(self, site, ada, ben, place):
        site.sign_in(ada)
        body = {"recipient": str(getattr(ben, place)), "message_body": "hello"}

        fast, plain = site.both("POST", "/api/messages/", body)

        assert new_in_each(fast) == new_in_each(plain)
        assert site.passed == 0

    def test_again_returns_the_first_byte_by_byte(self, site, ada, ben):
        said = write_to(ada, ben, client_id="ä")
        operations.set_message_starred(viewer=ada, message_id=said.message_id, starred=True)
        operations.edit_message(editor=ada, message_id=said.message_id, message_body="edited")
        site.sign_in(ada)
        body = {
            "message_body": "hello",
            "client_id": "ä",
            "conversation": str(said.conversation_id),
        }

        answer = site.alike("POST", "/api/messages/", body)

        assert (answer.status_code, answer.json()["message_body"]) == (200, "edited")

    def test_takes_an_idempotency_key(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)
        body, key = {"message_body": "hello"}, {"idempotency-key": "a"}

        first, again = site.by_lane(("POST", path, body, key), ("POST", path, body, key))

        assert (first.status_code, again.status_code) == (201, 200)
        assert first.content == again.content
        site.alike("POST", path, body | {"client_id": "b"}, key, lane=False)

    def test_refusals_are_alike(self, site, ada, ben, cyd, mallory):
        talk = direct(ada, ben)
        write_to(ada, ben, client_id="a")
        conversations.block(blocker=cyd, user_id=ada.user_id)
        with_cyd = direct(cyd, ada)
        site.sign_in(ada)
        hello = {"message_body": "hello"}
        for status, where, more in [
            (404, ids.new_id(), {}),
            (404, group(ben, mallory), {}),
            (403, with_cyd, {}),
            (409, talk, {"client_id": "a", "message_body": "other"}),
            (400, talk, {"reply_to": str(ids.new_id())}),
        ]:
            body = hello | more
            answer = site.alike("POST", f"/api/conversations/{where}/messages/", body)
            assert answer.status_code == status

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b'"x"',
            b"",
            b'{"message_body": NaN}',
            b"[" * 100,
            b'{"message_body": "\xff"}',
            {"message_body": ""},
            {"message_body": "a\0b"},
            {"message_body": 1},
            {"message_body": None},
            {"message_body": "x" * 16_001},
            {"message_body": "x", "subject": None},
            {"message_body": "x", "client_id": ""},
            {"message_body": "x", "reply_to": "x"},
            {},
        ],
    )
    def test_what_is_wrong_is_for_django(self, site, ada, ben, body):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)

        answer = site.alike("POST", path, body, lane=False)

        assert answer.status_code == 400
        assert not Message.objects.exists()

    def test_other_forms_are_for_django_which_gets_the_whole_body(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)
        form = {"content-type": "application/x-www-form-urlencoded"}

        for body, headers in [
            (b"message_body=hello", form),
            ({"message_body": "hello"}, {"accept": "text/html"}),
            ({"message_body": "hello"}, {"content-type": "application/json; charset=latin-1"}),
        ]:
            [answer] = site.by_lane(("POST", path, body, headers))
            assert answer.status_code == 201
        assert site.passed == 3
        assert Message.objects.count() == 3

    def test_counts_against_the_rate(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)
        slow = settings.PARLEY.model_copy(update={"rate_send": "2/minute"})
        with patch.object(settings, "PARLEY", slow):
            answers = site.by_lane(*[("POST", path, {"message_body": "x"})] * 3)
            site.alike("POST", path, {"message_body": "x"}, lane=False)

        assert [a.status_code for a in answers] == [201, 201, 429]
        assert int(answers[2].headers["retry-after"]) > 0

    def test_tells_of_a_full_queue(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)

        with (
            patch.object(group_commit, "BOUND", 0),
            patch.object(
                group_commit.GroupCommit.__init__, "__kwdefaults__", {"bound": 0, "largest": 1}
            ),
        ):
            [answer] = site.by_lane(("POST", path, {"message_body": "x"}))

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["errors"][0]["code"] == "unavailable"


class TestCredentials:
    PATH = "/api/unread/"

    def test_an_opaque_token_is_alike(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        at = timezone.now()
        _, secret = create_token(user=ada, lifetime=timedelta(days=1), most=5, at=at)
        site.use(authorization=f"Token {secret}")

        [noted] = site.by_lane(("POST", path, {"message_body": "x"}))
        assert (noted.status_code, site.passed) == (201, 1)  # its first use is noted by Django

        fast, plain = site.both("POST", path, {"message_body": "x"})
        assert new_in_each(fast) == new_in_each(plain)
        assert site.passed == 1

    def test_a_session_is_alike_and_needs_its_csrf_token(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        token = client.get("/api/session/").json()["csrf_token"]
        cookies = "; ".join(f"{m.key}={m.value}" for m in client.cookies.values())
        site.use(cookie=cookies)

        refused = site.alike("POST", path, {"message_body": "x"}, lane=False)
        assert refused.status_code == 403

        right = {"x-csrftoken": token}
        fast, plain = site.both("POST", path, {"message_body": "x"}, right)
        assert new_in_each(fast) == new_in_each(plain)
        foreign = right | {"origin": "https://elsewhere.example"}
        site.alike("POST", path, {"message_body": "x"}, foreign, lane=False)

    @pytest.mark.parametrize(
        "value", ["Bearer x", "Bearer", "Token x", "Basic x", "bearer  x y", "Token \xff"]
    )
    def test_what_proves_nobody_is_for_django(self, site, ada, ben, value):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.use(authorization=value.encode("latin-1"))

        answer = site.alike("POST", path, {"message_body": "x"}, lane=False)

        assert answer.status_code == 401

    def test_end_within_five_seconds_of_being_revoked_elsewhere(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)
        hello = ("POST", path, {"message_body": "x"})
        assert site.by_lane(hello)[0].status_code == 201

        ada.sign_ins.all().delete()

        clock = time.monotonic
        with patch.object(credentials.time, "monotonic", lambda: clock() + 5):
            assert site.by_lane(hello)[0].status_code == 401

    def test_end_at_once_where_this_process_changed_an_account(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        pair = tokens.sign_in(ada)
        site.use(authorization=f"Bearer {pair.access}")
        hello = ("POST", path, {"message_body": "x"})

        first, ended, after = site.by_lane(
            hello, ("POST", "/api/token/blacklist/", {"refresh": pair.refresh}), hello
        )

        assert [a.status_code for a in (first, ended, after)] == [201, 200, 401]

    def test_are_forgotten_before_anyone_knows_of_the_change(self):
        told = []

        async def change(_scope, _receive, send):
            await send({"type": "http.response.start"})

        async def scene():
            lane = Lane(change)
            known = lane._credentials

            async def send(_message):
                told.append(set(known._known))

            known._known["a session"] = None
            await lane({"type": "http", "method": "PATCH", "path": "/api/users/me/"}, None, send)

        asyncio.run(scene())
        assert told == [set()]

    def test_that_were_asked_for_before_a_change_are_not_remembered_after(self, ada):
        scope = {"headers": [(b"authorization", f"Bearer {tokens.sign_in(ada).access}".encode())]}
        scope |= {"method": "GET", "query_string": b""}
        asked = credentials.by_header

        async def scene():
            known = credentials.Credentials()

            async def overtaken(header):
                found = await asked(header)
                known.forget()
                return found

            request = Arrived(scope, dict(scope["headers"]), "testserver", {})
            with patch.object(credentials, "by_header", overtaken):
                proved = await known.prove(request)
            assert proved.viewer == ada
            assert not known._known
            await known.prove(request)
            assert len(known._known) == 1
            await close_database()

        asyncio.run(scene())

    def test_of_a_user_who_was_deactivated_end_too(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)
        ada.is_active = False
        ada.save()

        answer = site.alike("POST", path, {"message_body": "x"}, lane=False)

        assert answer.status_code == 401

    def test_that_the_database_cannot_prove_now_are_for_django(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)

        async def away(**_who):
            raise OperationalError("away")

        with patch.object(credentials.express, "signed_in", away):
            answer = site.alike("GET", path, lane=False)

        assert answer.status_code == 200

    def test_hosts_that_are_not_ours_are_for_django(self, site, ada, ben):
        path = f"/api/conversations/{direct(ada, ben)}/messages/"
        site.sign_in(ada)

        answer = site.alike(
            "POST", path, {"message_body": "x"}, {"host": "elsewhere.example"}, lane=False
        )

        assert answer.status_code == 400
        assert PASSWORD not in answer.text


class TestReading:
    @pytest.fixture
    def talk(self, ada, ben, cyd):
        """A group with a bit of everything in it."""
        talk = group(ada, ben, cyd, title="Lunch \u2028")
        said = [say(who, talk, f"{n} 👩🏽‍🚀") for n, who in enumerate((ada, ben, cyd) * 4)]
        operations.set_message_starred(viewer=ada, message_id=said[1].message_id, starred=True)
        operations.remove_message(viewer=ada, message_id=said[2].message_id)
        operations.remove_message(viewer=ada, message_id=said[-1].message_id)
        operations.edit_message(editor=ada, message_id=said[3].message_id, message_body="edited")
        operations.retract_message(actor=ben, message_id=said[7].message_id)
        operations.read_up_to(viewer=ada, conversation_id=talk, seq=6)
        operations.set_message_read(viewer=ada, message_id=said[4].message_id, read=False)
        operations.set_message_read(viewer=ada, message_id=said[10].message_id, read=True)
        return talk

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?limit=1",
            "?limit=3",
            "?limit=500",
            "?limit=-1",
            "?before=7&limit=2",
            "?before=1",
            "?after=0",
            "?after=4&limit=3",
            "?after=100",
            "?changed_after=0&limit=5",
            "?changed_after=12",
            "?users=map",
            "?users=map&limit=2",
            "?around=4",
            "?around=6&limit=3",
            "?around=400&users=map",
        ],
    )
    def test_a_history_is_alike(self, site, ada, talk, query):
        site.sign_in(ada)

        site.alike("GET", f"/api/conversations/{talk}/messages/{query}")

    @pytest.mark.parametrize(
        "query",
        [
            "?around=4&before=3",
            "?limit=x",
            "?before=-1",
            "?before=1&after=2",
            "?users=x",
            "?cursor=x",
            "?format=json",
            "?limit=1&limit=2",
            "?limit=%31",
        ],
    )
    def test_what_is_odd_is_for_django(self, site, ada, talk, query):
        site.sign_in(ada)

        site.alike("GET", f"/api/conversations/{talk}/messages/{query}", lane=False)

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?messages=0",
            "?messages=3",
            "?messages=101",
            "?users=map",
            "?users=map&messages=100",
        ],
    )
    def test_one_conversation_is_alike(self, site, ada, ben, talk, query):
        site.sign_in(ada)

        for each in (talk, direct(ada, ben), talk.hex):
            site.alike("GET", f"/api/conversations/{each}/{query}")

    @pytest.mark.parametrize("query", ["", "?messages=0&users=map"])
    def test_one_of_any_kind_is_alike(self, site, ada, inbox, query):
        site.sign_in(ada)

        for each in inbox:
            site.alike("GET", f"/api/conversations/{each}/{query}")

    def test_one_that_is_muted_archived_and_emptied_is_alike(self, site, ada, ben):
        talk = direct(ada, ben)
        site.sign_in(ada)
        message_id = say(ben, talk).message_id
        now = timezone.now()
        conversations.set_own(viewer=ada, conversation_id=talk, archived_at=now, muted_until=now)

        archived = site.alike("GET", f"/api/conversations/{talk}/").json()
        operations.remove_message(viewer=ada, message_id=message_id)
        emptied = site.alike("GET", f"/api/conversations/{talk}/").json()
        say(ben, talk)
        back = site.alike("GET", f"/api/conversations/{talk}/").json()

        assert archived["me"]["archived_at"]
        assert archived["me"]["muted_until"]
        assert (emptied["messages"], emptied["last_message"]) == ([], None)
        assert back["me"]["archived_at"] is None

    def test_one_with_much_unread_is_alike(self, site, ada, ben):
        talk = direct(ada, ben)
        for n in range(LIST_CAP + 1):
            say(ben, talk, str(n))
        site.sign_in(ada)

        shown = site.alike("GET", f"/api/conversations/{talk}/").json()

        assert (shown["unread_count"], shown["unread_capped"]) == (LIST_CAP + 1, False)
        assert len(shown["messages"]) == 20
        assert site.alike("GET", "/api/conversations/").json()["results"][0]["unread_capped"]

    @pytest.mark.postgresql
    def test_one_takes_no_thread(self, site, ada, inbox, monkeypatch):
        monkeypatch.setattr(asking, "_answer", None)
        site.sign_in(ada)

        site.alike("GET", f"/api/conversations/{inbox[0]}/?messages=100")

    @pytest.mark.parametrize("query", ["?messages=x", "?users=x", "?limit=1", "?format=json"])
    def test_one_that_is_asked_for_oddly_is_for_django(self, site, ada, talk, query):
        site.sign_in(ada)

        site.alike("GET", f"/api/conversations/{talk}/{query}", lane=False)

    def test_a_message_that_is_not_to_be_seen_is_alike(self, site, ada, ben, cyd, talk):
        removed, hidden = say(ben, talk, "removed"), say(ben, direct(ada, ben), "hidden")
        operations.remove_message(viewer=ada, message_id=removed.message_id)
        conversations.leave(viewer=ada, conversation_id=direct(ada, ben))
        others = say(ben, direct(ben, cyd))
        site.sign_in(ada)
        for unseen in (removed, hidden, others):
            answer = site.alike("GET", f"/api/messages/{unseen.message_id}/")
            assert answer.status_code == 404
        direct(ada, ben)  # it is open again, and what was said before is not to be seen
        site.alike("GET", f"/api/messages/{hidden.message_id}/")

    def test_one_message_is_alike(self, site, ada, talk):
        site.sign_in(ada)
        for message_id in Message.objects.values_list("message_id", flat=True):
            site.alike("GET", f"/api/messages/{message_id}/")
            site.alike("GET", f"/api/messages/{message_id}/?users=map", lane=False)

    @pytest.mark.parametrize(
        "path", ["conversations/{}", "conversations/{}//", "conversations//{}/", "messages/{}x/"]
    )
    def test_what_is_no_address_of_ours_is_for_django(self, site, ada, talk, path):
        site.sign_in(ada)

        site.alike("GET", f"/api/{path.format(talk)}", lane=False)

    def test_strangers_are_told_alike_of_one(self, site, ada, talk, mallory):
        site.sign_in(mallory)
        message_id = Message.objects.filter(conversation_id=talk).values_list("pk", flat=True)[0]
        for path in ("conversations/{}/", "messages/{}/"):
            for named in (talk, message_id, ids.new_id()):
                answer = site.alike("GET", f"/api/{path.format(named)}")
                assert answer.status_code == 404

    @pytest.mark.parametrize("start", ["?limit=2", "?after=0&limit=5", "?changed_after=3&limit=4"])
    def test_its_pages_follow_one_another_alike(self, site, ada, talk, start):
        site.sign_in(ada)
        path = f"/api/conversations/{talk}/messages/{start}"
        for name in ("next", "previous"):
            while path:
                previous, path = path, site.alike("GET", path).json()[name]
            path = previous

    def test_strangers_and_those_who_left_are_told_alike(self, site, ada, ben, talk, mallory):
        path = f"/api/conversations/{talk}/messages/"
        site.sign_in(mallory)
        assert site.alike("GET", path).status_code == 404
        conversations.leave(viewer=ben, conversation_id=talk)
        site.sign_in(ben)
        assert site.alike("GET", path).status_code == 404
        none = f"/api/conversations/{ids.new_id()}/messages/"
        assert site.alike("GET", none).status_code == 404
        site.alike("GET", "/api/conversations/x/messages/", lane=False)

    @pytest.fixture
    def inbox(self, ada, ben, cyd, talk, person):
        """Conversations of every kind, some hidden, archived, empty or large."""
        write_to(ben, ada, body="a")
        write_to(cyd, ada, body="b")
        empty = direct(ada, person("dan"))
        conversations.set_own(viewer=ada, conversation_id=empty, pinned_at=timezone.now())
        archived = group(ada, ben)
        conversations.set_own(viewer=ada, conversation_id=archived, archived_at=timezone.now())
        large = group(ada, *(person(f"guest{n}") for n in range(55)))
        left = group(ada, ben, cyd)
        conversations.leave(viewer=cyd, conversation_id=left)
        hidden = write_to(ada, cyd).conversation_id
        conversations.leave(viewer=cyd, conversation_id=hidden)
        return [talk, empty, archived, large, left, hidden]

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?limit=2",
            "?messages=0",
            "?messages=1&limit=3",
            "?users=map&limit=4",
            "?messages=5",
            "?messages=100&users=map",
            "?archived=true",
            "?unread=true&limit=2",
            "?kind=group&messages=2",
        ],
    )
    def test_an_inbox_is_alike(self, site, ada, inbox, query):
        site.sign_in(ada)

        answer = site.alike("GET", f"/api/conversations/{query}")

        assert answer.json()["results"]

    @pytest.mark.parametrize("query", ["?messages=x", "?kind=x", "?archived=x", "?other=1"])
    def test_odd_inboxes_are_for_django(self, site, ada, inbox, query):
        site.sign_in(ada)

        site.alike("GET", f"/api/conversations/{query}", lane=False)

    @pytest.mark.parametrize("start", ["?limit=2", "?limit=2&kind=group", "?limit=2&messages=3"])
    def test_its_pages_follow_alike_too(self, site, ada, inbox, start):
        site.sign_in(ada)
        path = f"/api/conversations/{start}"
        for name in ("next", "previous"):
            while path:
                previous, path = path, site.alike("GET", path).json()[name]
            path = previous

    def test_what_a_heavy_reader_lists_is_alike(self, site, ada, ben, inbox):
        make_heavy(ada.user_id)
        site.sign_in(ada)
        for _ in range(2):  # or the one settles what the other still notes in its cursor
            fence.tick(unless_within=timedelta(0))
        [first] = site.by_django(("GET", "/api/sync/?limit=200"))
        sync = f"/api/sync/?cursor={first.json()['cursor']}"
        for path in ("/api/conversations/", "/api/unread/", sync):
            site.alike("GET", path)
        site.alike("GET", f"/api/conversations/{inbox[0]}/messages/")

    def test_an_unread_total_is_alike(self, site, ada, ben, cyd, mallory, inbox):
        for who in (ada, ben, cyd, mallory):
            site.sign_in(who)
            site.alike("GET", "/api/unread/")
        site.alike("GET", "/api/unread/?verify=true", lane=False)

    def test_contact_details_are_for_those_who_may_see_them(self, site, ada, admin, inbox):
        site.sign_in(admin)
        say_hello = group(admin, ada)
        say(ada, say_hello)
        for contacts in ("self", "participants", "everyone"):
            chosen = settings.PARLEY.model_copy(update={"contact_details": contacts})
            with patch.object(settings, "PARLEY", chosen):
                site.alike("GET", f"/api/conversations/{say_hello}/messages/")
                site.alike("GET", "/api/conversations/")
                site.alike("GET", f"/api/conversations/{say_hello}/")
                fence.tick(unless_within=timedelta(0))
                site.alike("GET", "/api/sync/")

    def test_a_sync_with_nothing_new_is_alike(self, site, ada, ben, inbox):
        site.sign_in(ada)
        [first] = site.by_django(("GET", "/api/sync/?limit=200"))
        while first.json()["more"]:
            [first] = site.by_django(("GET", f"/api/sync/?cursor={first.json()['cursor']}"))
        path = f"/api/sync/?cursor={first.json()['cursor']}"

        fence.tick(unless_within=timedelta(0))
        settled = site.alike("GET", path)
        assert settled.json()["conversations"] == []
        again = f"/api/sync/?cursor={settled.json()['cursor']}&limit=3"
        site.alike("GET", again)

        assert site.alike("GET", f"{path}x").status_code == 400
        site.alike("GET", f"{path}&wait=0", lane=False)
        site.alike("GET", f"{path}&limit=x", lane=False)
        site.sign_in(ben)
        assert site.alike("GET", path).status_code == 400

    def test_a_sync_with_news_is_alike(self, site, ada, ben, inbox):
        site.sign_in(ada)
        fence.tick(unless_within=timedelta(0))
        path = "/api/sync/?limit=5"
        while path:
            page = site.alike("GET", path).json()
            path = f"/api/sync/?limit=5&cursor={page['cursor']}" if page["more"] else None
        cursor = page["cursor"]
        said = write_to(ben, ada)
        operations.set_message_starred(viewer=ada, message_id=said.message_id, starred=True)
        operations.remove_message(viewer=ada, message_id=write_to(ben, ada).message_id)
        conversations.leave(viewer=ada, conversation_id=inbox[0])
        fence.tick(unless_within=timedelta(0))  # which a sync would do, and the next one show

        news = site.alike("GET", f"/api/sync/?cursor={cursor}").json()

        assert all(news[what] for what in ("conversations", "marks", "removed", "left"))
        site.alike("GET", f"/api/sync/?cursor={cursor}&users=map")

    @pytest.mark.postgresql
    @pytest.mark.parametrize("is_settled", [True, False])
    def test_a_sync_with_a_little_news_is_alike_and_takes_no_thread(
        self, site, ada, ben, cyd, inbox, is_settled, monkeypatch
    ):
        def settle():
            if is_settled:
                fence.tick(unless_within=timedelta(0))

        monkeypatch.setattr(sync_module.ticker, "_next", math.inf)
        asked = []
        monkeypatch.setattr(asking, "sync", lambda **_: asked.append(True))
        site.sign_in(ada)
        talk, other = inbox[0], group(ada, ben, cyd)
        say(cyd, other)
        settle()
        cursor = sync_module.here(viewer=ada)
        path = "/api/sync/?limit=20&cursor={}"

        first = site.alike("GET", path.format(cursor)).json()
        assert first["conversations"] == []
        changed, gone = (say(ben, talk, text).message_id for text in ("old", "gone"))
        say(cyd, other, "Καλημέρα %", subject="news", reply_to=None)
        settle()
        news = site.alike("GET", path.format(cursor)).json()
        assert sorted(len(each["messages"]) for each in news["conversations"]) == [1, 2]
        operations.edit_message(editor=ben, message_id=changed, message_body="new")
        operations.retract_message(actor=ben, message_id=gone)
        conversations.change_conversation(actor=ada, conversation_id=talk, title="Elsewhere")
        for since in (cursor, first["cursor"], news["cursor"]):
            for more in ("", "&users=map"):
                found = site.alike("GET", path.format(since) + more).json()
                assert found["conversations"]
        assert site.alike("GET", path.format(found["cursor"])).json()["conversations"] == []
        assert not asked

    @pytest.mark.postgresql
    @pytest.mark.parametrize("change", NEWS, ids=lambda change: change.__name__)
    def test_a_sync_with_more_than_a_little_news_is_alike(
        self, site, ada, ben, cyd, change, monkeypatch
    ):
        monkeypatch.setattr(sync_module.ticker, "_next", math.inf)
        site.sign_in(ada)
        for is_settled in (True, False):
            talk = group(ben, ada, cyd)
            say(ben, talk)
            if is_settled:
                fence.tick(unless_within=timedelta(0))
                fence.tick(unless_within=timedelta(0))
            cursor = sync_module.here(viewer=ada)
            change(ada, ben, talk)
            for limit in (1, 3, 20):
                site.alike("GET", f"/api/sync/?cursor={cursor}&limit={limit}")

    @pytest.mark.postgresql
    def test_a_sync_shows_messages_by_the_watermark_beside_them(
        self, site, ada, ben, inbox, monkeypatch
    ):
        talk, find = inbox[0], express_sync.find_conversations

        async def read_meanwhile(**asked):
            await asyncio.sleep(0.2)  # until the messages are read
            await in_thread(read, ada, ben, talk, seq=last)
            return await find(**asked)

        cursor = sync_module.here(viewer=ada)
        last = say(ben, talk).seq
        site.sign_in(ada)
        monkeypatch.setattr(express_sync, "find_conversations", read_meanwhile)

        [news] = site.by_lane(("GET", f"/api/sync/?cursor={cursor}"))

        [shown] = news.json()["conversations"]
        watermark = shown["me"]["watermark"]
        assert watermark >= last
        assert all(m["read"] == (m["seq"] <= watermark) for m in shown["messages"])

    def test_a_sync_of_what_is_unsettled_has_it_settle(self, site, ada, ben, inbox, monkeypatch):
        fence.tick(unless_within=timedelta(0))
        cursor = sync_module.here(viewer=ada)
        say(ben, inbox[0])
        monkeypatch.setitem(fence.tick.__kwdefaults__, "unless_within", timedelta(0))
        monkeypatch.setattr(sync_module.ticker, "_next", 0.0)
        before = fence.state()
        site.sign_in(ada)

        [news] = site.by_lane(("GET", f"/api/sync/?cursor={cursor}"))

        assert news.json()["conversations"]
        assert fence.state().current > before.current

    def test_a_sync_from_before_a_restore_is_refused_alike(self, site, ada, ben):
        write_to(ben, ada)
        site.sign_in(ada)
        [first] = site.by_django(("GET", "/api/sync/"))
        Epoch.objects.all().delete()
        epochs.begin()

        answer = site.alike("GET", f"/api/sync/?cursor={first.json()['cursor']}")

        assert answer.status_code == 410


class TestPeople:
    @pytest.fixture(autouse=True)
    def people(self, ada, ben, person):
        """People with names of every kind, some of the same, one of them gone."""
        for n in range(4):
            person(f"x{n}", first_name="Ada", last_name='Löw \u2028 "x"')
        person("ZZ_top", phone_number="+44 20 % 1", email=None)
        return person("adam", is_active=False, first_name="Ada", last_name="Ada")

    @pytest.mark.parametrize("who", ["ada", "admin"])
    @pytest.mark.parametrize("contacts", ["self", "participants", "everyone"])
    def test_are_alike_with_contact_details_for_those_who_may_see_them(
        self, site, request, ada, ben, people, who, contacts
    ):
        direct(ada, ben)
        site.sign_in(request.getfixturevalue(who))
        chosen = settings.PARLEY.model_copy(update={"contact_details": contacts})
        with patch.object(settings, "PARLEY", chosen):
            shown = site.alike("GET", "/api/users/").json()["results"]
            assert people.username not in {each["username"] for each in shown}
            assert {each["username"] for each in shown if each["email"]} >= {who}
            for user_id in (ada.user_id, ben.user_id, ben.user_id.hex, people.user_id):
                site.alike("GET", f"/api/users/{user_id}/")

    @pytest.mark.parametrize(
        "query",
        [
            *("?limit=2", "?limit=0", "?limit=999", "?search=", "?search=a", "?search=ADA&limit=1"),
            *("?search=x&limit=3", "?search=nobody", "?search=ada&limit=3", "?users=map&limit=3"),
        ],
    )
    def test_are_alike_from_page_to_page(self, site, ada, query):
        site.sign_in(ada)
        path = f"/api/users/{query}"
        for name in ("next", "previous"):
            while path:
                previous, path = path, site.alike("GET", path).json()[name]
            path = previous

    @pytest.mark.parametrize(
        "query",
        [
            *("?limit=x", "?cursor=x", "?search=%61", "?search=a+b", "?search=a&search=b"),
            *(f"?search={'x' * 151}", "?role=x", "?users=x", "?format=json"),
        ],
    )
    def test_that_are_asked_for_oddly_are_for_django(self, site, ada, query):
        site.sign_in(ada)

        site.alike("GET", f"/api/users/{query}", lane=False)

    def test_take_a_cursor_in_its_own_search_alone(self, site, ada):
        site.sign_in(ada)
        path = site.alike("GET", "/api/users/?limit=1").json()["next"]

        assert site.alike("GET", f"{path}&search=a", lane=False).status_code == 400

    def test_who_are_not_there_are_told_of_alike(self, site, ada, admin, people):
        site.sign_in(ada)
        for user_id in (people.user_id, ids.new_id()):
            assert site.alike("GET", f"/api/users/{user_id}/").status_code == 404
        for path in ("me/", "x/", f"{ada.user_id}", f"{ada.user_id}/?users=map"):
            site.alike("GET", f"/api/users/{path}", lane=False)
        site.sign_in(admin)
        assert site.alike("GET", f"/api/users/{people.user_id}/").status_code == 200

    @pytest.mark.postgresql
    def test_take_no_thread(self, site, ada, ben, monkeypatch):
        monkeypatch.setattr(asking, "_answer", None)
        site.sign_in(ada)

        site.alike("GET", "/api/users/?search=a&limit=1")
        site.alike("GET", f"/api/users/{ben.user_id}/")


class TestStarring:
    def test_is_alike_and_may_be_done_again(self, site, ada, ben, mallory):
        talk = direct(ada, ben)
        one, other = (say(ben, talk, body).message_id for body in ("one", "other"))
        site.sign_in(ada)
        for method in ("PUT", "PUT", "DELETE", "DELETE"):
            for message_id in (one, other, ids.new_id()):
                path = f"/api/messages/{message_id}/star/"
                answer = site.alike(method, path)
                if answer.status_code == 200:
                    assert answer.json()["starred"] is (method == "PUT")
                    assert site.alike("GET", f"/api/messages/{message_id}/").json() == answer.json()
        site.sign_in(mallory)
        assert site.alike("PUT", f"/api/messages/{one}/star/").status_code == 404
        assert not Mark.objects.filter(user=mallory).exists()

    @pytest.mark.postgresql
    def test_takes_no_thread(self, site, ada, ben, monkeypatch):
        monkeypatch.setattr(asking, "markers", None)
        message_id = say(ben, direct(ada, ben)).message_id
        site.sign_in(ada)

        site.alike("PUT", f"/api/messages/{message_id}/star/")
        site.alike("DELETE", f"/api/messages/{message_id}/star/")

    def test_names_the_sender_as_the_viewer_may_see_them(self, site, ada, ben, admin):
        talk = group(admin, ada, ben)
        path = f"/api/messages/{say(ben, talk).message_id}/star/"
        for contacts in ("self", "participants", "everyone"):
            chosen = settings.PARLEY.model_copy(update={"contact_details": contacts})
            with patch.object(settings, "PARLEY", chosen):
                for viewer in (ada, ben, admin):
                    site.sign_in(viewer)
                    site.alike("PUT", path)

    def test_with_a_body_or_a_question_is_for_django(self, site, ada, ben):
        path = f"/api/messages/{say(ben, direct(ada, ben)).message_id}/star/"
        site.sign_in(ada)

        site.alike("PUT", path, {}, lane=False)
        site.alike("PUT", f"{path}?x=1", lane=False)
        site.alike("POST", path, lane=False)

    def test_by_session_needs_its_csrf_token(self, site, ada, ben):
        path = f"/api/messages/{say(ben, direct(ada, ben)).message_id}/star/"
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        token = client.get("/api/session/").json()["csrf_token"]
        site.use(cookie="; ".join(f"{m.key}={m.value}" for m in client.cookies.values()))

        assert site.alike("PUT", path, lane=False).status_code == 403
        assert site.alike("PUT", path, None, {"x-csrftoken": token}).status_code == 200


class TestMarkingRead:
    @pytest.mark.parametrize(
        "seqs", [[0], [3, 3], [12, 5], [100], [None], [6, None], [7, 2**63 - 1]]
    )
    def test_is_alike_and_writes_alike(self, site, person, seqs):
        worlds = [self.begin(person, name) for name in ("one", "other")]
        for seq in seqs:
            body = {} if seq is None else {"seq": seq}
            answers = []
            for (viewer, talk), play in zip(worlds, (site.by_lane, site.by_django), strict=True):
                site.sign_in(viewer)
                answers += play(("POST", f"/api/conversations/{talk}/read/", body))
            assert answers[0].content == answers[1].content
            assert answers[0].status_code == answers[1].status_code == 200
        assert self.rows(*worlds[0]) == self.rows(*worlds[1])
        assert site.passed == 0

    def begin(self, person, name):
        """Make a group with messages read, kept, removed, starred, retracted and one's own."""
        viewer, friend = person(f"{name}1"), person(f"{name}2")
        talk = group(viewer, friend)
        said = [say(friend if n % 3 else viewer, talk, str(n)).message_id for n in range(12)]
        operations.read_up_to(viewer=viewer, conversation_id=talk, seq=4)
        for n, read in ((1, False), (2, False), (7, True), (8, True), (10, True)):
            operations.set_message_read(viewer=viewer, message_id=said[n], read=read)
        operations.set_message_starred(viewer=viewer, message_id=said[8], starred=True)
        operations.set_message_starred(viewer=viewer, message_id=said[2], starred=True)
        operations.remove_message(viewer=viewer, message_id=said[5])
        operations.retract_message(actor=friend, message_id=said[11])
        return viewer, talk

    def rows(self, viewer, talk):
        mine = Participant.objects.get(user_id=viewer.user_id, conversation_id=talk)
        marks = Mark.objects.filter(user_id=viewer.user_id, conversation_id=talk).order_by("seq")
        return (
            (mine.watermark, mine.read_seq, mine.delivered_seq, mine.version, mine.gen),
            list(marks.values_list("seq", "flags", "version", "gen")),
        )

    def test_tells_of_it_once(self, site, ada, ben):
        talk = write_to(ben, ada).conversation_id
        site.sign_in(ada)
        told = []
        hear = lambda events: told.extend((e.type, e.seq) for e in events)  # noqa: E731
        events.happened.join(hear)
        try:
            site.by_lane(*[("POST", f"/api/conversations/{talk}/read/", {"seq": 1})] * 2)
        finally:
            events.happened.leave(hear)

        assert told == [("own", None), ("read", 1)]

    @pytest.mark.parametrize("seq", ["1", -1, True, 2**63, 1.5, None])
    def test_of_what_is_no_number_is_for_django(self, site, ada, ben, seq):
        talk = write_to(ben, ada).conversation_id
        site.sign_in(ada)

        site.alike("POST", f"/api/conversations/{talk}/read/", {"seq": seq}, lane=False)

    def test_by_a_stranger_is_refused_alike(self, site, ada, ben, mallory):
        talk = write_to(ben, ada).conversation_id
        site.sign_in(mallory)

        answer = site.alike("POST", f"/api/conversations/{talk}/read/", {"seq": 1})

        assert answer.status_code == 404
