"""Messages told as they were sent: what a pull would tell, and nothing of the database's asked."""

import asyncio
from contextlib import contextmanager

import pytest
from django.db import OperationalError

from parley.accounts.models import User
from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, happened
from parley.kernel.async_database import close_database
from parley.kernel.threads import Threads
from parley.messaging import express_listening, listening, operations
from parley.realtime import audiences, hub, pull
from parley.realtime.audiences import Audiences
from parley.realtime.hub import Hub
from parley.realtime.pull import Heard, Want
from tests.realtime.conftest import heard, in_thread, live
from tests.realtime.test_own import remove, star
from tests.realtime.test_pull import by_thread, heard_of, told
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@contextmanager
def hearing(monkeypatch):
    """What is told of within, instead of telling it."""
    found = []
    with monkeypatch.context() as within:
        within.setattr(happened, "_callables", [found.extend])
        yield found


def at_once(want, online):
    [audience] = listening.find_audiences([want.conversation_id]).values()
    found = pull.tell_said(want, want.said(), audience, online=frozenset(online))
    return None if found is None else told([found])


class TestWhatIsSaid:
    def test_is_told_as_a_pull_tells_it(self, ada, ben, cyd, admin, monkeypatch):
        for talk in (direct(ada, ben), group(ada, ben, cyd, admin)):
            before = heard_of(talk)
            with hearing(monkeypatch) as hints:
                first = say(ada, talk, "one", client_id="Ünïque", subject="x")
                say(ada, talk, "one", client_id="Ünïque", subject="x")  # again
                say(ben, talk, "two", reply_to=first.message_id)
            want = Want(talk, before, [hints[1], hints[0], hints[0]])  # in any order, and twice

            for online in ([ada, ben, cyd, admin], [ben], []):
                ids = [user.user_id for user in online]
                assert at_once(want, ids) == by_thread([Want(talk, before, hints)], ids)

    @pytest.mark.parametrize("shown", ["self", "everyone"])
    def test_shows_how_to_reach_the_sender_to_whom_a_pull_does(
        self, ada, ben, admin, monkeypatch, settings, shown
    ):
        monkeypatch.setattr(settings.PARLEY, "contact_details", shown)
        talk = group(ada, ben, admin)
        before = heard_of(talk)
        with hearing(monkeypatch) as hints:
            say(ada, talk)
        want, everyone = Want(talk, before, hints), [u.user_id for u in (ada, ben, admin)]

        assert at_once(want, everyone) == by_thread([want], everyone)

    def test_is_not_all_where_a_hint_was_lost_or_says_something_else(self, ada, ben, monkeypatch):
        talk = group(ada, ben)
        before = heard_of(talk)
        with hearing(monkeypatch) as hints:
            messages = [say(ada, talk, f"number {n}") for n in range(3)]
            operations.edit_message(
                editor=ada, message_id=messages[2].message_id, message_body="again"
            )
        first, second, third, edit = hints

        assert Want(talk, before, [first, second]).said() == messages[:2]
        assert Want(talk, before, [first, second], least=messages[1].revision).said()
        for is_less in (
            Want(talk, None, [first]),  # never told of
            Want(talk, before, []),
            Want(talk, before, [second]),  # the one before was lost
            Want(talk, before, [first, third]),
            Want(talk, before, [first, second, third, edit]),
            Want(talk, before, [first, Event(Type.CHANGED, talk, 9)]),
            Want(talk, heard_of(talk), [first]),  # told of since
            Want(talk, before, [first, second], least=messages[2].revision),
        ):
            assert is_less.said() == []

    def test_is_asked_where_others_were_in_it_then(self, ada, ben, cyd, monkeypatch):
        talk = group(ada, ben)
        before = heard_of(talk)
        with hearing(monkeypatch) as hints:
            say(ada, talk)
            conversations.change_conversation(
                actor=ada, conversation_id=talk, participant_ids=[ben.user_id, cyd.user_id]
            )
        want = Want(talk, before, hints[:1])

        assert want.said()
        assert at_once(want, [ada.user_id, cyd.user_id]) is None

    def test_is_for_both_in_a_direct_conversation_that_one_hid(self, ada, ben):
        talk = direct(ada, ben)
        conversations.leave(viewer=ben, conversation_id=talk)

        [audience] = listening.find_audiences([talk]).values()

        assert set(audience.listeners) == set(audience.people) == {ada.user_id, ben.user_id}


class TestLive:
    @pytest.fixture
    def only_hints(self, monkeypatch):
        """A hub that looks for nothing by itself while a test lasts."""
        monkeypatch.setattr(hub, "TICK_S", 60.0)

    def test_asks_nothing_of_messages(self, server, bearer, ada, ben, monkeypatch):
        talk, asked = group(ada, ben), []

        async def scene():
            async with live(server, bearer(ben)) as socket:
                await in_thread(say, ada, talk, "first")
                await heard(socket, "message.created")
                monkeypatch.setattr(pull, "pull", asked.append)
                monkeypatch.setattr(pull, "pull_at_once", asked.append)
                for n in range(3):
                    await in_thread(say, ada, talk, f"number {n}")
                    told = await heard(socket, "message.created")
                    assert told["message"]["message_body"] == f"number {n}"
                monkeypatch.undo()

        asyncio.run(scene())
        assert not asked

    @pytest.mark.parametrize("mark", [star, remove])
    def test_shows_marks_that_were_told_before_the_message(
        self, only_hints, server, bearer, ada, ben, mark, monkeypatch
    ):
        talk = group(ada, ben)
        [hear] = happened._callables

        async def scene():
            async with live(server, bearer(ben)) as socket:
                await in_thread(say, ada, talk, "first")
                await heard(socket, "message.created")
                with hearing(monkeypatch) as late:
                    message = await in_thread(say, ada, talk, "late")
                await in_thread(mark, ben, message)
                await heard(socket, "message.changed", "message.removed")
                hear(late)
                await in_thread(say, ada, talk, "last")
                told = [await heard(socket, "message.created")]
                if mark is star:
                    told.append(await heard(socket, "message.created"))
                    assert told[0]["message"]["starred"]
                assert told[-1]["message"]["message_body"] == "last"

        asyncio.run(scene())

    @pytest.mark.parametrize("fails", [False, True])
    def test_tells_what_hints_do_not_say_before_it_counts_as_told(
        self, server, bearer, ada, ben, monkeypatch, fails
    ):
        """Its generation has settled: nobody would look at it again."""
        talk, late, faults = group(ada, ben), [], [OperationalError("away")] if fails else []
        look, tell = Hub._look_at, Hub._tell_changes

        async def look_when_late(self, changed, own, settled):
            self.hear(late)  # it comes in the moment in which that is looked for
            await look(self, changed, own, settled)

        async def tell_or_fail(self, waiting):
            if late and faults:
                raise faults.pop()
            await tell(self, waiting)

        monkeypatch.setattr(Hub, "_look_at", look_when_late)
        monkeypatch.setattr(Hub, "_tell_changes", tell_or_fail)

        async def scene():
            async with live(server, bearer(ben)) as socket:
                await in_thread(say, ada, talk, "first")
                await heard(socket, "message.created")
                with hearing(monkeypatch) as hints:
                    await in_thread(say, ada, talk, "late")
                    await in_thread(say, ada, talk, "lost")
                late.append(hints[0])
                for body in ("late", "lost"):
                    told = await heard(socket, "message.created")
                    assert told["message"]["message_body"] == body

        asyncio.run(scene())
        assert not faults


class TestAudiences:
    def asked(self, monkeypatch):
        """Which conversations are asked for, each time."""
        asked = []
        for module, call in ((express_listening, "find_audiences"), (listening, "find_audiences")):
            monkeypatch.setattr(module, call, self.noting(asked, getattr(module, call)))
        return asked

    @staticmethod
    def noting(asked, call):
        def noted(conversation_ids):
            asked.append(set(conversation_ids))
            return call(conversation_ids)

        return noted

    def in_loop(self, scene):
        async def run():
            thread = Threads("audiences", most=1)
            known = Audiences(thread)
            try:
                return await scene(known)
            finally:
                known.close()
                await thread.close()
                await close_database()

        return asyncio.run(run())

    def test_are_asked_for_once_in_a_while(self, ada, ben, cyd, monkeypatch):
        one, other = group(ada, ben), group(ada, cyd)
        asked = self.asked(monkeypatch)

        async def scene(known):
            assert set(await known.of([one])) == {one}
            assert set(await known.of([one, other])) == {one, other}
            await known.of([one, other])
            monkeypatch.setattr(known._loop, "time", lambda: 10**9, raising=False)
            await known.of([one])

        self.in_loop(scene)
        assert asked == [{one}, {other}, {one}]

    def test_leave_large_conversations_out_and_ask_no_more(self, ada, ben, cyd, monkeypatch):
        sql = listening.AUDIENCE_SQL.replace(f"<= {listening.MOST_MEMBERS}", "<= 2")
        monkeypatch.setattr(listening, "AUDIENCE_SQL", sql)
        chosen = "c.conversation_id = ANY(%s::uuid[])"
        monkeypatch.setattr(express_listening, "AUDIENCES", sql.format(chosen=chosen))
        small, large = group(ada, ben), group(ada, ben, cyd)
        asked = self.asked(monkeypatch)

        async def scene(known):
            assert set(await known.of([small, large])) == {small}
            assert set(await known.of([small, large])) == {small}

        self.in_loop(scene)
        assert asked == [{small, large}]

    def test_do_not_outlive_a_change_of_a_user(self, ada, ben):
        talk = group(ada, ben)

        def rename():
            user = User.objects.get(user_id=ben.user_id)
            user.first_name = "Benjamin"
            user.save()

        async def scene(known):
            await known.of([talk])
            await in_thread(rename)
            [audience] = (await known.of([talk])).values()
            assert audience.people[ben.user_id].first_name == "Benjamin"

        self.in_loop(scene)

    def test_are_not_kept_without_end(self, ada, ben, monkeypatch):
        monkeypatch.setattr(audiences, "MOST_PEOPLE", 7)
        talks = [group(ada, ben) for _ in range(5)]

        async def scene(known):
            for talk in talks:
                await known.of([talk])
                assert sum(len(found.people) for _, found in known._known.values()) <= 7

        self.in_loop(scene)


def test_heard_is_how_far_what_was_said_goes(ada, ben, monkeypatch):
    talk = group(ada, ben)
    before = heard_of(talk)
    with hearing(monkeypatch) as hints:
        last = say(ada, talk)

    [(reached, _)] = at_once(Want(talk, before, hints), [ben.user_id]).values()

    assert reached == Heard(last.revision, last.seq, before.members_rev) == heard_of(talk)
