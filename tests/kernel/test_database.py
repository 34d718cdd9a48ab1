import pytest

from parley.accounts.models import User
from parley.conversations.models import Conversation, Participant
from parley.kernel.database import (
    columns,
    instances,
    instant_value,
    pairs,
    rows,
    rows_at_once,
    uuid_key,
)
from parley.messaging.models import Message
from tests.talk import direct, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


class TestInstances:
    @pytest.mark.parametrize("model", [User, Conversation, Participant, Message])
    def test_are_what_the_orm_reads(self, ada, ben, model):
        talk = direct(ada, ben)
        say(ada, talk, "x", client_id="Ünïque")
        table = model._meta.db_table

        found = instances(model, f"SELECT * FROM {table}")  # noqa: S608 - a name of ours

        assert sorted(map(told, found), key=repr) == sorted(
            map(told, model.objects.all()), key=repr
        )
        assert len(found) >= 1

    def test_are_rows_that_stand_in_the_database(self, ada):
        [found] = instances(User, "SELECT * FROM accounts_user WHERE user_id = %s", [ada.user_id])
        found.first_name = "Augusta"

        found.save(update_fields=["first_name"])

        ada.refresh_from_db()
        assert ada.first_name == "Augusta"

    def test_carry_what_else_is_selected(self, ada):
        [found] = instances(User, "SELECT 7 AS luck, u.*, 8 AS more FROM accounts_user u")

        assert (found, found.luck, found.more) == (ada, 7, 8)

    def test_must_be_whole(self, ada):
        with pytest.raises(ValueError, match="not in tuple"):
            instances(User, "SELECT user_id FROM accounts_user")


class TestPairs:
    def test_are_rows_of_two_tables(self, ada, ben):
        talk = direct(ada, ben)
        both = f"{columns(Participant, 'p')}, {columns(Conversation, 'c')}"

        found = pairs(
            Participant,
            Conversation,
            f"SELECT {both} FROM conversations_participant p"  # noqa: S608 - names of ours
            " JOIN conversations_conversation c ON c.conversation_id = p.conversation_id"
            " WHERE p.user_id = %s",
            [ada.user_id],
        )

        [mine] = Participant.objects.filter(user=ada)
        [talks] = Conversation.objects.filter(pk=talk)
        assert [(told(one), told(other)) for one, other in found] == [(told(mine), told(talks))]


class TestRowsAtOnce:
    MEMBER = ("user_id", "left_at", "joined_at", "visible_after")
    SQL = "FROM conversations_participant WHERE conversation_id = %s"

    def test_are_the_rows(self, ada, ben):
        talk = direct(ada, ben)

        found = rows_at_once(self.MEMBER, self.SQL, [talk])

        key = uuid_key()
        assert sorted((who, left, instant_value(at), n) for who, left, at, n in found) == sorted(
            (key(p.user_id), None, p.joined_at, 0) for p in Participant.objects.all()
        )

    def test_may_be_none(self, ada):
        assert list(rows_at_once(self.MEMBER, self.SQL, [ada.user_id])) == []


class TestTheKeyOfAUuid:
    def test_is_what_the_driver_gives_and_takes(self, ada, ben):
        key = uuid_key()(ada.user_id)

        found = rows("SELECT user_id FROM accounts_user WHERE user_id = %s", [key])

        assert found == [(key,)]


def told(instance):
    return {
        field.attname: bytes(value) if isinstance(value, memoryview) else value
        for field in instance._meta.concrete_fields
        for value in [getattr(instance, field.attname)]
    }
