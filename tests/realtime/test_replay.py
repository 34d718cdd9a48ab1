"""What an event stream gives to who was away is told as it would have been told live."""

import asyncio

import pytest

from parley.conversations import operations as conversations
from parley.messaging import listening, operations
from parley.messaging.sync import here
from tests.realtime.conftest import events
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def missed(server, bearer, ben):
    """What ben is told since a cursor, until he has everything: (id, type, data)."""

    async def scene(cursor):
        found = []
        async with (
            asyncio.timeout(10),
            events(server, bearer(ben), cursor=cursor) as (_, told),
        ):
            async for each in told:
                if each[1] == "cursor":
                    break
                found.append(each)
        return found

    return lambda cursor: asyncio.run(scene(cursor))


def in_short(found):
    return [(type_, data.get("message", {}).get("message_body")) for _, type_, data in found]


class TestReplay:
    def test_tells_new_messages_from_changed_ones(self, ada, ben, missed):
        talk = direct(ada, ben)
        known = [say(ada, talk, "known"), say(ada, talk, "to go")]
        cursor = here(viewer=ben)
        operations.edit_message(
            editor=ada, message_id=known[0].message_id, message_body="known better"
        )
        operations.retract_message(actor=ada, message_id=known[1].message_id)
        say(ada, talk, "new")
        late = say(ada, talk, "newer")
        operations.edit_message(editor=ada, message_id=late.message_id, message_body="newest")

        assert in_short(missed(cursor)) == [
            ("message.changed", "known better"),
            ("message.changed", ""),
            ("message.created", "new"),
            ("message.created", "newest"),
            ("conversation.changed", None),
        ]

    def test_says_where_each_change_stands_and_from_where_to_resume(self, ada, ben, cyd, missed):
        talk = group(ada, ben)
        conversations.change_conversation(
            actor=ada,
            conversation_id=talk,
            participant_ids=[ada.user_id, ben.user_id, cyd.user_id],
        )
        [where] = listening.find_conversations([talk]).values()
        cursor = here(viewer=ben)
        for n in range(3):
            say(ada, talk, f"number {n}")

        found = missed(cursor)

        assert {id_ for id_, _, _ in found} == {cursor}
        before = None
        for _, _, data in found:
            assert data["members_rev"] == where.members_rev > 0
            assert data["prev_revision"] <= data["revision"]
            assert before in {None, data["prev_revision"]}
            before = data["revision"]

    def test_opens_a_conversation_before_what_is_in_it(self, ada, ben, missed):
        cursor = here(viewer=ben)
        talk = group(ada, ben)
        say(ada, talk, "welcome")

        found = missed(cursor)

        assert in_short(found) == [("conversation.created", None), ("message.created", "welcome")]
        assert found[0][2]["conversation"]["conversation_id"] == str(talk)
        assert found[0][2]["revision"] <= found[1][2]["prev_revision"]

    def test_tells_what_another_device_of_ones_own_did(self, ada, ben, missed):
        talk, other = direct(ada, ben), group(ada, ben)
        starred, removed = say(ada, talk, "starred"), say(ada, talk, "removed")
        cursor = here(viewer=ben)
        operations.set_message_starred(viewer=ben, message_id=starred.message_id, starred=True)
        operations.remove_message(viewer=ben, message_id=removed.message_id)
        conversations.leave(viewer=ben, conversation_id=other)

        found = [each for each in missed(cursor) if each[1] != "conversation.changed"]

        assert in_short(found) == [
            ("message.changed", "starred"),
            ("message.removed", None),
            ("participant.left", None),
        ]
        assert found[0][2]["message"]["starred"] is True
        assert found[1][2]["message_id"] == str(removed.message_id)
        assert found[2][2]["conversation"] == str(other)
        assert found[2][2]["user"]["username"] == ben.username
        assert {id_ for id_, _, _ in found} == {None}
