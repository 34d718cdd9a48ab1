"""Sends that arrive together leave together; none is lost, none is stored twice."""

import asyncio
import threading
from unittest.mock import patch

import psycopg
import pytest
from django.db import DataError, OperationalError, connection, transaction

from parley.conversations import events
from parley.conversations.models import Conversation
from parley.conversations.operations import ConversationNotFound
from parley.dialects.models import MessageHandle
from parley.kernel import ids
from parley.kernel.async_database import AsyncDatabase, close_database
from parley.kernel.errors import Invalid, Unavailable
from parley.messaging import group_commit, operations
from parley.messaging.drafts import Draft
from parley.messaging.group_commit import GroupCommit
from parley.messaging.models import Message
from parley.messaging.operations import sending
from tests.talk import direct, history, in_parallel

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def play(work, **options):
    """Run some work with a group commit of its own; return what it returns, once all is written."""

    async def run():
        group = GroupCommit(**options)
        try:
            return await work(group)
        finally:
            await group.drain()
            await close_database()

    return asyncio.run(run())


def send_all(drafts, **options):
    async def work(group):
        return await asyncio.gather(*map(group.send, drafts), return_exceptions=True)

    return play(work, **options)


class TestGroupCommit:
    def test_sends_what_comes_together_and_answers_each(self, ada, ben, mallory):
        talk = direct(ada, ben)
        drafts = [Draft(ada.user_id, str(n), conversation_id=talk) for n in range(30)]
        stranger = Draft(mallory.user_id, "x", conversation_id=talk)

        *answers, refused = send_all([*drafts, stranger])

        assert [a.message.message_body for a in answers] == [str(n) for n in range(30)]
        assert [a.message.seq for a in answers] == list(range(1, 31))
        assert isinstance(refused, ConversationNotFound)
        assert [m.message_body for m in history(ben, talk)] == [str(n) for n in range(30)]

    def test_takes_few_commits_for_many_sends(self, ada, ben):
        talk = direct(ada, ben)
        batches = []
        write = GroupCommit._commit

        async def counted(group, batch):
            batches.append(len(batch))
            await write(group, batch)

        with patch.object(GroupCommit, "_commit", counted):
            send_all([Draft(ada.user_id, "x", conversation_id=talk) for _ in range(50)])

        assert sum(batches) == 50
        assert len(batches) <= 3

    def test_sends_to_people_and_to_new_groups(self, ada, ben, cyd):
        pair = [Draft(ada.user_id, "x", recipient_ids=(ben.user_id,)) for _ in range(5)]
        named = {"recipient_ids": (ben.user_id, cyd.user_id), "client_id": "a"}
        several = [Draft(ada.user_id, "x", **named) for _ in range(3)]

        answers = send_all([*pair, *several])

        assert sorted(a.message.seq for a in answers[:5]) == [1, 2, 3, 4, 5]
        assert sum(a.is_new for a in answers[5:]) == 1
        assert Conversation.objects.count() == 2

    def test_refuses_at_once_what_no_database_holds(self, ada, ben):
        talk = direct(ada, ben)

        [refused] = send_all([Draft(ada.user_id, "a\0b", conversation_id=talk)])

        assert isinstance(refused, Invalid)

    def test_refuses_beyond_its_bound(self, ada, ben):
        talk = direct(ada, ben)
        drafts = [Draft(ada.user_id, "x", conversation_id=talk) for _ in range(5)]

        answers = send_all(drafts, bound=3)

        assert [isinstance(a, Unavailable) for a in answers] == [False] * 3 + [True] * 2
        assert Message.objects.count() == 3

    def test_keeps_the_message_of_a_caller_who_left(self, ada, ben):
        talk = direct(ada, ben)

        async def leave(group):
            call = asyncio.ensure_future(group.send(Draft(ada.user_id, "x", conversation_id=talk)))
            await asyncio.sleep(0)
            call.cancel()

        play(leave)

        assert Message.objects.get().message_body == "x"

    def test_numbers_messages_for_the_old_protocols_in_the_same_statement(self, ada, ben):
        talk = direct(ada, ben)
        drafts = [Draft(ada.user_id, str(n), conversation_id=talk) for n in range(5)]

        answers = send_all([*drafts, Draft(ada.user_id, "x", conversation_id=ids.new_id())])

        sent = [answer.message.message_id for answer in answers[:5]]
        numbers = MessageHandle.objects.order_by("number").values_list("message_id", flat=True)
        assert list(numbers) == sent

    def test_tells_what_happened_once_it_is_committed(self, ada, ben, cyd):
        talks = [direct(ada, ben), direct(ada, cyd)]
        told = []

        def listen(events):
            told.extend((e.conversation_id, e.revision, Message.objects.count()) for e in events)

        def hear(events):
            in_parallel([lambda: (listen(events), connection.close())])

        events.happened.join(hear)
        try:
            answers = send_all([Draft(ada.user_id, "x", conversation_id=t) for t in talks * 5])
        finally:
            events.happened.leave(hear)

        last = {a.message.conversation_id: a.message.revision for a in answers}
        assert {where: revision for where, revision, _ in told} == last
        assert told[-1][2] == 10

    def test_tells_those_who_joined_in_the_same_transaction(self, ada, ben):
        told = []
        operations.messages_sent.join(told.append)
        try:
            [sent] = send_all([Draft(ada.user_id, "x", conversation_id=direct(ada, ben))])
        finally:
            operations.messages_sent.leave(told.append)

        assert [m.message_id for batch in told for m in batch] == [sent.message.message_id]


def fail_first(times, error):
    """Have the first commits of a batch stored, and then reported as failed."""
    left = [times]

    def judge(result):
        if left[0]:
            left[0] -= 1
            raise error
        return result

    return judge


class TestAnUnknownOutcome:
    """The connection was lost while the commit was under way: it may have gone through or not."""

    def lose(self, times):
        if connection.vendor == "postgresql":
            judge, once = fail_first(times, psycopg.OperationalError("lost")), AsyncDatabase.once

            async def lossy(self, sql, parameters=()):
                return judge(await once(self, sql, parameters))

            return patch.object(AsyncDatabase, "once", lossy)
        judge, write = fail_first(times, OperationalError("lost")), sending._write
        return patch.object(sending, "_write", lambda drafts: judge(write(drafts)))

    def test_is_settled_by_the_same_ids(self, ada, ben):
        talk = direct(ada, ben)
        drafts = [
            Draft(ada.user_id, "x", conversation_id=talk, client_id=client_id)
            for client_id in (None, "a", "a", None)
        ]

        with self.lose(2):
            answers = send_all(drafts)

        assert [a.is_new for a in answers] == [True, True, False, True]
        assert Message.objects.count() == 3

    def test_is_told_after_three_attempts(self, ada, ben):
        talk = direct(ada, ben)

        with self.lose(9):
            answers = send_all([Draft(ada.user_id, "x", conversation_id=talk) for _ in range(2)])

        assert [type(a) for a in answers] == [OperationalError] * 2
        assert Message.objects.count() == 2


class TestADraftThatTheDatabaseCannotHold:
    def test_harms_no_other(self, ada, ben):
        talk = direct(ada, ben)
        drafts = [Draft(ada.user_id, body, conversation_id=talk) for body in "abcde"]

        if connection.vendor == "postgresql":
            once = AsyncDatabase.once

            async def judge(self, sql, parameters=()):
                if "c" in parameters[5]:
                    raise psycopg.DataError
                return await once(self, sql, parameters)

            broken = patch.object(AsyncDatabase, "once", judge)
        else:
            write = sending._write

            def refuse(drafts):
                if any(draft.message_body == "c" for draft in drafts):
                    raise DataError
                return write(drafts)

            broken = patch.object(sending, "_write", refuse)
        with broken:
            answers = send_all(drafts)

        assert [isinstance(a, Invalid) for a in answers] == [False, False, True, False, False]
        assert [m.message_body for m in history(ada, talk)] == list("abde")


class TestALockedConversation:
    def test_waits_in_a_side_lane_in_order_while_others_go_on(self, ada, ben, cyd):
        if connection.vendor != "postgresql":  # one writer: there is nobody to overtake
            return
        stuck, free = direct(ada, ben), direct(ada, cyd)
        held, release = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                Conversation.objects.select_for_update().get(conversation_id=stuck)
                held.set()
                release.wait(4)
            connection.close()

        async def work(group):
            waiting = [
                asyncio.ensure_future(group.send(Draft(ada.user_id, str(n), conversation_id=stuck)))
                for n in range(3)
            ]
            await group.send(Draft(ada.user_id, "x", conversation_id=free))
            later = group.send(Draft(ada.user_id, "3", conversation_id=stuck))
            passed = [not call.done() for call in waiting]
            release.set()
            return passed, [(await call).message.seq for call in [*waiting, later]]

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        passed, seqs = play(work)
        thread.join()

        assert passed == [True] * 3
        assert seqs == [1, 2, 3, 4]
        assert [m.message_body for m in history(ben, stuck)] == ["0", "1", "2", "3"]


class TestTheGroupOfALoop:
    def test_is_one_and_ends_with_what_it_has_queued(self, ada, ben):
        talk = direct(ada, ben)

        async def work():
            assert group_commit.group() is group_commit.group()
            call = asyncio.ensure_future(
                group_commit.group().send(Draft(ada.user_id, "x", conversation_id=talk))
            )
            await asyncio.sleep(0)
            await group_commit.drain()
            await close_database()
            assert call.done()

        asyncio.run(work())

        assert Message.objects.count() == 1
