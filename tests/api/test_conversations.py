import re
from uuid import uuid4

import pytest

from parley.accounts import operations as accounts
from parley.conversations import operations as conversations
from tests.api.shapes import (
    CONVERSATION,
    INSTANT,
    ME,
    MESSAGE,
    PAGE,
    PARTICIPANT,
    READ_STATE,
    USER,
    error,
)
from tests.talk import direct, group, say, write_to

URL = "/api/conversations/"


def ids(*people):
    return [str(person.user_id) for person in people]


class TestCreate:
    def test_opens_the_one_direct_conversation_of_a_pair(self, api, ada, ben):
        first = api(ada).post(URL, {"participants": ids(ben)})
        again = api(ben).post(URL, {"participants": ids(ada, ben, ada)})

        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["conversation_id"] == again.json()["conversation_id"]
        assert first.json()["kind"] == "direct"

    def test_makes_a_group_of_more_people_whose_creator_is_the_owner(self, api, ada, ben, cyd):
        made = api(ada).post(URL, {"participants": ids(ben, cyd), "title": " Harbour "}).json()

        assert (made["kind"], made["title"], made["participant_count"]) == ("group", " Harbour ", 3)
        assert made["me"]["member_role"] == "owner"
        assert {p["member_role"] for p in made["participants"]} == {"owner", "member"}

    def test_makes_a_group_of_two_with_a_title_each_time(self, api, ada, ben):
        body = {"participants": ids(ben), "title": "Plans"}
        made = [api(ada).post(URL, body) for _ in range(2)]

        assert [m.status_code for m in made] == [201, 201]
        assert len({m.json()["conversation_id"] for m in made}) == 2
        assert made[0].json()["kind"] == "group"

    @pytest.mark.parametrize("named", [[], ["oneself"]])
    def test_opens_the_conversation_with_oneself(self, api, ada, named):
        made = api(ada).post(URL, {"participants": ids(ada) if named else []})

        assert made.status_code == 201
        assert (made.json()["kind"], made.json()["participant_count"]) == ("direct", 1)

    def test_shows_a_conversation_in_the_canonical_shape(self, api, ada, ben):
        say(ben, direct(ada, ben))
        made = api(ada).post(URL, {"participants": ids(ben)}).json()

        assert list(made) == CONVERSATION
        assert [list(p) for p in made["participants"]] == [PARTICIPANT] * 2
        assert [list(m) for m in made["messages"]] == [MESSAGE]
        assert list(made["messages"][0]["sender"]) == USER
        assert list(made["last_message"]) == MESSAGE
        assert list(made["me"]) == ME
        for instant in (made["created_at"], made["changed_at"], made["messages"][0]["sent_at"]):
            assert re.fullmatch(INSTANT, instant)

    @pytest.mark.parametrize(
        ("extra", "attr"),
        [
            ({"kind": "direct", "title": "Plans"}, "kind"),
            ({"kind": "crowd"}, "kind"),
            ({"participants": "ben"}, "participants"),
            ({"participants": ["ben"]}, "participants"),
            ({"participants": [str(uuid4())]}, "participants"),
            ({"title": "x" * 256}, "title"),
            ({"title": 5}, "title"),
        ],
    )
    def test_refuses_what_makes_no_conversation_and_keeps_nothing(self, api, ada, ben, extra, attr):
        answer = api(ada).post(URL, {"participants": ids(ben)} | extra)

        assert answer.status_code == 400
        assert error(answer)[1] == attr
        assert api(ada).get(URL).json()["results"] == []

    def test_refuses_a_direct_one_of_three(self, api, ada, ben, cyd):
        answer = api(ada).post(URL, {"participants": ids(ben, cyd), "kind": "direct"})

        assert (answer.status_code, error(answer)) == (400, ("invalid_kind", "kind"))

    def test_refuses_someone_deactivated(self, api, ada, ben, admin):
        accounts.change_person(actor=admin, user=ben, is_active=False)

        assert error(api(ada).post(URL, {"participants": ids(ben)})) == (
            "does_not_exist",
            "participants",
        )

    def test_names_each_wrong_field(self, api, ada):
        answer = api(ada).post(URL, {"participants": 5, "title": 5, "kind": 5})

        assert {e["attr"] for e in answer.json()["errors"]} == {"participants", "title", "kind"}


class TestList:
    def test_shows_mine_alone_latest_activity_first(self, api, ada, ben, cyd, mallory):
        old, new = direct(ada, ben), direct(ada, cyd)
        say(ada, new)
        say(ben, old)
        direct(ben, mallory)

        page = api(ada).get(URL).json()

        assert list(page) == PAGE
        assert [c["conversation_id"] for c in page["results"]] == [str(old), str(new)]
        assert [list(c) for c in page["results"]] == [CONVERSATION] * 2

    def test_nests_one_message_unless_asked_for_more(self, api, ada, ben):
        for n in range(3):
            write_to(ben, ada, body=str(n))

        def bodies(query):
            [shown] = api(ada).get(URL + query).json()["results"]
            return [m["message_body"] for m in shown["messages"]]

        assert bodies("") == ["2"]
        assert bodies("?messages=2") == ["1", "2"]
        assert bodies("?messages=0") == []
        assert bodies("?messages=-5") == []
        assert bodies("?messages=99999999999999999999") == ["0", "1", "2"]

    def test_leaves_archived_ones_out_until_a_new_message(self, api, ada, ben):
        talk = direct(ada, ben)
        archived = {"me": {"archived_at": "2026-01-01T00:00:00Z"}}
        shown = api(ada).patch(f"{URL}{talk}/", archived).json()

        assert shown["me"]["archived_at"] == "2026-01-01T00:00:00.000000Z"
        assert api(ada).get(URL).json()["results"] == []
        assert len(api(ada).get(f"{URL}?archived=true").json()["results"]) == 1

        say(ben, talk)
        assert len(api(ada).get(URL).json()["results"]) == 1
        assert api(ada).get(f"{URL}?archived=true").json()["results"] == []

    def test_filters_by_kind_and_by_what_is_unread(self, api, ada, ben, cyd):
        talk, crowd = direct(ada, ben), group(ben, ada, cyd)
        say(ben, crowd)

        def found(query):
            results = api(ada).get(URL + query).json()["results"]
            return {c["conversation_id"] for c in results}

        assert found("?kind=direct") == {str(talk)}
        assert found("?kind=group") == {str(crowd)}
        assert found("?unread=true") == {str(crowd)}
        assert found("?unread=false") == {str(talk), str(crowd)}

    def test_writes_people_once_with_users_map(self, api, ada, ben):
        write_to(ben, ada)

        page = api(ada).get(f"{URL}?users=map").json()

        [shown] = page["results"]
        assert list(page) == [*PAGE, "users"]
        assert set(page["users"]) == set(ids(ada, ben))
        assert [list(u) for u in page["users"].values()] == [USER] * 2
        assert [list(p) for p in shown["participants"]] == [["user", *PLACE]] * 2
        assert shown["messages"][0]["sender"] == str(ben.user_id)
        assert shown["last_message"]["sender"] == str(ben.user_id)

    @pytest.mark.parametrize("query", ["archived=maybe", "kind=crowd", "unread=2", "users=list"])
    def test_refuses_a_filter_that_is_none(self, api, ada, query):
        answer = api(ada).get(f"{URL}?{query}")

        assert answer.status_code == 400
        assert error(answer)[1] == query.partition("=")[0]


PLACE = PARTICIPANT[len(USER) :]


class TestRetrieve:
    def test_nests_twenty_messages_in_ascending_seq(self, api, ada, ben):
        talk = direct(ada, ben)
        for n in range(22):
            say(ben, talk, str(n))

        shown = api(ada).get(f"{URL}{talk}/").json()

        assert [m["seq"] for m in shown["messages"]] == list(range(3, 23))
        assert (shown["last_seq"], shown["unread_count"]) == (22, 22)
        assert shown["last_message"]["seq"] == 22

    def test_nests_at_most_fifty_participants(self, api, ada, person):
        crowd = group(ada, *(person(f"guest{n}") for n in range(60)))

        shown = api(ada).get(f"{URL}{crowd}/").json()

        assert (shown["participant_count"], len(shown["participants"])) == (61, 50)

    def test_takes_an_id_without_dashes(self, api, ada, ben):
        talk = direct(ada, ben)

        assert api(ada).get(f"{URL}{talk.hex}/").json()["conversation_id"] == str(talk)

    def test_carries_the_map_of_users_at_its_end(self, api, ada, ben):
        shown = api(ada).get(f"{URL}{direct(ada, ben)}/?users=map").json()

        assert list(shown) == [*CONVERSATION, "users"]

    @pytest.mark.parametrize("asked", ["nil", "malformed", "unknown", "foreign"])
    def test_answers_all_that_is_not_there_alike(self, api, ada, ben, mallory, asked):
        addresses = {
            "nil": "00000000-0000-0000-0000-000000000000",
            "malformed": "harbour",
            "unknown": str(uuid4()),
            "foreign": str(direct(ada, ben)),
        }

        answer = api(mallory).get(f"{URL}{addresses[asked]}/")

        assert answer.status_code == 404
        assert answer.content == api(mallory).get(f"{URL}{uuid4()}/").content
        assert error(answer) == ("not_found", None)

    def test_hides_contact_details_from_all_but_oneself_and_admins(self, api, ada, ben, admin):
        talk = group(ada, ben, admin)

        def emails(viewer):
            shown = api(viewer).get(f"{URL}{talk}/").json()["participants"]
            return {p["username"]: p["email"] for p in shown}

        assert emails(ada) == {"ada": "ada@example.org", "ben": None, "admin": None}
        assert all(emails(admin).values())


class TestChange:
    @pytest.mark.parametrize("method", ["put", "patch"])
    def test_renames_a_group_and_sets_its_participants(self, api, ada, ben, cyd, mallory, method):
        crowd = group(ada, ben, cyd, title="Old")
        body = {"title": "New", "participants": ids(cyd, mallory)}

        shown = getattr(api(ada), method)(f"{URL}{crowd}/", body)

        assert shown.status_code == 200
        assert shown.json()["title"] == "New"
        assert {p["username"] for p in shown.json()["participants"]} == {"ada", "cyd", "mallory"}
        assert api(ben).get(f"{URL}{crowd}/").status_code == 404

    def test_leaves_alone_what_is_left_out(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd, title="Old")

        shown = api(ada).put(f"{URL}{crowd}/", {}).json()

        assert (shown["title"], shown["participant_count"]) == ("Old", 3)

    def test_is_for_owners(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd, title="Old")

        answer = api(ben).patch(f"{URL}{crowd}/", {"title": "Mine"})

        assert (answer.status_code, error(answer)) == (403, ("not_an_owner", None))
        assert api(ada).get(f"{URL}{crowd}/").json()["title"] == "Old"

    def test_has_no_owner_in_a_direct_conversation(self, api, ada, ben):
        answer = api(ada).patch(f"{URL}{direct(ada, ben)}/", {"title": "Ours"})

        assert answer.status_code == 403

    def test_mutes_archives_and_pins_for_oneself(self, api, ada, ben):
        url = f"{URL}{direct(ada, ben)}/"
        at = "2030-05-06T07:08:09.123456+02:00"

        mine = api(ada).patch(url, {"me": {"muted_until": at, "pinned_at": at}}).json()["me"]
        then = api(ada).patch(url, {"me": {"pinned_at": None}}).json()["me"]

        assert mine["muted_until"] == mine["pinned_at"] == "2030-05-06T05:08:09.123456Z"
        assert (then["muted_until"], then["pinned_at"]) == (mine["muted_until"], None)
        assert api(ben).get(url).json()["me"]["muted_until"] is None

    @pytest.mark.parametrize(
        ("me", "attr"),
        [
            ("soon", "me"),
            ({"muted_until": "soon"}, "me.muted_until"),
            ({"muted_until": 5}, "me.muted_until"),
            ({"pinned_at": "0001-01-01T00:00:00+23:59"}, "me.pinned_at"),
            ({"archived_at": "9999-12-31T23:59:59-23:59"}, "me.archived_at"),
        ],
    )
    def test_refuses_an_instant_that_is_none(self, api, ada, ben, me, attr):
        answer = api(ada).patch(f"{URL}{direct(ada, ben)}/", {"me": me})

        assert (answer.status_code, error(answer)[1]) == (400, attr)

    def test_never_takes_what_is_only_shown(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)
        before = api(ada).get(f"{URL}{crowd}/").json()

        forged = {"last_seq": 99, "revision": 99, "kind": "direct", "created_at": "2001-01-01"}
        after = api(ada).patch(f"{URL}{crowd}/", forged | {"me": {"watermark": 9}}).json()

        assert {k: after[k] for k in forged} == {k: before[k] for k in forged}
        assert after["me"]["watermark"] == 0


class TestLeave:
    def test_takes_it_from_my_lists(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)

        assert api(ben).delete(f"{URL}{crowd}/").status_code == 204
        assert api(ben).get(URL).json()["results"] == []
        assert api(ben).delete(f"{URL}{crowd}/").status_code == 404
        assert api(ada).get(f"{URL}{crowd}/").json()["participant_count"] == 2

    def test_hides_a_direct_one_until_the_next_message(self, api, ada, ben):
        talk = direct(ada, ben)
        say(ben, talk, "before")
        api(ada).delete(f"{URL}{talk}/")
        say(ben, talk, "after")

        [shown] = api(ada).get(f"{URL}?messages=20").json()["results"]

        assert [m["message_body"] for m in shown["messages"]] == ["after"]
        assert shown["unread_count"] == 1


class TestParticipants:
    def test_are_listed_longest_standing_first_page_by_page(self, api, ada, ben, cyd, mallory):
        crowd = group(ada, ben, cyd)
        conversations.add_participant(
            actor=ada, conversation_id=crowd, user_id=mallory.user_id, member_role="member"
        )
        url = f"{URL}{crowd}/participants/?limit=3"

        first = api(ben).get(url).json()
        second = api(ben).get(first["next"]).json()

        assert list(first) == PAGE
        assert [list(p) for p in first["results"]] == [PARTICIPANT] * 3
        assert [p["username"] for p in second["results"]] == ["mallory"]
        assert second["next"] is None
        assert api(ben).get(second["previous"]).json()["results"] == first["results"]

    def test_are_added_by_an_owner(self, api, ada, ben, cyd, mallory):
        crowd = group(ada, ben, cyd)
        url = f"{URL}{crowd}/participants/"

        added = api(ada).post(url, {"user_id": mallory.user_id.hex, "member_role": "owner"})
        again = api(ada).post(url, {"user_id": mallory.user_id})

        assert added.status_code == 201
        assert list(added.json()) == PARTICIPANT
        assert (added.json()["username"], added.json()["member_role"]) == ("mallory", "owner")
        assert (again.status_code, error(again)) == (409, ("already_participant", None))

    def test_see_the_whole_history_with_nothing_unread(self, api, ada, ben, cyd, mallory):
        crowd = group(ada, ben, cyd)
        say(ada, crowd, "long ago")

        api(ada).post(f"{URL}{crowd}/participants/", {"user_id": str(mallory.user_id)})

        shown = api(mallory).get(f"{URL}{crowd}/").json()
        assert [m["message_body"] for m in shown["messages"]] == ["long ago"]
        assert shown["unread_count"] == 0

    def test_cannot_be_added_by_a_member_or_to_a_pair(self, api, ada, ben, cyd, mallory):
        body = {"user_id": str(mallory.user_id)}

        for conversation in (group(ada, ben, cyd), direct(ada, ben)):
            answer = api(ben).post(f"{URL}{conversation}/participants/", body)
            assert (answer.status_code, error(answer)[0]) == (403, "not_an_owner")

    @pytest.mark.parametrize(
        ("body", "attr"),
        [
            ({}, "user_id"),
            ({"user_id": "ben"}, "user_id"),
            ({"user_id": str(uuid4())}, "user_id"),
            ({"member_role": "king"}, "member_role"),
        ],
    )
    def test_must_be_someone(self, api, ada, ben, cyd, body, attr):
        answer = api(ada).post(
            f"{URL}{group(ada, ben, cyd)}/participants/",
            body if "member_role" not in body else body | {"user_id": str(ben.user_id)},
        )

        assert (answer.status_code, error(answer)[1]) == (400, attr)

    def test_are_given_a_role_by_an_owner(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)
        url = f"{URL}{crowd}/participants/{ben.user_id}/"

        named = api(ada).patch(url, {"member_role": "owner"})

        assert (named.status_code, named.json()["member_role"]) == (200, "owner")
        assert api(cyd).patch(url, {"member_role": "member"}).status_code == 403

    def test_keep_an_owner(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)

        answer = api(ada).patch(
            f"{URL}{crowd}/participants/{ada.user_id}/", {"member_role": "member"}
        )

        assert (answer.status_code, error(answer)) == (409, ("last_owner", None))

    def test_are_taken_out_by_an_owner_or_by_themselves(self, api, ada, ben, cyd):
        crowd = group(ada, ben, cyd)

        def out(actor, person):
            return api(actor).delete(f"{URL}{crowd}/participants/{person.user_id}/").status_code

        assert out(ben, cyd) == 403
        assert out(ben, ben) == 204
        assert out(ada, cyd) == 204
        assert out(ada, cyd) == 404


class TestReading:
    def test_goes_up_to_a_message_and_its_receipt_never_back(self, api, ada, ben):
        talk = direct(ada, ben)
        for n in range(3):
            say(ben, talk, str(n))
        url = f"{URL}{talk}/read/"

        two = api(ada).post(url, {"seq": 2})
        one = api(ada).post(url, {"seq": 1})

        assert list(two.json()) == READ_STATE
        assert two.json() == {"read_seq": 2, "watermark": 2, "unread_count": 1}
        assert one.json() == two.json()

    def test_goes_to_the_last_by_default_and_no_further(self, api, ada, ben):
        talk = direct(ada, ben)
        say(ben, talk)
        url = f"{URL}{talk}/read/"

        assert api(ada).post(url).json() == {"read_seq": 1, "watermark": 1, "unread_count": 0}
        assert api(ada).post(url, {"seq": 2**63 - 1}).json()["read_seq"] == 1

    def test_is_taken_back_for_oneself_alone(self, api, ada, ben):
        talk = direct(ada, ben)
        for n in range(3):
            say(ben, talk, str(n))
        api(ada).post(f"{URL}{talk}/read/")

        state = api(ada).post(f"{URL}{talk}/unread/", {"seq": 2}).json()

        assert state == {"read_seq": 3, "watermark": 1, "unread_count": 2}

    @pytest.mark.parametrize("seq", [-1, 2**63, 10**19, 1.0, "1", True, None, "²"])
    @pytest.mark.parametrize("action", ["read", "unread"])
    def test_refuses_a_number_that_is_none(self, api, ada, ben, action, seq):
        answer = api(ada).post(f"{URL}{direct(ada, ben)}/{action}/", {"seq": seq})

        assert (answer.status_code, error(answer)[1]) == (400, "seq")

    def test_is_not_for_outsiders(self, api, ada, ben, mallory):
        talk = direct(ada, ben)

        for action in ("read", "unread"):
            answer = api(mallory).post(f"{URL}{talk}/{action}/", {"seq": 1})
            assert answer.status_code == 404
