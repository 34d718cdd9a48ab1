import threading
import time
from uuid import uuid4

import pytest

from parley.api import news
from parley.conversations import operations as conversations
from parley.messaging import operations
from tests.api.shapes import CONVERSATION, MESSAGE, NEWS, USER, error
from tests.talk import direct, group, say, write_to

URL = "/api/sync/"


class TestUnread:
    def test_counts_messages_and_conversations(self, api, ada, ben, cyd):
        write_to(ben, ada)
        write_to(ben, ada)
        write_to(cyd, ada)

        total = api(ada).get("/api/unread/").json()

        assert list(total.items()) == [("messages", 3), ("conversations", 2), ("capped", False)]

    def test_is_verified_by_a_recount(self, api, ada, ben):
        write_to(ben, ada)

        total = api(ada).get("/api/unread/?verify=true").json()

        assert list(total) == ["messages", "conversations", "capped", "recount"]
        assert total["recount"] == {"messages": 1, "conversations": 1}

    def test_takes_true_or_false(self, api, ada):
        answer = api(ada).get("/api/unread/?verify=maybe")

        assert (answer.status_code, error(answer)) == (400, ("invalid", "verify"))


class TestSync:
    def test_begins_with_a_snapshot(self, api, ada, ben):
        write_to(ben, ada)

        found = api(ada).get(URL).json()

        assert list(found) == NEWS
        [shown] = found["conversations"]
        assert [key for key in shown if key != "reset"] == CONVERSATION
        assert [list(m) for m in shown["messages"]] == [MESSAGE]
        assert list(shown["messages"][0]["sender"]) == USER
        assert found["more"] is False

    def test_goes_on_with_what_changed(self, api, ada, ben):
        first = write_to(ben, ada)
        say(ben, first.conversation_id, "second")
        cursor = api(ada).get(URL).json()["cursor"]
        operations.edit_message(editor=ben, message_id=first.message_id, message_body="anew")
        api(ada).put(f"/api/messages/{first.message_id}/star/")

        found = api(ada).get(URL, {"cursor": cursor}).json()
        after = api(ada).get(URL, {"cursor": found["cursor"]}).json()

        [shown] = found["conversations"]
        assert [m["message_body"] for m in shown["messages"]] == ["anew"]
        assert "reset" not in shown
        assert list(found["marks"][0]) == ["message_id", "conversation", "read", "starred"]
        assert (found["marks"][0]["message_id"], found["marks"][0]["starred"]) == (
            str(first.message_id),
            True,
        )
        assert not any(after[key] for key in ("conversations", "marks", "removed", "left", "more"))

    def test_tells_what_was_removed_and_what_i_left(self, api, ada, ben, cyd):
        sent = write_to(ben, ada)
        crowd = group(ben, ada, cyd)
        cursor = api(ada).get(URL).json()["cursor"]
        api(ada).delete(f"/api/messages/{sent.message_id}/")
        conversations.leave(viewer=ada, conversation_id=crowd)

        found = api(ada).get(URL, {"cursor": cursor}).json()

        assert found["removed"] == [
            {"conversation": str(sent.conversation_id), "message_id": str(sent.message_id)}
        ]
        assert list(found["removed"][0]) == ["conversation", "message_id"]
        assert found["left"] == [str(crowd)]

    def test_takes_as_new_what_one_joined(self, api, ada, ben, cyd, mallory):
        crowd = group(ada, ben, cyd)
        cursor = api(mallory).get(URL).json()["cursor"]
        api(ada).post(
            f"/api/conversations/{crowd}/participants/", {"user_id": str(mallory.user_id)}
        )

        [shown] = api(mallory).get(URL, {"cursor": cursor}).json()["conversations"]

        assert shown["reset"] is True
        assert list(shown) == [*CONVERSATION, "reset"]

    def test_is_cut_by_messages_and_goes_on(self, api, ada, ben):
        talk = direct(ada, ben)
        cursor = api(ada).get(URL).json()["cursor"]
        for n in range(3):
            say(ben, talk, str(n))

        first = api(ada).get(URL, {"cursor": cursor, "limit": 2}).json()
        second = api(ada).get(URL, {"cursor": first["cursor"], "limit": 2}).json()

        bodies = [
            m["message_body"]
            for found in (first, second)
            for c in found["conversations"]
            for m in c["messages"]
        ]
        assert (first["more"], second["more"]) == (True, False)
        assert bodies == ["0", "1", "2"]

    def test_names_people_once_with_users_map(self, api, ada, ben):
        write_to(ben, ada)

        found = api(ada).get(f"{URL}?users=map").json()

        assert list(found) == [*NEWS, "users"]
        assert set(found["users"]) == {str(ada.user_id), str(ben.user_id)}
        assert found["conversations"][0]["messages"][0]["sender"] == str(ben.user_id)

    @pytest.mark.parametrize("cursor", ["x", "a.b", "~", "A" * 5000, "W10~x"])
    def test_refuses_a_forged_cursor(self, api, ada, cursor):
        answer = api(ada).get(URL, {"cursor": cursor})

        assert (answer.status_code, error(answer)[1]) == (400, "cursor")

    def test_refuses_someone_else_s_cursor(self, api, ada, ben):
        cursor = api(ada).get(URL).json()["cursor"]

        answer = api(ben).get(URL, {"cursor": cursor})

        assert (answer.status_code, error(answer)) == (400, ("invalid_cursor", "cursor"))

    @pytest.mark.parametrize("name", ["limit", "wait"])
    def test_refuses_what_is_no_integer(self, api, ada, name):
        answer = api(ada).get(URL, {name: "²"})

        assert (answer.status_code, error(answer)) == (400, ("invalid", name))


@pytest.fixture
def brisk(monkeypatch):
    """Looks again after a moment, not after half a second."""
    monkeypatch.setattr(news, "STEP_S", 0.02)


@pytest.mark.usefixtures("brisk")
class TestWait:
    def test_ends_empty_when_nothing_comes(self, api, ada):
        cursor = api(ada).get(URL).json()["cursor"]
        began = time.monotonic()

        found = api(ada).get(URL, {"cursor": cursor, "wait": 1}).json()

        assert time.monotonic() - began >= 1
        assert (found["conversations"], found["more"]) == ([], False)

    def test_is_not_needed_when_there_is_news(self, api, ada, ben):
        cursor = api(ada).get(URL).json()["cursor"]
        write_to(ben, ada)
        began = time.monotonic()

        found = api(ada).get(URL, {"cursor": cursor, "wait": 30}).json()

        assert len(found["conversations"]) == 1
        assert time.monotonic() - began < 5

    def test_is_not_needed_for_a_first_snapshot(self, api, ada):
        began = time.monotonic()

        api(ada).get(URL, {"wait": 30})

        assert time.monotonic() - began < 5

    def test_has_so_many_places_and_answers_at_once_beyond(self, api, ada, monkeypatch):
        monkeypatch.setattr(news, "waiting", threading.BoundedSemaphore(1))
        cursor = api(ada).get(URL).json()["cursor"]
        began = time.monotonic()

        with news._place():
            found = api(ada).get(URL, {"cursor": cursor, "wait": 30}).json()

        assert found["conversations"] == []
        assert time.monotonic() - began < 5

    @pytest.mark.django_db(transaction=True)
    def test_ends_with_the_news(self, api, ada, ben):
        cursor = api(ada).get(URL).json()["cursor"]
        timer = threading.Timer(0.3, _write_and_close, [ben, ada])
        timer.start()

        found = api(ada).get(URL, {"cursor": cursor, "wait": 20}).json()

        timer.join()
        assert [c["last_seq"] for c in found["conversations"]] == [1]


def _write_and_close(sender, receiver):
    from django.db import connection

    write_to(sender, receiver)
    connection.close()


class TestBlocks:
    URL = "/api/blocks/"

    def test_are_made_shown_and_lifted(self, api, ada, ben):
        url = f"{self.URL}{ben.user_id}/"

        assert api(ada).get(url).status_code == 404
        assert [api(ada).put(url).status_code for _ in range(2)] == [204, 204]
        shown = api(ada).get(url).json()
        assert list(shown) == ["user", "created_at"]
        assert list(shown["user"]) == USER
        assert api(ada).get(self.URL).json()["results"] == [shown]
        assert api(ben).get(self.URL).json()["results"] == []
        assert [api(ada).delete(url).status_code for _ in range(2)] == [204, 204]
        assert api(ada).get(url).status_code == 404

    def test_are_of_people_who_exist_and_not_of_oneself(self, api, ada):
        unknown = api(ada).put(f"{self.URL}{uuid4()}/")
        oneself = api(ada).put(f"{self.URL}{ada.user_id}/")

        assert (unknown.status_code, error(unknown)[0]) == (404, "not_found")
        assert oneself.status_code == 400

    def test_leave_groups_alone(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)
        api(ben).put(f"{self.URL}{ada.user_id}/")

        sent = api(ada).post(f"/api/conversations/{crowd}/messages/", {"message_body": "hello"})

        assert sent.status_code == 201

    def test_name_people_by_id_with_users_map(self, api, ada, ben):
        api(ada).put(f"{self.URL}{ben.user_id}/")

        page = api(ada).get(f"{self.URL}?users=map").json()

        assert page["results"][0]["user"] == str(ben.user_id)
        assert list(page["users"]) == [str(ben.user_id)]
