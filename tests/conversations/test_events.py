import pytest
from django.db import transaction

from parley.conversations import operations as conversations
from parley.conversations.events import Type, happened
from parley.messaging import operations
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def told():
    """Everything that was told, in order."""
    events = []
    happened.join(events.extend)
    yield events
    happened.leave(events.extend)


class TestTell:
    def test_says_what_changed_with_its_revision(self, ada, ben, cyd, told):
        talk = group(ada, ben)
        said = say(ada, talk)
        conversations.add_participant(actor=ada, conversation_id=talk, user_id=cyd.user_id)
        conversations.change_conversation(actor=ada, conversation_id=talk, title="Lunch")
        operations.retract_message(actor=ada, message_id=said.message_id)
        conversations.leave(viewer=cyd, conversation_id=talk)

        assert [(e.type, e.revision) for e in told] == [
            (Type.CREATED, 0),
            (Type.MESSAGES, 1),
            (Type.JOINED, 2),
            (Type.CHANGED, 3),
            (Type.MESSAGES, 4),
            (Type.LEFT, 5),
        ]
        assert [e.user_ids for e in told][2] == [e.user_ids for e in told][5] == (cyd.user_id,)

    def test_says_what_is_someones_own_without_a_revision(self, ada, ben, told):
        talk = direct(ada, ben)
        said = say(ada, talk)
        told.clear()

        operations.read_up_to(viewer=ben, conversation_id=talk)
        operations.read_up_to(viewer=ben, conversation_id=talk)
        operations.remove_message(viewer=ben, message_id=said.message_id)

        assert [(e.type, e.user_ids, e.seq) for e in told] == [
            (Type.OWN, (ben.user_id,), None),
            (Type.READ, (ben.user_id,), 1),
            (Type.OWN, (ben.user_id,), None),
            (Type.REMOVED, (ben.user_id,), None),
        ]

    def test_waits_for_the_commit_and_says_nothing_of_what_is_undone(self, ada, ben, told):
        talk = direct(ada, ben)
        told.clear()

        with transaction.atomic():
            say(ada, talk)
            assert told == []
        assert [e.type for e in told] == [Type.MESSAGES]
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            say(ada, talk)
            raise ZeroDivisionError
        assert len(told) == 1

    def test_never_fails_what_happened(self, ada, ben, told):
        def stumble(_events):
            raise ZeroDivisionError

        talk = direct(ada, ben)
        happened.join(stumble)
        try:
            assert say(ada, talk).seq == 1
        finally:
            happened.leave(stumble)
