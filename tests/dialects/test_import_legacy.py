"""What an older backend knew is known here afterwards."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from parley.accounts.models import Role, User
from parley.accounts.operations import check_credentials
from parley.conversations.models import Conversation, Participant
from parley.dialects import handles, letters
from parley.messaging import operations, queries
from parley.messaging.models import Message
from tests.conftest import PASSWORD
from tests.dialects.old_databases import BEGAN, old_database, pbkdf2, sha256_twice
from tests.talk import history, unread, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]
MAIL = ("bearer_mail", "token_mail", "session_mail")


@pytest.fixture
def old(tmp_path):
    """Make databases of older backends, which are gone after the test."""
    from contextlib import ExitStack

    with ExitStack() as lent:
        yield lambda dialect: lent.enter_context(old_database(dialect, tmp_path))


def bring(database, **options) -> str:
    """Import a database and return what was printed."""
    out = io.StringIO()
    call_command("import_legacy", database.url, dialect=database.dialect, stdout=out, **options)
    return out.getvalue()


def user(name: str) -> User:
    return User.objects.get(username=name)


def with_mail(database, password=pbkdf2):
    """ada has written to ben twice, he has read the second one and answered; and she to herself."""
    database.user(3, "ada", password(PASSWORD), email="ada@example.org", first_name="Ada")
    database.user(7, "ben", password("a key under the mat"))
    database.letter(11, 3, 7, "At one?")
    database.letter(
        12, 3, 7, "Or two?", **({} if database.dialect == "user_to_user" else {"is_read": True})
    )
    database.letter(15, 7, 3, "At two.")
    database.letter(19, 3, 3, "Milk")
    return database


class TestMail:
    @pytest.mark.parametrize("dialect", MAIL)
    def test_comes_with_its_people_numbers_times_and_flags(self, old, dialect):
        bring(with_mail(old(dialect)))

        ada, ben = user("ada"), user("ben")
        box = letters.mailbox(ben).letters
        assert handles.numbers_of_users([ada.user_id, ben.user_id]) == {
            ada.user_id: 3,
            ben.user_id: 7,
        }
        assert [(x.number, x.sender, x.receiver, x.subject, x.body, x.is_read) for x in box] == [
            (11, 3, 7, "Subject 11", "At one?", False),
            (12, 3, 7, "Subject 12", "Or two?", True),
            (15, 7, 3, "Subject 15", "At two.", False),
        ]
        assert [x.sent_at for x in box] == [BEGAN + timedelta(seconds=n) for n in (11, 12, 15)]
        assert (unread(ben), unread(ada)) == (1, 1)
        assert (ada.first_name, ada.email, ada.created_at, ada.role) == (
            "Ada",
            "ada@example.org",
            BEGAN,
            Role.GUEST,
        )

    def test_of_user_to_user_is_read(self, old):
        bring(with_mail(old("user_to_user")))

        assert (unread(user("ben")), unread(user("ada"))) == (0, 0)
        assert [x.body for x in letters.mailbox(user("ben")).letters] == [
            "At one?",
            "Or two?",
            "At two.",
        ]

    def test_keeps_its_order_in_each_conversation(self, old):
        bring(with_mail(old("bearer_mail")))

        shared = Conversation.objects.get(last_seq=3)
        assert [(m.seq, m.message_body) for m in history(user("ada"), shared.conversation_id)] == [
            (1, "At one?"),
            (2, "Or two?"),
            (3, "At two."),
        ]

    def test_with_a_time_before_the_one_before_or_still_to_come_does_not_go_back_or_ahead(
        self, old
    ):
        database = old("bearer_mail")
        database.user(1, "ada", "")
        database.user(2, "ben", "")
        database.letter(1, 1, 2, "first", created_at=BEGAN)
        database.letter(2, 1, 2, "second", created_at=BEGAN - timedelta(days=1))
        database.letter(3, 1, 2, "third", created_at=BEGAN + timedelta(days=36500))

        bring(database)

        first, second, third = Message.objects.order_by("seq")
        assert second.sent_at == first.sent_at + timedelta(microseconds=1)
        assert second.sent_at < third.sent_at < BEGAN + timedelta(days=36000)

    def test_goes_on_where_it_was(self, old):
        bring(with_mail(old("session_mail")))

        sent = write_to(user("ada"), user("ben"), body="Or three?")

        assert sent.seq == 4
        assert [x.body for x in letters.mailbox(user("ben"), unread_only=True).letters] == [
            "At one?",
            "Or three?",
        ]

    def test_keeps_what_cannot_be_stored_or_is_too_long_as_far_as_it_can(self, old):
        database = with_mail(old("session_mail"))
        database.letter(20, 3, 7, "So it is.", subject="s" * 300)

        said = bring(database)

        last = letters.find_letter(user("ben"), 20)
        assert (last.subject, last.body) == ("s" * 255, f"{'s' * 300}\n\nSo it is.")
        assert "Subjects that were cut; the whole stands before the message: 1" in said

    def test_of_people_who_are_gone_is_left_out_and_told(self, old):
        database = with_mail(old("bearer_mail"))
        database.letter(30, 3, 99, "Are you there?")

        said = bring(database)

        assert "message 30 → those it names are missing" in said
        assert Message.objects.count() == 4


class TestAgain:
    @pytest.mark.parametrize("dialect", [*MAIL, "user_to_user"])
    def test_doubles_nothing(self, old, dialect):
        database = with_mail(old(dialect))
        bring(database)
        operations.remove_message(viewer=user("ben"), message_id=handles.message_of(11))

        bring(database)

        assert (User.objects.count(), Message.objects.count()) == (2, 4)
        assert [x.body for x in letters.mailbox(user("ben")).letters] == ["Or two?", "At two."]

    def test_brings_what_was_added_since(self, old):
        database = with_mail(old("bearer_mail"))
        bring(database)
        database.user(8, "cyd", pbkdf2(PASSWORD))
        database.letter(21, 8, 7, "I am new.")

        bring(database)

        assert [x.body for x in letters.mailbox(user("ben"), unread_only=True).letters] == [
            "At one?",
            "I am new.",
        ]

    def test_of_another_database_needs_a_name(self, old):
        bring(with_mail(old("bearer_mail")))
        other = old("bearer_mail")
        other.user(1, "olga", pbkdf2(PASSWORD))

        with pytest.raises(CommandError, match="give this one a name with --source"):
            bring(other)

        bring(other, source="the other office")
        assert User.objects.filter(username="olga").exists()


class TestPasswords:
    @pytest.mark.parametrize(
        ("dialect", "hashed"), [("bearer_mail", pbkdf2), ("token_mail", sha256_twice)]
    )
    def test_still_sign_in_and_are_hashed_better_from_then_on(self, old, dialect, hashed):
        bring(with_mail(old(dialect), hashed))
        before = user("ada").password

        found = check_credentials(login="ada", password=PASSWORD)

        assert found == user("ada")
        assert not before.startswith("argon2$")
        assert user("ada").password.startswith("argon2$")
        assert check_credentials(login="ada", password=PASSWORD) == user("ada")

    def test_without_salt_are_nowhere_to_be_found(self, old):
        database = with_mail(old("token_mail"), sha256_twice)

        bring(database)

        for known in User.objects.all():
            assert known.password.startswith("argon2_sha256$argon2id$")
        assert check_credentials(login="ada", password="not hers") is None

    def test_that_fit_nothing_are_told(self, old):
        database = old("bearer_mail")
        database.user(1, "ada", "crypt$$abc")

        said = bring(database)

        assert "Users whose password has to be set anew: 1" in said
        assert not user("ada").has_usable_password()


class TestTokens:
    def test_go_on_working(self, old, client):
        database = with_mail(old("token_mail"), sha256_twice)
        database.insert("authtoken_token", key="ab" * 20, created=BEGAN, user_id=7)

        bring(database)
        bring(database)

        answer = client.get("/all/", headers={"Authorization": f"Token {'ab' * 20}"})
        assert [row["id"] for row in answer.json()] == [11, 12, 15]
        assert user("ben").auth_token_set.count() == 1
        assert not user("ben").auth_token_set.filter(digest__contains="abab").exists()


class TestNames:
    def test_that_are_not_legal_or_taken_change_and_are_told(self, old, person):
        person("ada")
        database = old("bearer_mail")
        database.user(1, "Ada", "", email="ADA@example.org")
        database.user(2, "olga@home", "", email="one@example.org")
        database.user(3, "olga-home", "", email="One@example.org")

        said = bring(database)

        assert set(User.objects.values_list("username", flat=True)) == {
            "ada",
            "Ada-2",
            "olga-home",
            "olga-home-2",
        }
        assert "Ada → Ada-2" in said
        assert "olga@home → olga-home" in said
        assert "Ada-2 → ADA@example.org" in said
        assert "olga-home-2 → One@example.org" in said
        assert user("olga-home").email == "one@example.org"

    def test_of_superusers_are_admins_only_if_so_asked(self, old):
        database, other = old("bearer_mail"), old("token_mail")
        database.user(1, "root", "", is_superuser=True)
        other.user(1, "chief", "", is_superuser=True)

        said = bring(database)
        bring(other, admins=True)

        assert (user("root").role, user("chief").role) == (Role.GUEST, Role.ADMIN)
        assert "Superusers who are no admins here: 1" in said

    def test_of_the_deactivated_stay_so(self, old):
        database = old("bearer_mail")
        database.user(1, "gone", pbkdf2(PASSWORD), is_active=False)

        bring(database)

        assert check_credentials(login="gone", password=PASSWORD) is None


class TestIntegers:
    def test_that_are_taken_are_replaced_past_all_old_ones_and_told(self, old, person, tmp_path):
        cyd, dot = person("cyd"), person("dot")
        first = write_to(cyd, dot)
        taken = handles.numbers_of_users([cyd.user_id])[cyd.user_id]
        number = handles.numbers_of_messages([first.message_id])[first.message_id]
        database = old("bearer_mail")
        database.user(taken, "ada", "")
        database.user(taken + 500, "ben", "")
        database.letter(number, taken, taken + 500, "I was first.")
        database.letter(number + 700, taken, taken + 500, "I am last.")
        details = tmp_path / "details.csv"

        bring(database, details=details)

        ada, ben = user("ada"), user("ben")
        numbers = handles.numbers_of_users([ada.user_id, ben.user_id])
        found = [letter.number for letter in letters.mailbox(ben).letters]
        assert numbers[ben.user_id] == taken + 500
        assert numbers[ada.user_id] > taken + 500
        assert found[1] == number + 700
        assert found[0] > number + 700
        assert handles.user_of(taken) == cyd.user_id
        rows = list(csv.reader(details.read_text().splitlines()))
        assert ["user number", str(taken), str(numbers[ada.user_id])] in rows
        assert ["message number", str(number), str(found[0])] in rows


class TestConversations:
    def test_keep_their_ids_their_people_and_their_order(self, old):
        ada, ben, cyd, pair, group, said, asked = (uuid4() for _ in range(7))
        database = old("conversations")
        database.person(ada, "ada@example.org", pbkdf2(PASSWORD), role="host", phone_number="123")
        database.person(ben, "ben@example.org", pbkdf2(PASSWORD), role="admin")
        database.person(cyd, "cyd@example.org", "")
        database.conversation(pair, ada, ben)
        database.conversation(group, ada, ben, cyd)
        database.message(said, ada, pair, "At one?", 2)
        database.message(asked, ben, pair, "Where?", 1)

        bring(database)
        bring(database)

        found = queries.get_conversation(viewer=user("ada"), conversation_id=pair)
        assert user("ada").user_id == ada
        assert (user("ada").role, user("ben").role) == (Role.HOST, Role.GUEST)
        assert check_credentials(login="ada@example.org", password=PASSWORD) == user("ada")
        assert [(m.message_id, m.seq, m.message_body) for m in found.messages] == [
            (asked, 1, "Where?"),
            (said, 2, "At one?"),
        ]
        assert found.kind == "direct"
        assert found.created_at == BEGAN
        assert unread(user("ada")) == unread(user("ben")) == 0
        assert queries.get_conversation(viewer=user("cyd"), conversation_id=group).kind == "group"

    def test_of_a_pair_that_has_one_already_are_groups(self, old):
        ada, ben, first, second = (uuid4() for _ in range(4))
        database = old("conversations")
        database.person(ada, "ada@example.org", "")
        database.person(ben, "ben@example.org", "")
        database.conversation(first, ada, ben)
        database.conversation(second, ben, ada)

        bring(database)

        kinds = Conversation.objects.values_list("kind", flat=True)
        assert sorted(kinds) == ["direct", "group"]

    def test_in_which_nobody_was_are_of_those_who_wrote(self, old):
        ada, ben, pair, one = (uuid4() for _ in range(4))
        database = old("conversations")
        database.person(ada, "ada@example.org", "")
        database.person(ben, "ben@example.org", "")
        database.conversation(pair)
        database.message(uuid4(), ben, pair, "Anyone?", 1)
        database.message(uuid4(), ada, pair, "Me.", 2)
        database.message(uuid4(), ben, pair, "Ah.", 3)
        database.conversation(one, ben)
        database.message(uuid4(), ada, one, "Hello?", 4)

        bring(database)

        found = queries.get_conversation(viewer=user("ada"), conversation_id=pair)
        assert [m.message_body for m in found.messages] == ["Anyone?", "Me.", "Ah."]
        assert {p.user_id for p in found.participants} == {ada, ben}
        assert Participant.objects.filter(conversation_id=one).count() == 1


def _rows(said: str) -> dict[str, list[str]]:
    """Return the rows of the tables that were printed, by their first column."""
    lines = [line.replace("│", " ").split() for line in said.splitlines()]
    return {line[0]: line[1:] for line in lines if line}


class TestReport:
    def test_compares_what_is_there_and_here(self, old):
        said = bring(with_mail(old("bearer_mail")))

        rows = _rows(said)
        assert rows["people"] == ["2", "2", "="]
        assert rows["messages"] == ["4", "4", "="]
        assert rows["ben"] == ["1", "1", "="]
        assert "2 of 2 users have as much unread here as there." in said

    def test_counts_what_was_left_out_as_missing(self, old):
        database = with_mail(old("bearer_mail"))
        database.letter(20, 3, 99, "To nobody")
        empty = old("conversations")
        empty.person(uuid4(), "cyd@example.org", "")
        empty.conversation(uuid4())

        mail, none = bring(database), bring(empty)

        assert _rows(mail)["messages"] == ["5", "4", "differs"]
        assert _rows(none)["conversations"] == ["1", "0", "differs"]
        assert "message 20" in mail
        assert "nobody is in it" in none

    def test_says_in_a_sentence_what_is_wrong_with_a_database(self, old, tmp_path):
        other = old("user_to_user")

        with pytest.raises(CommandError, match="There is no database at"):
            call_command(
                "import_legacy", f"sqlite:///{tmp_path}/none.sqlite3", dialect="bearer_mail"
            )
        with pytest.raises(CommandError, match="No table of the old database holds messages"):
            call_command("import_legacy", other.url, dialect="bearer_mail")
        with pytest.raises(CommandError, match="Expected sqlite"):
            call_command("import_legacy", "oracle://here", dialect="bearer_mail")
