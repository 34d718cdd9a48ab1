"""What bearer_mail and token_mail have in common: lists and their links, rates, faults, races."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from parley.accounts import operations as accounts
from parley.conversations import operations as conversations
from parley.dialects import handles, letters
from parley.messaging.operations.loading import History, Member, Said, load_histories
from tests.conftest import PASSWORD
from tests.talk import group, in_parallel, say, write_to


@dataclass(frozen=True)
class Door:
    """How one dialect says the same things."""

    name: str
    all: str
    unread: str
    write: str
    read: tuple[str, str]
    remove: str
    blocked: str

    def letter(self, sender, receiver, body: str = "Soup?") -> dict[str, Any]:
        if self.name == "bearer_mail":
            number = handles.numbers_of_users([receiver.user_id])[receiver.user_id]
            return {"receiver": number, "subject": "Lunch", "content": body}
        names = {"sender": sender.username, "receiver": receiver.username}
        return {**names, "subject": "Lunch", "message": body}


BEARER = Door(
    name="bearer_mail",
    all="/api/messaging/messages/",
    unread="/api/messaging/messages/unread/",
    write="/api/messaging/write/",
    read=("GET", "/api/messaging/messages/{}/read/"),
    remove="/api/messaging/messages/{}/delete/",
    blocked="detail",
)
TOKEN = Door(
    name="token_mail",
    all="/all/",
    unread="/unread",
    write="/write",
    read=("PUT", "/mark_read/{}/"),
    remove="/delete/{}",
    blocked="error",
)


@pytest.fixture(params=[BEARER, TOKEN], ids=lambda door: door.name)
def door(request) -> Door:
    return request.param


def number_of(message) -> int:
    return handles.numbers_of_messages([message.message_id])[message.message_id]


def ids(answer) -> list[int]:
    return [each["id"] for each in answer.json()]


def link(answer) -> str:
    address, _, rel = answer["Link"].partition(">; ")
    assert rel == 'rel="next"'
    return address.removeprefix("<http://testserver")


class TestLists:
    @pytest.fixture
    def many(self, ada, ben):
        """A history of more than a list holds."""
        members = [Member(ada.user_id), Member(ben.user_id)]
        start = ada.created_at
        said = [
            Said((ada, ben)[n % 2].user_id, str(n), start + timedelta(seconds=n))
            for n in range(1_203)
        ]
        load_histories([History("direct", start, members, said)])
        return said

    def test_hold_the_newest_thousand_and_lead_to_the_rest(self, api, door, ada, many):
        call_command("backfill_handles")
        client = api(ada)

        newest = client.get(f"{door.all}?username=ada&x=1")
        assert "username" not in newest["Link"]
        older = client.get(link(newest))

        assert (len(newest.json()), len(older.json())) == (1_000, 203)
        assert "Link" not in older
        everything = ids(older) + ids(newest)
        assert everything == sorted(everything)
        assert len(set(everything)) == 1_203

    def test_lead_on_among_the_unread_too(self, api, door, ada, ben, person):
        for n in range(3):
            write_to(ben, ada, body=str(n))
        members = [Member(ada.user_id), Member(person("crowd").user_id)]
        said = [
            Said(members[1].user_id, str(n), ada.created_at + timedelta(seconds=n))
            for n in range(1_001)
        ]
        load_histories([History("direct", ada.created_at, members, said)])

        newest = api(ada).get(door.unread)
        older = api(ada).get(link(newest))

        assert (len(newest.json()), len(older.json())) == (1_000, 4)

    def test_refuse_the_cursor_of_another_list(self, api, door, ada, many):
        cursor = link(api(ada).get(door.all)).partition("?")[2]

        assert api(ada).get(f"{door.unread}?{cursor}").status_code == 400

    @pytest.mark.parametrize("path", ["all", "unread"])
    def test_cost_the_same_at_any_size(self, api, door, ada, person, path):
        few = self.cost(api(ada), door, path, ada, self.crowd(person, 12))
        many = self.cost(api(ada), door, path, ada, self.crowd(person, 28))

        assert few == many

    def crowd(self, person, how_many: int) -> list[Any]:
        return [person(f"crowd{how_many}-{n}") for n in range(how_many)]

    def cost(self, client, door, path, ada, others) -> int:
        for other in others:
            write_to(other, ada)
            write_to(ada, other)
        client.get(door.all)
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(getattr(door, path))
        assert len(answer.json()) >= len(others)
        return len(captured)

    def test_show_a_message_of_a_group_as_mail_to_the_reader(self, api, door, ada, ben, cyd):
        say(ada, group(ada, ben, cyd))
        numbers = handles.numbers_of_users([ben.user_id, cyd.user_id])

        for reader in (ben, cyd):
            [letter] = api(reader).get(door.unread).json()
            assert letter["receiver"] == numbers[reader.user_id]
        [sent] = api(ada).get(door.all).json()
        assert sent["receiver"] in numbers.values()


class TestWriting:
    def test_is_refused_by_whoever_has_blocked_the_sender(self, api, door, ada, ben):
        conversations.block(blocker=ben, user_id=ada.user_id)

        answer = api(ada).post(door.write, door.letter(ada, ben))

        assert answer.status_code == 403
        assert list(answer.json()) == [door.blocked]
        assert letters.mailbox(ben).letters == []

    def test_is_refused_to_whoever_is_deactivated(self, api, door, ada, ben, admin):
        new = door.letter(ada, ben)
        accounts.set_active(actor=admin, user=ben, is_active=False)

        answer = api(ada).post(door.write, new)

        assert answer.status_code == 400
        assert "does not exist" in str(answer.json())

    def test_has_a_rate(self, api, door, ada, ben, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_send": "2/minute"})
        client = api(ada)

        for _ in range(2):
            assert client.post(door.write, door.letter(ada, ben)).status_code == 201
        answer = client.post(door.write, door.letter(ada, ben))

        assert answer.status_code == 429
        assert 0 < int(answer["Retry-After"]) <= 60
        assert list(answer.json()) == ["detail"]

    def test_costs_the_same_in_a_long_history(self, api, door, ada, ben):
        client = api(ada)
        client.post(door.write, door.letter(ada, ben))
        short = self.cost(client, door, ada, ben)
        for _ in range(30):
            write_to(ada, ben)

        assert self.cost(client, door, ada, ben) == short

    def cost(self, client, door, ada, ben) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.post(door.write, door.letter(ada, ben)).status_code == 201
        return len(captured)


class TestRates:
    def test_hold_for_everything_else(self, api, door, ada, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_all": "2/minute"})
        client = api(ada)
        for _ in range(2):
            client.get(door.all)

        answer = client.get(door.all)

        assert answer.status_code == 429
        assert "Retry-After" in answer

    def test_hold_for_addresses_that_lead_nowhere(self, api, door, settings, db):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_all": "2/minute"})
        for _ in range(2):
            assert api().get(f"{door.write}/nowhere").status_code == 404

        assert api().get(f"{door.write}/nowhere").status_code == 429


class TestCredentials:
    def test_end_with_a_deactivation(self, api, door, ada, admin):
        client = api()
        login = {"username": "ada", "password": PASSWORD}
        access = client.post("/api/token/", login).json()["access"]
        opaque = client.post("/api/token/opaque/", login).json()["token"]
        proofs = [f"Bearer {access}", f"Token {opaque}"]
        for proof in proofs:
            assert client.get(door.all, HTTP_AUTHORIZATION=proof).status_code in {200, 204}

        accounts.set_active(actor=admin, user=ada, is_active=False)

        for proof in proofs:
            answer = client.get(door.all, HTTP_AUTHORIZATION=proof)
            assert (answer.status_code, answer["Content-Type"]) == (401, "application/json")


class TestFaults:
    def test_are_logged_and_answered_in_the_words_of_the_door(
        self, api, door, ada, monkeypatch, caplog
    ):
        def break_down(*args, **kwargs):
            raise RuntimeError("the cellar is flooded")

        monkeypatch.setattr(letters, "mailbox", break_down)
        client = api(ada)
        client.raise_request_exception = False

        answer = client.get(door.all)

        assert (answer.status_code, answer.json()) == (500, {"detail": "Server Error (500)"})
        assert "the cellar is flooded" in caplog.text

    def test_of_the_database_answer_503(self, api, door, ada, monkeypatch):
        def be_away(*args, **kwargs):
            raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(letters, "mailbox", be_away)

        answer = api(ada).get(door.all)

        assert answer.status_code == 503
        assert answer["Retry-After"] == "1"
        assert "unexpectedly" not in answer.content.decode()


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_a_letter_is_removed_once(self, api, door, ada, ben):
        path = door.remove.format(number_of(write_to(ada, ben)))
        clients = [api(ben) for _ in range(4)]

        answers = in_parallel([lambda client=client: client.delete(path) for client in clients])

        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]
        assert len(api(ada).get(door.all).json()) == 1

    def test_a_letter_is_read_once(self, api, door, ada, ben):
        method, path = door.read
        path = path.format(number_of(write_to(ada, ben)))
        clients = [api(ben) for _ in range(4)]

        answers = in_parallel(
            [lambda client=client: client.generic(method, path) for client in clients]
        )

        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == ([200] * 4 if door is BEARER else [200, 404, 404, 404])
        assert [letter["is_read"] for letter in api(ada).get(door.all).json()] == [True]
