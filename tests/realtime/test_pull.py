"""What a loop asks by itself is told as what a thread asks: the same frames, to the same people."""

import asyncio

import pytest
from django.db import connection

from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type
from parley.kernel.async_database import close_database
from parley.messaging import express_listening, listening, operations
from parley.realtime import pull
from parley.realtime.pull import Heard, Want
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]
HAS_LOOP = connection.vendor == "postgresql"  # a driver for loops


def heard_of(talk):
    [where] = listening.find_conversations([talk]).values()
    return Heard(where.revision, where.last_seq, where.members_rev)


def want(talk, heard, type_=Type.MESSAGES):
    return Want(talk, heard, [Event(type_, talk, None)])


def at_once(wants, online):
    async def ask():
        try:
            return await pull.pull_at_once(wants, online=frozenset(online))
        finally:
            await close_database()

    return told(asyncio.run(ask()))


def by_thread(wants, online):
    return told(pull.pull(wants, online=frozenset(online), settled=0))


def told(found):
    return {
        each.conversation_id: (
            each.heard,
            [(one.frame, sorted(one.to)) for one in each.told if one.to],
        )
        for each in found
    }


class TestAtOnce:
    def test_tells_what_a_thread_tells(self, ada, ben, cyd, admin):
        pair, crowd, rest = direct(ada, ben), group(ada, ben, cyd, admin), direct(ada, cyd)
        wants = [want(talk, heard_of(talk)) for talk in (pair, crowd, rest)]
        first = say(ada, pair, "one", client_id="Ünïque", subject="x")
        say(ben, pair, "two", reply_to=first.message_id)
        said = say(cyd, crowd, "three")
        operations.set_message_starred(viewer=ada, message_id=said.message_id, starred=True)
        operations.remove_message(viewer=ben, message_id=said.message_id)
        operations.read_up_to(viewer=admin, conversation_id=crowd)
        online = [ada.user_id, ben.user_id, admin.user_id]

        found = at_once(wants, online)

        assert found == (by_thread(wants, online) if HAS_LOOP else {})
        assert [len(frames) for _, frames in found.values()] in ([4, 2, 0], [])

    def test_leaves_what_is_more_than_new_messages_to_the_thread(self, ada, ben, cyd):
        edited, renamed, new, hinted = (group(ada, ben, cyd) for _ in range(4))
        wants = [want(edited, heard_of(edited)), want(renamed, heard_of(renamed)), want(new, None)]
        wants += [want(hinted, heard_of(hinted), Type.CHANGED)]
        said = [say(ada, talk) for talk in (edited, renamed, new, hinted)]
        operations.edit_message(editor=ada, message_id=said[0].message_id, message_body="again")
        conversations.change_conversation(actor=ada, conversation_id=renamed, title="Trip")

        assert at_once(wants, [ben.user_id]) == {}

    def test_leaves_much_to_the_thread(self, ada, ben, monkeypatch):
        large, late = group(ada, ben), direct(ada, ben)
        wants = [want(talk, heard_of(talk)) for talk in (large, late)]
        say(ada, large)
        for n in range(express_listening.MOST_MESSAGES + 1):
            say(ada, late, f"number {n}")
        monkeypatch.setattr(express_listening, "MOST_MEMBERS", 1)

        assert at_once(wants, [ben.user_id]) == {}

    def test_tells_nothing_again(self, ada, ben):
        talk = direct(ada, ben)
        say(ada, talk)
        heard = heard_of(talk)

        found = at_once([want(talk, heard)], [ben.user_id])

        assert found == ({talk: (heard, [])} if HAS_LOOP else {})
