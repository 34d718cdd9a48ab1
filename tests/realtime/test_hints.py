"""Hints that are lost, or come again when all is over: what is told is what is so."""

import asyncio

import pytest

from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, happened
from parley.realtime import broker
from tests.realtime.conftest import heard, in_thread, live, quiet
from tests.realtime.test_own import deaf
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def entitle(owner, talk, title):
    conversations.change_conversation(actor=owner, conversation_id=talk, title=title)


class TestHints:
    def test_of_a_conversation_new_here_may_lack_the_change_before(self, server, bearer, ada, ben):
        talk = group(ada, ben)

        async def scene():
            async with live(server, bearer(ben)) as socket:
                with deaf():
                    await in_thread(entitle, ada, talk, "Trip")
                await in_thread(say, ada, talk)
                changed = await heard(socket, "conversation.changed", seconds=5)
                assert changed["conversation"]["title"] == "Trip"

        asyncio.run(scene())

    def test_of_a_conversation_new_here_may_lack_who_went_before(
        self, server, bearer, ada, ben, cyd
    ):
        talk = group(ada, ben, cyd)

        async def scene():
            async with live(server, bearer(ben)) as bens:
                with deaf():
                    await in_thread(conversations.leave, viewer=ben, conversation_id=talk)
                await in_thread(say, ada, talk)
                gone = await heard(bens, "participant.left", seconds=5)
                assert gone["user"]["username"] == "ben"

        asyncio.run(scene())

    def test_that_come_again_do_not_put_out_who_is_back(self, server, bearer, ada, ben):
        talk = direct(ada, ben)
        say(ben, talk)

        def go_and_come():
            conversations.leave(viewer=ada, conversation_id=talk)
            direct(ada, ben)

        async def scene():
            async with live(server, bearer(ada)) as socket:
                await in_thread(go_and_come)
                await heard(socket, "conversation.created")
                happened([Event(Type.LEFT, talk, 1, (ada.user_id,))])
                assert await quiet(socket, "participant.left", seconds=1)

        asyncio.run(scene())

    def test_tell_an_heir_that_they_are_the_owner_now(self, server, bearer, ada, ben, cyd):
        talk = group(ada, ben, cyd)

        async def scene():
            async with live(server, bearer(ben)) as socket:
                await in_thread(conversations.leave, viewer=ada, conversation_id=talk)
                await heard(socket, "participant.left")
                changed = await heard(socket, "conversation.changed")
                assert changed["conversation"]["me"]["member_role"] == "owner"

        asyncio.run(scene())

    def test_of_one_revision_come_together(self, ada, ben, monkeypatch):
        """Whoever heard of one alone would take that for all of the revision."""
        talk = group(ada, ben)
        told = []
        monkeypatch.setattr(happened, "_callables", [told.append])

        conversations.leave(viewer=ada, conversation_id=talk)

        [events] = told
        assert [(each.type, each.revision) for each in events] == [
            (Type.LEFT, 1),
            (Type.CHANGED, 1),
        ]

    def test_of_more_people_than_they_name_are_true_of_all(
        self, server, bearer, ada, ben, cyd, monkeypatch
    ):
        monkeypatch.setattr(broker, "MOST_NAMED", 1)
        [hear_here] = happened._callables
        talk = group(ada, ben, cyd)

        def send_away():
            conversations.change_conversation(actor=ada, conversation_id=talk, participant_ids=[])

        async def scene():
            async with live(server, bearer(ben)) as bens, live(server, bearer(cyd)) as cyds:
                await in_thread(say, ada, talk)
                for socket in (bens, cyds):
                    await heard(socket, "message.created")
                with deaf():
                    await in_thread(send_away)
                [text] = broker.pack("", [Event(Type.LEFT, talk, 2, (ben.user_id, cyd.user_id))])
                hear_here(broker.unpack(text)[1])
                for socket, person in ((bens, ben), (cyds, cyd)):
                    left = await heard(socket, "participant.left")
                    while left["user"]["user_id"] != str(person.user_id):
                        left = await heard(socket, "participant.left")

        asyncio.run(scene())
