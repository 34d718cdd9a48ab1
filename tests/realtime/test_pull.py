"""What a loop asks by itself is told as what a thread asks: the same frames, to the same people."""

import asyncio
from functools import partial

import pytest
from django.db import connection

from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type
from parley.kernel.async_database import AsyncDatabase, close_database
from parley.kernel.threads import Threads
from parley.messaging import express_listening, listening, operations
from parley.realtime import pull
from parley.realtime.audiences import Audiences
from parley.realtime.pull import Heard, Want
from tests.realtime.conftest import in_thread
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]
HAS_LOOP = connection.vendor == "postgresql"  # a driver for loops


def heard_of(talk):
    [where] = listening.find_conversations([talk]).values()
    return Heard(where.revision, where.last_seq, where.members_rev)


def want(talk, heard, type_=Type.MESSAGES):
    return Want(talk, heard, [Event(type_, talk, None)])


def at_once(wants, online, *, meanwhile=None, is_ahead=True):
    """What a loop tells that knew everyone before ``meanwhile`` happened."""

    async def ask():
        thread = Threads("audiences", most=1)
        known = Audiences(thread)
        try:
            await known.of([want.conversation_id for want in wants])
            if meanwhile:
                await in_thread(meanwhile)
            return await pull.pull_at_once(
                wants, known, online=frozenset(online), is_ahead=lambda message: is_ahead
            )
        finally:
            known.close()
            await thread.close()
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

    def test_asks_of_new_messages_by_one_statement(self, ada, ben, cyd, monkeypatch):
        talk, asked = group(ada, ben, cyd), []
        wants = [want(talk, heard_of(talk))]
        rows = AsyncDatabase.rows

        def noted(self, sql, *args, **named):
            asked.append(sql)
            return rows(self, sql, *args, **named)

        monkeypatch.setattr(AsyncDatabase, "rows", noted)
        found = at_once(
            wants, [ben.user_id], meanwhile=partial(say, ada, talk, "hello"), is_ahead=False
        )

        assert found == (by_thread(wants, [ben.user_id]) if HAS_LOOP else {})
        assert asked == ([express_listening.AUDIENCES, express_listening.CHANGED] * HAS_LOOP)

    @pytest.mark.parametrize("is_ahead", [False, True])
    def test_shows_marks_on_what_was_told_of_before(self, ada, ben, cyd, is_ahead):
        talk = group(ada, ben, cyd)
        said = [say(ada, talk, f"number {n}") for n in range(3)]
        operations.set_message_starred(viewer=ben, message_id=said[0].message_id, starred=True)
        operations.remove_message(viewer=cyd, message_id=said[1].message_id)
        wants, online = [want(talk, heard_of(talk))], [ben.user_id, cyd.user_id]

        def meanwhile():
            operations.read_up_to(viewer=ben, conversation_id=talk)
            for message in said[:2]:
                operations.edit_message(
                    editor=ada, message_id=message.message_id, message_body="again"
                )

        found = at_once(wants, online, meanwhile=meanwhile, is_ahead=is_ahead)

        assert found == (by_thread(wants, online) if HAS_LOOP else {})

    def test_sees_who_came_and_went_since_it_asked_last(self, ada, ben, cyd):
        talk = group(ada, ben)
        since = want(talk, heard_of(talk))

        def meanwhile():
            conversations.change_conversation(
                actor=ada, conversation_id=talk, participant_ids=[ada.user_id, cyd.user_id]
            )
            since.heard = heard_of(talk)
            say(ada, talk, "welcome")

        found = at_once([since], [ben.user_id, cyd.user_id], meanwhile=meanwhile, is_ahead=False)

        assert found == (by_thread([since], [ben.user_id, cyd.user_id]) if HAS_LOOP else {})

    def test_leaves_what_someone_wrote_who_left_to_the_thread(self, ada, ben, cyd):
        talk = group(ada, ben, cyd)
        said = say(cyd, talk)
        conversations.leave(viewer=cyd, conversation_id=talk)
        wants = [want(talk, heard_of(talk))]
        operations.retract_message(actor=ada, message_id=said.message_id)

        assert at_once(wants, [ben.user_id]) == {}

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
        sql = express_listening.AUDIENCES.replace(f"<= {listening.MOST_MEMBERS}", "<= 1")
        monkeypatch.setattr(express_listening, "AUDIENCES", sql)

        assert at_once(wants, [ben.user_id]) == {}

    def test_tells_nothing_again(self, ada, ben):
        talk = direct(ada, ben)
        say(ada, talk)
        heard = heard_of(talk)

        found = at_once([want(talk, heard)], [ben.user_id])

        assert found == ({talk: (heard, [])} if HAS_LOOP else {})
