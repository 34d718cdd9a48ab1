import pytest
from django.contrib import admin as django_admin
from django.test import Client
from django.urls import reverse

from parley.accounts.models import AuditEntry, OpaqueToken, Role, SignIn, User
from parley.conversations import operations as conversations
from parley.messaging import operations as messages
from parley.messaging.models import Message
from parley.ops.admin import lists
from tests.conftest import PASSWORD
from tests.talk import direct, group, say, write_to

ANOTHER = "a boat on the other lake"

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(admin) -> Client:
    """A browser in which the admin has signed in."""
    client = Client()
    client.force_login(admin)
    return client


def page(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def recorded(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action).order_by("entry_id"))


class TestSigningIn:
    @pytest.mark.parametrize("login", ["admin", "admin@example.org"])
    def test_takes_a_username_or_an_address(self, admin, login):
        answer = Client().post(
            page("login"), {"username": login, "password": PASSWORD, "next": page("index")}
        )

        assert answer.headers["location"] == page("index")

    def test_lets_nobody_in_but_admins(self, ada):
        client = Client()
        client.force_login(ada)

        assert client.get(page("index")).status_code == 302


class TestUsers:
    def add(self, office, **more):
        form = {"username": "dora", "password1": PASSWORD, "role": "host", "email": ""} | more
        return office.post(page("accounts_user_add"), form)

    def change(self, office, user, **more):
        form = {
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "role": user.role,
            "is_active": "on",
        } | more
        return office.post(page("accounts_user_change", user.pk), form)

    def test_are_added_as_if_they_had_signed_up(self, office, admin):
        self.add(office, first_name="Dora", email="Dora@Example.org")

        dora = User.objects.get(username="dora")
        assert (dora.role, dora.email_key) == (Role.HOST, "dora@example.org")
        assert dora.check_password(PASSWORD)
        [entry] = recorded("user.create")
        assert (entry.actor, entry.target_id) == (admin, str(dora.pk))

    @pytest.mark.parametrize(
        ("wrong", "at"),
        [
            ({"username": "ADA"}, "username"),
            ({"username": "a@b"}, "username"),
            ({"email": "ada@example.org"}, "email"),
            ({"password1": "password"}, "password1"),
        ],
    )
    def test_are_refused_at_the_field_that_is_wrong(self, office, ada, wrong, at):
        answer = self.add(office, **wrong)

        assert answer.status_code == 200
        assert list(answer.context["adminform"].form.errors) == [at]
        assert not User.objects.filter(username="dora").exists()

    def test_change_with_their_keys_and_their_rights(self, office, ada):
        self.change(office, ada, email="New@Example.org", last_name="Byron", role="admin")

        ada.refresh_from_db()
        assert (ada.email_key, ada.by_last_name) == ("new@example.org", "byron")
        assert ada.is_staff
        assert ada.is_superuser
        assert recorded("user.change_role")[0].details == {"was": "guest", "now": "admin"}
        assert recorded("user.change_profile")[0].details == {"fields": ["email", "last_name"]}

    def test_change_altogether_or_not_at_all(self, office, ada, ben):
        answer = self.change(office, ada, email="ben@example.org", role="host")

        assert list(answer.context["adminform"].form.errors) == ["email"]
        ada.refresh_from_db()
        assert (ada.email, ada.role) == ("ada@example.org", "guest")
        assert not recorded("user.change_role")

    def test_are_deactivated_and_lose_their_credentials(self, office, ada):
        OpaqueToken.objects.create(user=ada, security_stamp=ada.security_stamp)

        self.change(office, ada, is_active="")

        ada.refresh_from_db()
        assert not ada.is_active
        assert not OpaqueToken.objects.filter(user=ada).exists()
        assert recorded("user.deactivate")

    def test_keep_one_admin(self, office, admin):
        answer = self.change(office, admin, role="guest")

        assert "no active admin left" in answer.content.decode()
        admin.refresh_from_db()
        assert admin.role == Role.ADMIN

    def test_are_given_a_password_and_signed_out_everywhere(self, office, ada, api):
        signed_in = api().post("/api/token/", {"username": "ada", "password": PASSWORD})
        browser = Client()
        browser.force_login(ada)

        office.post(page("accounts_user_password", ada.pk), {"password": ANOTHER})

        ada.refresh_from_db()
        assert ada.check_password(ANOTHER)
        assert not SignIn.objects.filter(user=ada).exists()
        refresh = {"refresh": signed_in.data["refresh"]}
        assert api().post("/api/token/refresh/", refresh).status_code == 401
        assert browser.get("/api/session/").json()["user"] is None
        assert recorded("user.reset_password")

    def test_are_given_no_weak_password(self, office, ada):
        answer = office.post(page("accounts_user_password", ada.pk), {"password": "12345678"})

        assert "too common" in answer.content.decode()
        assert User.objects.get(pk=ada.pk).check_password(PASSWORD)

    def test_are_never_deleted(self, office, ada):
        assert office.get(page("accounts_user_delete", ada.pk)).status_code == 403
        assert (
            "delete_selected" not in office.get(page("accounts_user_changelist")).content.decode()
        )

    @pytest.mark.parametrize("term", ["ad", "ADA", "ada@ex", "{0.user_id}"])
    def test_are_found_by_the_beginning_of_a_name_or_by_id(self, office, ada, ben, term):
        answer = office.get(page("accounts_user_changelist"), {"q": term.format(ada)})

        assert ada in answer.context["cl"].result_list
        assert ben not in answer.context["cl"].result_list


class TestConversations:
    def test_show_their_participants(self, office, ada, ben):
        conversation_id = group(ada, ben, title="The garden")

        answer = office.get(page("conversations_conversation_change", conversation_id))

        names = {person.username for person, _ in answer.context["participants"]}
        assert names == {"ada", "ben"}
        assert answer.context["more_participants"] == 0

    def test_show_so_many_participants_at_most(self, office, ada, person):
        everyone = [person(f"p{n}", email=None) for n in range(60)]
        conversation_id = group(ada, *everyone)

        answer = office.get(page("conversations_conversation_change", conversation_id))

        assert len(answer.context["participants"]) == 50
        assert answer.context["more_participants"] == 11

    def test_are_read_on_the_record(self, office, admin, ada, ben):
        conversation_id = direct(ada, ben)
        for n in range(60):
            say(ada, conversation_id, f"number {n + 1}")
        address = page("conversations_conversation_messages", conversation_id)

        newest = office.get(address)
        older = office.get(address, {"before": newest.context["older"]})

        assert [m.seq for m in newest.context["shown"]] == list(range(60, 10, -1))
        assert [m.seq for m in older.context["shown"]] == list(range(10, 0, -1))
        assert older.context["older"] is None
        first, second = recorded("conversation.open_messages")
        assert (first.actor, first.target_id) == (admin, str(conversation_id))
        assert (first.details, second.details) == (
            {"from_seq": 11, "to_seq": 60},
            {"from_seq": 1, "to_seq": 10},
        )

    @pytest.mark.parametrize("before", ["x", "-1", "9" * 30, ""])
    def test_are_read_from_the_end_whatever_stands_in_the_address(self, office, ada, ben, before):
        conversation_id = write_to(ada, ben).conversation_id

        address = page("conversations_conversation_messages", conversation_id)

        assert len(office.get(address, {"before": before}).context["shown"]) == 1

    @pytest.mark.parametrize("term", ["ada", "ADA@example.org", "{0.user_id}", "{1}"])
    def test_are_found_by_id_and_by_whose_they_are(self, office, ada, ben, mallory, term):
        wanted, other = direct(ada, ben), direct(ben, mallory)

        answer = office.get(
            page("conversations_conversation_changelist"), {"q": term.format(ada, wanted)}
        )

        found = [conversation.pk for conversation in answer.context["cl"].result_list]
        assert found == [wanted]
        assert other not in found

    def test_are_not_changed_added_or_deleted(self, office, ada, ben):
        conversation_id = direct(ada, ben)

        for name, *args in (
            ("conversations_conversation_add",),
            ("conversations_conversation_delete", conversation_id),
        ):
            assert office.get(page(name, *args)).status_code == 403
        address = page("conversations_conversation_change", conversation_id)
        assert office.post(address, {"title": "mine"}).status_code == 403


class TestMessages:
    def test_are_listed_without_their_words(self, office, ada, ben):
        write_to(ada, ben, body="between us", subject="a secret")

        shown = office.get(page("messaging_message_changelist")).content.decode()

        assert "ada" in shown
        assert "between us" not in shown
        assert "a secret" not in shown

    def test_are_opened_on_the_record(self, office, admin, ada, ben):
        message = write_to(ada, ben, body="between us")

        answer = office.get(page("messaging_message_change", message.message_id))

        assert "between us" in answer.content.decode()
        [entry] = recorded("message.open")
        assert (entry.actor, entry.target_id) == (admin, str(message.message_id))
        assert entry.details["sender"] == str(ada.user_id)

    def test_are_not_shown_where_that_cannot_be_recorded(self, office, ada, ben, monkeypatch):
        message = write_to(ada, ben, body="between us")
        office.raise_request_exception = False

        def fail(**_: object) -> None:
            raise OSError

        monkeypatch.setattr("parley.ops.admin.messages.record", fail)
        answer = office.get(page("messaging_message_change", message.message_id))

        assert answer.status_code == 500
        assert "between us" not in answer.content.decode()

    @pytest.mark.parametrize(
        "term", ["ada", "ada@example.org", "{0.user_id}", "{1.message_id}", "{1.conversation_id}"]
    )
    def test_are_found_by_id_by_sender_and_by_conversation(self, office, ada, ben, mallory, term):
        wanted = write_to(ada, ben)
        write_to(ben, mallory)

        answer = office.get(page("messaging_message_changelist"), {"q": term.format(ada, wanted)})

        found = [message.pk for message in answer.context["cl"].result_list]
        assert found == [wanted.message_id]

    @pytest.mark.parametrize("term", ["nobody", "x@y.z", "%", "'", "a" * 300])
    def test_are_not_found_by_what_names_nothing(self, office, ada, ben, term):
        write_to(ada, ben)

        answer = office.get(page("messaging_message_changelist"), {"q": term})

        assert answer.status_code == 200
        assert not answer.context["cl"].result_list

    def retract(self, office, *message_ids, **more):
        form = {"action": "retract", "_selected_action": [str(m) for m in message_ids]} | more
        return office.post(page("messaging_message_changelist"), form)

    def test_are_retracted_when_asked_twice(self, office, admin, ada, ben):
        message = write_to(ada, ben, body="between us")

        asked = self.retract(office, message.message_id)
        still = Message.objects.get(pk=message.message_id).message_body
        self.retract(office, message.message_id, sure="yes")

        assert "for everyone?" in asked.content.decode()
        assert still == "between us"
        assert Message.objects.get(pk=message.message_id).message_body == ""
        [entry] = recorded("message.retract")
        assert entry.actor == admin

    def test_are_not_retracted_all_at_once(self, office, ada, ben):
        message = write_to(ada, ben)

        self.retract(office, message.message_id, sure="yes", select_across="1")

        assert Message.objects.get(pk=message.message_id).retracted_at is None

    def test_are_not_changed_added_or_deleted(self, office, ada, ben):
        message = write_to(ada, ben)

        for name, *args in (
            ("messaging_message_add",),
            ("messaging_message_delete", message.message_id),
        ):
            assert office.get(page(name, *args)).status_code == 403
        address = page("messaging_message_change", message.message_id)
        assert office.post(address, {"message_body": "mine"}).status_code == 403


class TestAuditEntries:
    @pytest.fixture
    def entry(self, office, ada, ben) -> AuditEntry:
        office.get(page("messaging_message_change", write_to(ada, ben).message_id))
        return AuditEntry.objects.get()

    def test_are_shown_and_found(self, office, admin, ada, entry):
        for term in ("", "admin", entry.target_id):
            answer = office.get(page("accounts_auditentry_changelist"), {"q": term})
            assert list(answer.context["cl"].result_list) == [entry]
        answer = office.get(page("accounts_auditentry_changelist"), {"q": "ada"})
        assert not answer.context["cl"].result_list

    def test_are_not_added_changed_or_deleted_by_anyone(self, office, entry):
        change = page("accounts_auditentry_change", entry.pk)
        assert office.get(change).status_code == 200
        assert office.post(change, {"action": "nothing"}).status_code == 403
        assert office.get(page("accounts_auditentry_add")).status_code == 403
        assert office.post(page("accounts_auditentry_delete", entry.pk)).status_code == 403
        office.post(
            page("accounts_auditentry_changelist"),
            {"action": "delete_selected", "_selected_action": entry.pk, "post": "yes"},
        )
        entry.refresh_from_db()
        assert entry.action == "message.open"


class TestLists:
    """What a list costs does not grow with the table."""

    @pytest.fixture
    def talk(self, ada, person):
        """Fill each list with so many rows."""

        def fill(count: int) -> None:
            start = User.objects.count()
            for n in range(start, start + count):
                other = person(f"other-{n}", email=None)
                message = write_to(ada, other)
                messages.retract_message(actor=ada, message_id=message.message_id)
                conversations.block(blocker=ada, user_id=other.user_id)
                AuditEntry.objects.create(
                    actor=ada, action="test", target_kind="user", target_id=n, at=message.sent_at
                )

        return fill

    @pytest.mark.parametrize(
        ("name", "most"),
        [
            ("accounts_user", 4),
            ("conversations_conversation", 6),
            ("messaging_message", 5),
            ("accounts_auditentry", 5),
        ],
    )
    def test_cost_as_many_queries_for_few_and_many(
        self, office, talk, name, most, django_assert_num_queries
    ):
        for count in (3, 30):
            talk(count)
            with django_assert_num_queries(most) as done:
                answer = office.get(page(f"{name}_changelist"))
            assert len(answer.context["cl"].result_list) >= count
            assert not [q for q in done.captured_queries if is_full_count(q["sql"])]

    def test_stop_at_so_many_rows_and_say_so(self, office, talk, monkeypatch):
        monkeypatch.setattr(lists, "MOST_LISTED", 10)
        talk(12)

        answer = office.get(page("messaging_message_changelist"))

        assert answer.context["cl"].result_count == 10
        assert "These are the first 10" in answer.content.decode()

    @pytest.mark.parametrize("order", ["1", "-2.3", "99", "x"])
    def test_take_no_other_order_from_the_address(self, office, talk, order):
        talk(3)

        found = [
            [
                row.pk
                for row in office.get(page("messaging_message_changelist"), q)
                .context["cl"]
                .result_list
            ]
            for q in ({}, {"o": order})
        ]

        assert found[0] == found[1]

    def test_are_of_what_an_admin_needs_and_nothing_else(self):
        registered = {model.__name__ for model in django_admin.site._registry}

        assert registered == {"User", "Conversation", "Message", "AuditEntry"}


def is_full_count(sql: str) -> bool:
    return "COUNT(" in sql.upper() and "LIMIT" not in sql.upper()
