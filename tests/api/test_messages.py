from uuid import UUID, uuid4

import pytest

from parley.accounts import operations as accounts
from parley.conversations import operations as conversations
from parley.messaging import operations
from parley.messaging.models import Message
from tests.api.shapes import MESSAGE, PAGE, USER, error
from tests.talk import direct, group, say, write_to

URL = "/api/messages/"


def letter(**fields):
    return {"message_body": "Good morning!"} | fields


class TestSend:
    @pytest.mark.parametrize("name", ["ben", "BEN", "ben@example.org", "id", "hex"])
    def test_reaches_a_person_by_id_username_or_email(self, api, ada, ben, name):
        named = {"id": str(ben.user_id), "hex": ben.user_id.hex}.get(name, name)

        answer = api(ada).post(URL, letter(recipient=named))

        assert answer.status_code == 201
        assert UUID(answer.json()["conversation"]) == direct(ada, ben)

    def test_answers_with_the_message_in_the_canonical_shape(self, api, ada, ben):
        sent = api(ada).post(URL, letter(recipient="ben", subject="Hello", client_id="a1")).json()

        assert list(sent) == MESSAGE
        assert list(sent["sender"]) == USER
        assert sent["sender"]["username"] == "ada"
        assert (sent["subject"], sent["seq"], sent["revision"]) == ("Hello", 1, 1)
        assert (sent["client_id"], sent["reply_to"]) == ("a1", None)
        assert (sent["edited_at"], sent["retracted_at"]) == (None, None)
        assert (sent["read"], sent["starred"]) == (True, False)

    @pytest.mark.parametrize(
        "body",
        ["  two  spaces  ", "\n", "Grüße, 世界, שלום, 👩‍👩‍👧‍👦", "e\u0301", "a\u2028b", "\x01\x7f"],
    )
    def test_keeps_text_as_it_came(self, api, ada, ben, body):
        sent = api(ada).post(URL, letter(recipient="ben", message_body=f"x{body}"))

        assert sent.json()["message_body"] == f"x{body}"

    def test_writes_text_unescaped(self, api, ada, ben):
        sent = api(ada).post(URL, letter(recipient="ben", message_body="Grüße 👋"))

        assert "Grüße 👋".encode() in sent.content
        assert sent.headers["Content-Type"] == "application/json"

    def test_goes_into_a_conversation_by_either_address(self, api, ada, ben):
        talk = direct(ada, ben)

        one = api(ada).post(URL, letter(conversation=talk.hex))
        two = api(ada).post(f"/api/conversations/{talk}/messages/", letter())

        assert [one.status_code, two.status_code] == [201, 201]
        assert [one.json()["seq"], two.json()["seq"]] == [1, 2]
        assert one.json()["conversation"] == two.json()["conversation"] == str(talk)

    def test_to_several_makes_a_new_group_each_time(self, api, ada, ben, cyd):
        body = letter(recipients=["ben", str(cyd.user_id), "cyd", "ada"])
        sent = [api(ada).post(URL, body).json() for _ in range(2)]

        shown = api(ada).get(f"/api/conversations/{sent[0]['conversation']}/").json()
        assert sent[0]["conversation"] != sent[1]["conversation"]
        assert (shown["kind"], shown["participant_count"]) == ("group", 3)
        assert shown["me"]["member_role"] == "owner"

    @pytest.mark.parametrize("body", [{"recipients": ["ben"]}, {"recipients": ["ben", "ada"]}])
    def test_to_one_of_several_is_the_pair_s_own_conversation(self, api, ada, ben, body):
        sent = api(ada).post(URL, letter(**body)).json()

        assert UUID(sent["conversation"]) == direct(ada, ben)

    @pytest.mark.parametrize(
        "body", [{"recipients": []}, {"recipients": ["ada"]}, {"recipient": "ada"}]
    )
    def test_to_oneself_is_a_note_that_is_read(self, api, ada, body):
        sent = api(ada).post(URL, letter(**body))

        assert (sent.status_code, sent.json()["read"]) == (201, True)
        assert api(ada).get("/api/unread/").json()["messages"] == 0

    def test_replies_to_a_message_of_the_same_conversation(self, api, ada, ben, cyd):
        first = write_to(ben, ada)
        elsewhere = write_to(ben, cyd)

        reply = api(ada).post(URL, letter(recipient="ben", reply_to=first.message_id.hex))
        stray = api(ada).post(URL, letter(recipient="ben", reply_to=str(elsewhere.message_id)))

        assert reply.json()["reply_to"] == str(first.message_id)
        assert (stray.status_code, error(stray)) == (400, ("does_not_exist", "reply_to"))

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({}, "recipient"),
            ({"recipient": "nobody"}, "recipient"),
            ({"recipient": str(uuid4())}, "recipient"),
            ({"recipient": "nobody@example.org"}, "recipient"),
            ({"recipients": ["ben", "nobody"]}, "recipients"),
            ({"recipients": "ben"}, "recipients"),
            ({"recipients": [5]}, "recipients"),
            ({"recipient": "ben", "recipients": ["ben"]}, "recipients"),
            ({"conversation": str(uuid4()), "recipient": "ben"}, "recipient"),
            ({"conversation": "harbour"}, "conversation"),
        ],
    )
    def test_must_go_somewhere(self, api, ada, ben, fields, attr):
        answer = api(ada).post(URL, letter(**fields))

        assert (answer.status_code, error(answer)[1]) == (400, attr)
        assert not Message.objects.exists()

    @pytest.mark.parametrize("body", ["", " ", "\n\t\u2003", None, 5, [], {}, "x" * 16_001])
    def test_must_say_something(self, api, ada, ben, body):
        answer = api(ada).post(URL, letter(recipient="ben", message_body=body))

        assert (answer.status_code, error(answer)[1]) == (400, "message_body")
        assert not Message.objects.exists()

    def test_counts_code_points(self, api, ada, ben):
        longest = api(ada).post(URL, letter(recipient="ben", message_body="👋" * 16_000))

        assert longest.status_code == 201

    def test_obeys_the_setting_for_the_longest_message(self, api, ada, ben, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"message_length": 4})

        answers = [
            api(ada).post(URL, letter(recipient="ben", message_body="x" * n)).status_code
            for n in (4, 5)
        ]

        assert answers == [201, 400]

    def test_is_refused_by_someone_who_blocks(self, api, ada, ben):
        conversations.block(blocker=ben, user_id=ada.user_id)

        blocked = api(ada).post(URL, letter(recipient="ben"))
        other_way = api(ben).post(URL, letter(recipient="ada"))

        assert (blocked.status_code, error(blocked)) == (403, ("blocked", None))
        assert other_way.status_code == 201

    def test_is_not_for_outsiders(self, api, ada, ben, mallory):
        talk = direct(ada, ben)

        answers = [
            api(mallory).post(URL, letter(conversation=str(talk))),
            api(mallory).post(URL, letter(conversation=str(uuid4()))),
            api(mallory).post(f"/api/conversations/{talk}/messages/", letter()),
        ]

        assert [a.status_code for a in answers] == [404] * 3
        assert len({a.content for a in answers}) == 1

    def test_does_not_reach_someone_deactivated(self, api, ada, ben, admin):
        accounts.change_person(actor=admin, user=ben, is_active=False)

        assert error(api(ada).post(URL, letter(recipient="ben"))) == ("does_not_exist", "recipient")

    def test_never_takes_what_is_only_shown(self, api, ada, ben):
        forged = {
            "sender": str(ben.user_id),
            "seq": 99,
            "message_id": str(uuid4()),
            "sent_at": "2001-01-01T00:00:00Z",
            "read": False,
        }

        sent = api(ada).post(URL, letter(recipient="ben", **forged)).json()

        assert sent["sender"]["username"] == "ada"
        assert not {k: v for k, v in forged.items() if sent[k] == v}


class TestRetry:
    def test_answers_with_the_first_message_whatever_happened_since(self, api, ada, ben):
        body = letter(recipient="ben", client_id="k1")
        first = api(ada).post(URL, body)
        operations.edit_message(
            editor=ada, message_id=UUID(first.json()["message_id"]), message_body="edited"
        )
        conversations.block(blocker=ben, user_id=ada.user_id)

        again = api(ada).post(URL, body)

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json()["message_id"] == first.json()["message_id"]
        assert again.json()["message_body"] == "edited"

    def test_by_header_is_the_same(self, api, ada, ben):
        body = letter(recipient="ben")
        first = api(ada).post(URL, body, headers={"Idempotency-Key": "k1"})
        again = api(ada).post(URL, body | {"client_id": "k1"})

        assert first.json()["client_id"] == "k1"
        assert (again.status_code, again.json()) == (200, first.json())

    def test_of_a_new_group_meets_itself(self, api, ada, ben, cyd):
        body = letter(recipients=["ben", "cyd"], client_id="k1")

        assert api(ada).post(URL, body).json() == api(ada).post(URL, body).json()

    def test_with_other_content_is_refused(self, api, ada, ben):
        api(ada).post(URL, letter(recipient="ben", client_id="k1"))

        answer = api(ada).post(
            URL, letter(recipient="ben", client_id="k1", message_body="Good night!")
        )

        assert (answer.status_code, error(answer)) == (409, ("client_id_reused", None))

    def test_under_two_names_is_refused(self, api, ada, ben):
        answer = api(ada).post(
            URL, letter(recipient="ben", client_id="k1"), headers={"Idempotency-Key": "k2"}
        )

        assert (answer.status_code, error(answer)[1]) == (400, "client_id")

    @pytest.mark.parametrize("key", ["", "x" * 65, "\xff"])
    def test_under_a_name_that_is_none_is_refused(self, api, ada, ben, key):
        answer = api(ada).post(URL, letter(recipient="ben"), headers={"Idempotency-Key": key})

        assert (answer.status_code, error(answer)[1]) == (400, "client_id")

    def test_may_bear_a_name_in_any_script(self, api, ada, ben):
        key = "ключ"
        first = api(ada).post(URL, letter(recipient="ben", client_id=key))
        again = api(ada).post(
            URL,
            letter(recipient="ben"),
            headers={"Idempotency-Key": key.encode().decode("latin-1")},
        )

        assert (first.status_code, again.status_code) == (201, 200)

    @pytest.mark.parametrize("others", [["ben"], ["ben", "cyd"]])
    def test_meets_its_first_though_a_recipient_is_deactivated_since(
        self, api, ada, ben, cyd, others
    ):
        to = {"recipient": "ben"} if others == ["ben"] else {"recipients": others}
        first = api(ada).post(URL, letter(client_id="a", **to)).json()
        ben.is_active = False
        ben.save(update_fields=["is_active"])

        again = api(ada).post(URL, letter(client_id="a", **to))
        other = api(ada).post(URL, letter(client_id="a", subject="x", **to))
        new = api(ada).post(URL, letter(client_id="b", **to))

        assert (again.status_code, again.json()) == (200, first)
        assert other.status_code == 409
        assert new.status_code == 400
        assert new.json()["errors"][0]["attr"] == next(iter(to))


class TestHistory:
    def url(self, talk, query=""):
        return f"/api/conversations/{talk}/messages/{query}"

    def seqs(self, client, talk, query=""):
        return [m["seq"] for m in client.get(self.url(talk, query)).json()["results"]]

    def test_is_newest_first_page_by_page(self, api, ada, ben):
        talk = direct(ada, ben)
        for n in range(5):
            say(ben, talk, str(n))
        client = api(ada)

        first = client.get(self.url(talk, "?limit=2")).json()
        second = client.get(first["next"]).json()
        third = client.get(second["next"]).json()

        assert list(first) == PAGE
        assert [list(m) for m in first["results"]] == [MESSAGE] * 2
        assert [[m["seq"] for m in p["results"]] for p in (first, second, third)] == [
            [5, 4],
            [3, 2],
            [1],
        ]
        assert (first["previous"], third["next"]) == (None, None)
        assert client.get(third["previous"]).json()["results"] == second["results"]

    def test_can_be_asked_from_a_place(self, api, ada, ben):
        talk = direct(ada, ben)
        for n in range(6):
            say(ben, talk, str(n))
        client = api(ada)

        assert self.seqs(client, talk, "?before=3") == [2, 1]
        assert self.seqs(client, talk, "?after=3") == [4, 5, 6]
        assert self.seqs(client, talk, "?after=0&limit=2") == [1, 2]
        assert self.seqs(client, talk, "?around=3&limit=3") == [4, 3, 2]
        assert self.seqs(client, talk, "?before=0") == []

    def test_can_be_asked_for_what_changed(self, api, ada, ben):
        talk = direct(ada, ben)
        first = say(ben, talk)
        say(ben, talk)
        operations.edit_message(editor=ben, message_id=first.message_id, message_body="edited")

        assert self.seqs(api(ada), talk, "?changed_after=1") == [2, 1]

    def test_keeps_its_place_from_page_to_page(self, api, ada, ben):
        talk = direct(ada, ben)
        for n in range(5):
            say(ben, talk, str(n))
        client = api(ada)

        page = client.get(self.url(talk, "?after=1&limit=2")).json()

        assert [m["seq"] for m in client.get(page["next"]).json()["results"]] == [4, 5]

    def test_takes_one_place_alone(self, api, ada, ben):
        answer = api(ada).get(self.url(direct(ada, ben), "?before=5&after=1"))

        assert (answer.status_code, error(answer)) == (400, ("exclusive", "after"))

    @pytest.mark.parametrize("limit", ["0", "-1", "-99999999999999999999", "+1"])
    def test_clamps_a_limit_that_is_too_small(self, api, ada, ben, limit):
        talk = direct(ada, ben)
        say(ada, talk)
        say(ada, talk)

        assert self.seqs(api(ada), talk, f"?limit={limit.replace('+', '%2B')}") == [2]

    @pytest.mark.parametrize("limit", ["201", "10000000000000000000", "9" * 5000])
    def test_clamps_a_limit_that_is_too_large(self, api, ada, ben, limit):
        talk = direct(ada, ben)
        for n in range(201):
            say(ada, talk, str(n))

        assert len(self.seqs(api(ada), talk, f"?limit={limit}")) == 200

    @pytest.mark.parametrize("place", ["before", "after", "around", "changed_after", "limit"])
    @pytest.mark.parametrize("number", ["²", "x", "", "1.0", "1e3", "NaN", "0x1", "١", "1 ", "--1"])
    def test_refuses_what_is_no_integer(self, api, ada, ben, place, number):
        answer = api(ada).get(self.url(direct(ada, ben)), {place: number})

        assert (answer.status_code, error(answer)) == (400, ("invalid", place))

    @pytest.mark.parametrize("place", ["before", "after", "around", "changed_after"])
    @pytest.mark.parametrize("number", ["-1", "9223372036854775808", "9" * 5000])
    def test_refuses_a_place_that_no_message_has(self, api, ada, ben, place, number):
        answer = api(ada).get(self.url(direct(ada, ben)), {place: number})

        assert (answer.status_code, error(answer)) == (400, ("invalid", place))

    def test_is_not_for_outsiders(self, api, ada, ben, mallory):
        talk = direct(ada, ben)

        foreign, unknown = (api(mallory).get(self.url(at)) for at in (talk, uuid4()))

        assert foreign.status_code == 404
        assert foreign.content == unknown.content


class TestList:
    def bodies(self, client, query=""):
        return [m["message_body"] for m in client.get(URL + query).json()["results"]]

    @pytest.fixture
    def letters(self, ada, ben, cyd):
        """Three letters of ada's, the middle one in a group and the last one written by her."""
        write_to(ben, ada, body="from ben")
        crowd = group(cyd, ada, ben)
        say(cyd, crowd, "from cyd")
        write_to(ada, ben, body="to ben")
        return crowd

    def test_goes_across_conversations_newest_first(self, api, ada, letters):
        page = api(ada).get(URL).json()

        assert list(page) == PAGE
        assert [list(m) for m in page["results"]] == [MESSAGE] * 3
        assert self.bodies(api(ada)) == ["to ben", "from cyd", "from ben"]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("?box=inbox", ["from cyd", "from ben"]),
            ("?box=sent", ["to ben"]),
            ("?box=all", ["to ben", "from cyd", "from ben"]),
            ("?unread=true", ["from cyd", "from ben"]),
            ("?starred=true", []),
            ("?box=inbox&limit=1", ["from cyd"]),
        ],
    )
    def test_filters(self, api, ada, letters, query, found):
        assert self.bodies(api(ada), query) == found

    def test_filters_by_conversation_and_by_person(self, api, ada, ben, letters):
        assert self.bodies(api(ada), f"?conversation={letters.hex}") == ["from cyd"]
        assert self.bodies(api(ada), f"?with={ben.user_id}") == ["to ben", "from ben"]

    def test_names_people_once_with_users_map(self, api, ada, ben, cyd, letters):
        page = api(ada).get(f"{URL}?users=map").json()

        assert list(page) == [*PAGE, "users"]
        assert set(page["users"]) == {str(p.user_id) for p in (ada, ben, cyd)}
        assert page["results"][0]["sender"] == str(ada.user_id)

    @pytest.mark.parametrize("query", ["box=spam", "unread=maybe", "conversation=x", "with=x"])
    def test_refuses_a_filter_that_is_none(self, api, ada, query):
        answer = api(ada).get(f"{URL}?{query}")

        assert (answer.status_code, error(answer)[1]) == (400, query.partition("=")[0])

    def test_hides_a_foreign_conversation(self, api, mallory, letters):
        foreign, unknown = (
            api(mallory).get(f"{URL}?conversation={at}") for at in (letters, uuid4())
        )

        assert foreign.status_code == 404
        assert foreign.content == unknown.content


class TestOne:
    def test_is_shown_to_participants(self, api, ada, ben, mallory):
        sent = write_to(ben, ada)
        url = f"{URL}{sent.message_id}/"

        shown = api(ada).get(f"{URL}{sent.message_id.hex}/").json()

        assert list(shown) == MESSAGE
        assert shown["read"] is False
        assert api(mallory).get(url).status_code == 404
        assert api(mallory).get(url).content == api(mallory).get(f"{URL}{uuid4()}/").content

    @pytest.mark.parametrize("method", ["put", "patch"])
    def test_is_written_anew_by_its_sender(self, api, ada, ben, method):
        url = f"{URL}{write_to(ben, ada).message_id}/"
        body = {"message_body": "anew", "sender": str(ada.user_id)}

        foreign = getattr(api(ada), method)(url, body)
        own = getattr(api(ben), method)(url, body)

        assert (foreign.status_code, error(foreign)) == (403, ("not_the_sender", None))
        assert (own.status_code, own.json()["message_body"]) == (200, "anew")
        assert own.json()["sender"]["username"] == "ben"
        assert own.json()["edited_at"] is not None
        assert own.json()["revision"] == 2

    def test_is_removed_for_me_alone(self, api, ada, ben):
        url = f"{URL}{write_to(ben, ada).message_id}/"

        assert api(ada).delete(url).status_code == 204
        assert api(ada).get(url).status_code == 404
        assert api(ben).get(url).status_code == 200

    def test_is_retracted_for_everyone_by_its_sender(self, api, ada, ben):
        url = f"{URL}{write_to(ben, ada).message_id}/"

        refused = api(ada).delete(f"{url}?for=everyone")
        assert (refused.status_code, error(refused)) == (403, ("may_not_retract", None))
        assert api(ben).delete(f"{url}?for=everyone").status_code == 204

        left = api(ada).get(url).json()
        assert (left["message_body"], left["seq"]) == ("", 1)
        assert left["retracted_at"] is not None
        late = api(ben).patch(url, {"message_body": "anew"})
        assert (late.status_code, error(late)) == (409, ("retracted", None))

    def test_is_retracted_by_an_admin_who_cannot_see_it(self, api, ada, ben, admin):
        url = f"{URL}{write_to(ben, ada).message_id}/"

        assert api(admin).get(url).status_code == 404
        assert api(admin).delete(f"{url}?for=everyone").status_code == 204
        assert api(ada).get(url).json()["retracted_at"] is not None

    def test_is_removed_for_no_other_word(self, api, ada, ben):
        answer = api(ada).delete(f"{URL}{write_to(ben, ada).message_id}/?for=nobody")

        assert (answer.status_code, error(answer)) == (400, ("invalid_choice", "for"))

    def test_is_marked_read_and_unread(self, api, ada, ben):
        url = f"{URL}{write_to(ben, ada).message_id}/read/"

        assert api(ada).put(url).json()["read"] is True
        assert api(ada).get("/api/unread/").json()["messages"] == 0
        assert api(ada).delete(url).json()["read"] is False
        assert api(ada).get("/api/unread/").json()["messages"] == 1

    def test_is_starred_for_me_alone(self, api, ada, ben):
        sent = write_to(ben, ada)
        url = f"{URL}{sent.message_id}/star/"

        assert list(api(ada).put(url).json()) == MESSAGE
        assert api(ada).get(f"{URL}?starred=true").json()["results"][0]["starred"] is True
        assert api(ben).get(f"{URL}?starred=true").json()["results"] == []
        assert api(ada).delete(url).json()["starred"] is False


class TestReceipts:
    def test_say_who_had_it_and_who_read_it(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)
        sent = say(ada, crowd)
        operations.read_up_to(viewer=ben, conversation_id=crowd)
        operations.set_delivered(viewer=cyd, conversation_id=crowd, seq=1)

        page = api(cyd).get(f"{URL}{sent.message_id}/receipts/").json()

        assert list(page) == PAGE
        assert [list(r) for r in page["results"]] == [["user", "delivered", "read"]] * 2
        assert {r["user"]["username"]: (r["delivered"], r["read"]) for r in page["results"]} == {
            "ben": (True, True),
            "cyd": (True, False),
        }

    def test_name_people_by_id_with_users_map(self, api, ada, ben):
        sent = write_to(ada, ben)

        page = api(ada).get(f"{URL}{sent.message_id}/receipts/?users=map").json()

        assert page["results"] == [{"user": str(ben.user_id), "delivered": False, "read": False}]
        assert list(page["users"]) == [str(ben.user_id)]

    def test_fill_each_page(self, api, ada, ben, cyd):
        sent = say(ada, group(ada, ben, cyd))

        first = api(ben).get(f"{URL}{sent.message_id}/receipts/?limit=1").json()
        second = api(ben).get(first["next"]).json()

        shown = [[r["user"]["username"] for r in page["results"]] for page in (first, second)]
        assert sorted(shown) == [["ben"], ["cyd"]]
        assert second["next"] is None

    def test_are_for_participants(self, api, ada, ben, mallory):
        sent = write_to(ada, ben)

        assert api(mallory).get(f"{URL}{sent.message_id}/receipts/").status_code == 404


class TestRate:
    def test_of_sends_is_its_own(self, api, ada, ben, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_send": "2/minute"})
        client = api(ada)

        answers = [client.post(URL, letter(recipient="ben")) for _ in range(3)]

        assert [a.status_code for a in answers] == [201, 201, 429]
        assert error(answers[2]) == ("throttled", None)
        assert int(answers[2].headers["Retry-After"]) > 0
        assert client.get(URL).status_code == 200
        message = answers[0].json()["message_id"]
        assert client.patch(f"{URL}{message}/", {"message_body": "anew"}).status_code == 200
