"""What session_mail and user_to_user do beyond their transcripts: pages, rates, faults, races."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from parley.accounts import operations as accounts
from parley.conversations import operations as conversations
from parley.dialects import handles, letters
from parley.dialects.session_mail import views
from parley.dialects.user_to_user import pages
from parley.messaging import operations, queries
from parley.messaging.operations.loading import History, Member, Said, load_histories
from tests.conftest import PASSWORD
from tests.talk import direct, group, in_parallel, say, write_to

RECEIVED = "/messages/messages_per_receiver"
UNREAD = "/messages/unread_per_receiver"


def number_of(message) -> int:
    return handles.numbers_of_messages([message.message_id])[message.message_id]


def person_number(user) -> int:
    return handles.numbers_of_users([user.user_id])[user.user_id]


def with_body(client, method: str, path: str, **body):
    return client.generic(method, path, json.dumps(body), content_type="application/json")


def write_in_session_mail(client, receiver, body: str = "Soup?"):
    letter = {"receiver_id": person_number(receiver), "body": body, "subject": "Lunch"}
    return client.post("/messages/write_message", letter)


def write_in_user_to_user(client, receiver, body: str = "Soup?"):
    return client.post("/messages/", {"recipient": receiver.username, "content": body})


SESSION = SimpleNamespace(
    write=write_in_session_mail,
    wrote=200,
    said="error",
    list=RECEIVED,
    asks="list_edges",
    unknown=404,
)
USER = SimpleNamespace(
    write=write_in_user_to_user,
    wrote=201,
    said="detail",
    list="/messages/",
    asks="list_messages",
    unknown=400,
)


@pytest.fixture(params=[SESSION, USER], ids=["session_mail", "user_to_user"])
def door(request):
    return request.param


class TestWriting:
    def test_is_refused_by_whoever_has_blocked_the_sender(self, api, door, ada, ben):
        conversations.block(blocker=ben, user_id=ada.user_id)

        answer = door.write(api(ada), ben)

        assert (answer.status_code, list(answer.json())) == (403, [door.said])
        assert letters.mailbox(ben).letters == []

    def test_to_whoever_is_deactivated_finds_nobody(self, api, door, ada, ben, admin):
        number = person_number(ben)
        accounts.set_active(actor=admin, user=ben, is_active=False)

        answer = door.write(api(ada), ben)

        said = {404: f"The receiver_id: '{number}' is not exists", 400: "Recipient not found"}
        assert answer.status_code == door.unknown
        assert answer.json() == {"error": said[door.unknown]}

    def test_has_a_rate(self, api, door, ada, ben, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_send": "2/minute"})
        client = api(ada)
        for _ in range(2):
            assert door.write(client, ben).status_code == door.wrote

        answer = door.write(client, ben)

        assert answer.status_code == 429
        assert 0 < int(answer["Retry-After"]) <= 60
        assert list(answer.json()) == [door.said]

    def test_lands_in_the_one_conversation_of_the_pair(self, api, door, ada, ben):
        standing = direct(ben, ada)

        door.write(api(ada), ben)

        assert queries.get_conversation(viewer=ben, conversation_id=standing).last_seq == 1


class TestSigningIn:
    @pytest.mark.parametrize(("path", "said"), [("/users/login", "error"), ("/login/", "detail")])
    def test_is_refused_after_too_many_wrong_passwords(self, api, ada, settings, path, said):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_signin": "2/minute"})
        wrong = {"username": "ada", "password": "not hers"}
        for _ in range(2):
            assert api().post(path, wrong).status_code == 401

        answer = api().post(path, {"username": "ada", "password": PASSWORD})

        assert (answer.status_code, list(answer.json())) == (429, [said])
        assert int(answer["Retry-After"]) > 0

    @pytest.mark.parametrize(
        ("path", "said"), [("/users/register", "error"), ("/register/", "detail")]
    )
    def test_up_has_a_rate(self, api, db, settings, path, said):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_signup": "1/hour"})
        api().post(path, {"username": "u1", "email": "u1@example.org", "password": PASSWORD})

        answer = api().post(path, {})

        assert (answer.status_code, list(answer.json())) == (429, [said])

    def test_ends_with_a_deactivation(self, api, door, ada, admin):
        client = api()
        client.post("/login/", {"username": "ada", "password": PASSWORD})
        assert client.get(door.list).status_code == 200

        accounts.set_active(actor=admin, user=ada, is_active=False)

        answer = client.get(door.list)
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/json")
        for path in ("/users/login", "/login/"):
            again = api().post(path, {"username": "ada", "password": PASSWORD})
            assert (again.status_code, list(again.json())) == (401, ["error"])


class TestFaults:
    def test_are_answered_in_the_words_of_the_door(self, api, door, ada, monkeypatch, caplog):
        def break_down(*args, **kwargs):
            raise RuntimeError("the cellar is flooded")

        monkeypatch.setattr(queries, door.asks, break_down)
        client = api(ada)
        client.raise_request_exception = False

        answer = client.get(door.list)

        said = {"error": {"error": "internal error"}, "detail": {"detail": "Server Error (500)"}}
        assert (answer.status_code, answer.json()) == (500, said[door.said])
        assert "the cellar is flooded" in caplog.text

    def test_of_the_database_answer_503(self, api, door, ada, monkeypatch):
        def be_away(*args, **kwargs):
            raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(queries, door.asks, be_away)

        answer = api(ada).get(door.list)

        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert list(answer.json()) == [door.said]


class TestSessionMailLists:
    def test_hold_the_newest_and_lead_to_the_rest(self, api, ada, ben, monkeypatch):
        monkeypatch.setattr(views, "MOST_LISTED", 3)
        numbers = [number_of(write_to(ben, ada, body=str(n))) for n in range(4)]
        numbers += [number_of(write_to(ada, ada, body="Milk"))]
        client = api(ada)

        newest = client.get(RECEIVED)
        address, _, rel = newest["Link"].partition(">; ")
        older = client.get(address.removeprefix("<http://testserver"))

        assert newest.json() == {"messages_id": numbers[2:]}
        assert rel == 'rel="next"'
        assert older.json() == {"messages_id": numbers[:2]}
        assert "Link" not in older

    def test_of_users_lead_on_too(self, api, ada, person, monkeypatch):
        monkeypatch.setattr(views, "MOST_LISTED", 2)
        for name in ("ben", "cyd"):
            person(name)

        first = api(ada).get("/users/list")
        address = first["Link"].partition(">; ")[0].removeprefix("<http://testserver")
        second = api(ada).get(address)

        names = [[user["username"] for user in page.json()["users"]] for page in (first, second)]
        assert names == [["ada", "ben"], ["cyd"]]

    @pytest.mark.parametrize("path", [RECEIVED, UNREAD, "/users/list"])
    def test_cost_the_same_at_any_size(self, api, ada, person, path):
        few = self.cost(api(ada), path, ada, [person(f"few{n}") for n in range(12)])
        many = self.cost(api(ada), path, ada, [person(f"many{n}") for n in range(28)])

        assert few == many

    def cost(self, client, path, ada, others) -> int:
        for other in others:
            write_to(other, ada)
        client.get(path)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    def test_show_a_message_of_a_group_to_each_reader(self, api, ada, ben, cyd):
        number = number_of(say(ada, group(ada, ben, cyd)))

        for reader in (ben, cyd):
            assert api(reader).get(UNREAD).json() == {"messages_id": [number]}
            read = with_body(api(reader), "GET", "/messages/read_message", message_id=number)
            assert read.json()["receiver_id"] == person_number(reader)
            assert api(reader).get(UNREAD).json() == {"messages_id": []}


class TestSessionMailReading:
    def test_is_not_caused_by_another_site(self, api, ada, ben):
        number = number_of(write_to(ada, ben))
        path = f"/messages/read_message?message_id={number}"

        answer = api(ben).get(path, headers={"Sec-Fetch-Site": "cross-site"})

        assert (answer.status_code, list(answer.json())) == (403, ["error"])
        assert api(ben).get(UNREAD).json() == {"messages_id": [number]}


class TestUserToUserPages:
    @pytest.fixture
    def many(self, ada, ben):
        """What two people wrote each other, a bit at a time."""
        members = [Member(ada.user_id), Member(ben.user_id)]
        start = ada.created_at
        said = [
            Said((ada, ben)[n % 2].user_id, str(n), start + timedelta(seconds=n))
            for n in range(1_045)
        ]
        load_histories([History("direct", start, members, said)])

    def walk(self, client, path: str, way: str = "next") -> list[list[str]]:
        """Follow the links of a list; return what each page holds."""
        found = []
        while path:
            answer = client.get(path.removeprefix("http://testserver"))
            assert answer.status_code == 200, answer.content
            found.append(
                [row.get("content", row.get("username")) for row in answer.json()["results"]]
            )
            path = answer.json()[way]
        return found

    def test_hold_twenty_and_lead_to_the_end_and_back(self, api, ada, many):
        client = api(ada)

        there = self.walk(client, "/list-messages/ben/")

        assert [len(page) for page in there] == [20] * 52 + [5]
        assert [text for page in there for text in page] == [str(n) for n in range(1_045)]
        last = client.get("/list-messages/ben/?page=50").json()["next"]
        back = self.walk(client, last, "previous")
        assert back == there[50::-1]

    def test_are_linked_by_number_and_counted_up_to_a_thousand(self, api, ada, many):
        answer = api(ada).get("/list-messages/ben/?page=3").json()

        address = "http://testserver/list-messages/ben/"
        assert answer["count"] == 1_000
        assert answer["next"] == f"{address}?page=4"
        assert answer["previous"] == f"{address}?page=2"
        assert api(ada).get("/list-messages/ben/?page=2").json()["previous"] == address

    def test_that_are_far_away_are_reached_by_their_links_alone(self, api, ada, many):
        client = api(ada)

        assert client.get("/list-messages/ben/?page=51").status_code == 404
        assert client.get("/list-messages/ben/?page=50").status_code == 200

    def test_of_users_never_hold_the_caller(self, api, person, monkeypatch):
        monkeypatch.setattr(pages, "SIZE", 3)
        names = [f"user{n}" for n in range(8)]
        everyone = {name: person(name) for name in names}

        for name in names:
            others = [other for other in names if other != name]
            there = self.walk(api(everyone[name]), "/users-list/")
            assert there == [others[:3], others[3:6], others[6:]]
            assert api(everyone[name]).get("/users-list/").json()["count"] == 7

    def test_of_users_go_back_where_there_are_many(self, api, person, monkeypatch):
        monkeypatch.setattr(pages, "SIZE", 3)
        monkeypatch.setattr(pages, "LAST_BY_NUMBER", 1)
        names = [f"user{n}" for n in range(8)]
        everyone = {name: person(name) for name in names}

        for name in names:
            others = [other for other in names if other != name]
            client = api(everyone[name])
            second = client.get("/users-list/").json()["next"]
            third = client.get(second).json()["next"]
            assert self.walk(client, third, "previous")[:2] == [others[6:], others[3:6]]

    def test_count_what_one_sees(self, api, ada, ben, cyd):
        first, _, _ = (write_to(ada, ben, body=str(n)) for n in range(3))
        write_to(cyd, ada)
        operations.remove_message(viewer=ada, message_id=first.message_id)

        counts = [
            api(user).get(path).json()["count"]
            for user, path in ((ada, "/list-messages/ben/"), (ben, "/list-messages/ada/"))
        ]

        assert counts == [2, 3]
        assert api(ada).get("/messages/").json()["count"] == 3

    def test_are_empty_once_the_conversation_was_left(self, api, ada, ben):
        write_to(ada, ben)
        conversations.leave(viewer=ada, conversation_id=direct(ada, ben))

        answer = api(ada).get("/list-messages/ben/").json()

        assert (answer["count"], answer["results"]) == (0, [])
        assert api(ben).get("/list-messages/ada/").json()["count"] == 1

    @pytest.mark.parametrize("path", ["/messages/", "/users-list/", "/list-messages/ben/"])
    def test_cost_the_same_at_any_size(self, api, ada, ben, person, path):
        few = self.cost(api(ada), path, ada, ben, [person(f"few{n}") for n in range(70)])
        many = self.cost(api(ada), path, ada, ben, [person(f"many{n}") for n in range(20)])

        assert few == many

    def cost(self, client, path, ada, ben, others) -> int:
        for other in others:
            write_to(ben if "ben" in path else other, ada)
        client.get(path)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    def test_show_addresses_to_those_who_may_see_them(self, api, ada, ben, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"contact_details": "everyone"})

        [shown] = api(ada).get("/users-list/").json()["results"]

        assert shown["email"] == "ben@example.org"


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_a_letter_is_removed_once(self, api, ada, ben):
        number = number_of(write_to(ada, ben))
        doors = [
            lambda client: with_body(
                client, "DELETE", "/messages/delete_message", message_id=number
            ),
            lambda client: client.delete(f"/messages/{number}/"),
        ]
        clients = [(doors[n % 2], api(ben)) for n in range(4)]

        answers = in_parallel([lambda one=one: one[0](one[1]) for one in clients])

        statuses = sorted(answer.status_code // 100 for answer in answers)
        assert statuses == [2, 4, 4, 4]
        assert len(letters.mailbox(ada).letters) == 1

    def test_a_letter_is_read_by_all_who_read_it_at_once(self, api, ada, ben):
        path = f"/messages/read_message?message_id={number_of(write_to(ada, ben))}"
        clients = [api(ben) for _ in range(4)]

        answers = in_parallel([lambda client=client: client.get(path) for client in clients])

        assert [answer.status_code for answer in answers] == [200] * 4
        assert api(ben).get(UNREAD).json() == {"messages_id": []}


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"\0",
    b"NaN",
    b"[" * 10_000,
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b'{"username": "\\ud800", "email": "\\ud800", "password": "\\ud800", "message_id": "\\ud800"}',
    b'{"username": {}, "email": [], "password": 1e400, "message_id": {}, "receiver_id": []}',
    b'{"receiver_id": 1e308, "message_id": 1e308, "body": true, "subject": 0, "content": 0}',
    b'{"receiver_id": "\\u0663", "message_id": "\\u0663", "body": "x", "subject": "x"}',
    b'{"receiver_id": -9223372036854775809, "body": "x", "subject": "x", "message_id": -1}',
    b'{"recipient": "@", "content": "x"}',
    b'{"recipient": "' + b"x" * 5_000 + b'", "content": "x"}',
    b'{"username": "' + b"x" * 5_000 + b'", "email": "x@x", "password": "' + b"y" * 5_000 + b'"}',
    b"username=x&password=y",
]
TYPES = [
    "application/json",
    "text/html",
    "application/x-www-form-urlencoded",
    "",
    "multipart/form-data",
]
PATHS = {
    "/users/token": ["GET"],
    "/users/register": ["POST"],
    "/users/login": ["POST"],
    "/users/list": ["GET"],
    "/messages/write_message": ["POST"],
    "/messages/read_message": ["GET"],
    "/messages/delete_message": ["DELETE"],
    "/register/": ["POST"],
    "/login/": ["POST"],
    "/messages/": ["GET", "POST"],
    "/messages/1/": ["GET", "PUT", "PATCH", "DELETE"],
    "/list-messages/%F0%9F%8D%9D/": ["GET"],
    "/users-list/?page=%00": ["GET"],
    "/users-list/?page=\u0663": ["GET"],
    "/messages/?cursor=x.y.z": ["GET"],
}


class TestBadInput:
    @pytest.mark.parametrize(
        ("path", "method"), [(path, method) for path in PATHS for method in PATHS[path]]
    )
    def test_is_never_a_fault_a_page_or_a_redirect(self, api, ada, settings, path, method):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rates": False})
        client = api(ada)

        for body in BODIES:
            for kind in TYPES:
                answer = client.generic(method, path, body, content_type=kind)

                assert answer.status_code // 100 in {2, 4}, (body[:80], kind, answer.content)
                assert answer.headers.get("Content-Type", "application/json") == "application/json"
                assert "Traceback" not in answer.content.decode()
