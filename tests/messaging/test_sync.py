"""Sync: everything that changed since a cursor, no more and no less, page by page."""

from datetime import timedelta

import pytest
from django.utils import timezone

from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.messaging import operations
from parley.messaging import sync as module
from parley.messaging.cursors import Cursor
from parley.messaging.drafts import Draft
from parley.messaging.seen import News
from parley.messaging.sync import sync
from tests.promises.client import Client
from tests.talk import direct, group, history, say, unread, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _no_ticks(monkeypatch):
    """Only the tests tick."""
    monkeypatch.setattr(module.ticker, "tick", lambda: None)


@pytest.fixture(params=["settled", "unsettled"])
def cursor(request):
    """Return a cursor that has everything up to now; whether that is settled must not matter."""

    def after(viewer) -> str:
        if request.param == "settled":
            tick()
        return sync(viewer=viewer, limit=200).cursor

    return after


def tick() -> None:
    fence.tick(unless_within=timedelta(0))


def bodies(news: News) -> list[str]:
    return [m.message_body for c in news.conversations for m in c.messages]


def is_empty(news: News) -> bool:
    return not (news.conversations or news.marks or news.removed or news.left or news.more)


def pages(viewer, cursor, limit) -> list[News]:
    """A whole pass."""
    found = [sync(viewer=viewer, cursor=cursor, limit=limit)]
    while found[-1].more:
        found.append(sync(viewer=viewer, cursor=found[-1].cursor, limit=limit))
    return found


class TestFirstSnapshot:
    def test_of_someone_new_is_empty_and_gives_a_cursor(self, ada):
        news = sync(viewer=ada)

        assert is_empty(news)
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    def test_gives_each_conversation_with_its_newest_twenty(self, ada, ben, cyd):
        long, short = direct(ada, ben), direct(ada, cyd)
        for n in range(25):
            say(ben, long, f"{n}")
        say(cyd, short, "hi")

        news = sync(viewer=ada, limit=200)

        found = {c.conversation_id: c for c in news.conversations}
        assert [m.seq for m in found[long].messages] == list(range(6, 26))
        assert [m.message_body for m in found[short].messages] == ["hi"]
        assert (found[long].unread_count, found[long].last_seq) == (25, 25)
        assert not any(c.reset for c in news.conversations)
        assert (news.marks, news.removed, news.left, news.more) == ([], [], [], False)

    def test_leaves_out_what_is_not_mine_to_see(self, ada, ben, cyd, mallory):
        write_to(ben, cyd)
        left, mine = group(ben, ada), direct(ada, ben)
        say(ben, left)
        conversations.leave(viewer=ada, conversation_id=left)
        removed = say(ben, mine, "removed")
        say(ben, mine, "kept")
        operations.remove_message(viewer=ada, message_id=removed.message_id)

        assert bodies(sync(viewer=ada)) == ["kept"]
        assert is_empty(sync(viewer=mallory))

    def test_walks_through_many_conversations_a_page_at_a_time(self, ada, ben):
        talks = [group(ada, ben) for _ in range(9)]
        for talk in talks:
            say(ben, talk)
            say(ben, talk)

        found = pages(ada, None, 4)

        assert [len(p.conversations) for p in found] == [2, 2, 2, 2, 1]
        assert {c.conversation_id for p in found for c in p.conversations} == {*talks}
        assert is_empty(sync(viewer=ada, cursor=found[-1].cursor))

    def test_that_is_long_misses_nothing_that_happens_meanwhile(self, ada, ben):
        talks = [group(ada, ben) for _ in range(6)]
        client = Client(ada)
        client.step(limit=1)
        client.step(limit=1)
        for talk in talks:
            say(ben, talk)
        conversations.leave(viewer=ada, conversation_id=talks[0])
        tick()
        group(ada, ben)

        client.catch_up(limit=1)

        client.check_against_a_fresh_one()


class TestNews:
    def test_is_a_new_message_and_its_conversation_and_comes_once(self, ada, ben, cursor):
        talk, _ = direct(ada, ben), group(ada, ben)
        say(ben, talk, "old")
        since = cursor(ada)
        say(ben, talk, "new")

        news = sync(viewer=ada, cursor=since)

        [seen] = news.conversations
        assert bodies(news) == ["new"]
        assert (seen.conversation_id, seen.unread_count, seen.reset) == (talk, 2, False)
        assert seen.last_message == seen.messages[-1]
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    def test_is_what_i_said_on_another_device(self, ada, ben, cursor):
        talk = direct(ada, ben)
        since = cursor(ada)
        say(ada, talk, "mine")

        news = sync(viewer=ada, cursor=since)

        assert [m.read for c in news.conversations for m in c.messages] == [True]

    def test_is_an_edit_with_its_new_revision(self, ada, ben, cursor):
        talk = direct(ada, ben)
        said = say(ben, talk, "wrog")
        say(ben, talk)
        since = cursor(ada)
        operations.edit_message(editor=ben, message_id=said.message_id, message_body="wrong")

        [seen] = sync(viewer=ada, cursor=since).conversations

        assert [(m.seq, m.message_body, m.revision) for m in seen.messages] == [(1, "wrong", 3)]

    def test_is_a_tombstone(self, ada, ben, cursor):
        said = write_to(ben, ada, body="oh no", subject="secret")
        since = cursor(ada)
        operations.retract_message(actor=ben, message_id=said.message_id)

        [seen] = sync(viewer=ada, cursor=since).conversations

        [tombstone] = seen.messages
        assert (tombstone.seq, tombstone.message_body, tombstone.subject) == (1, "", "")
        assert tombstone.retracted_at is not None
        assert seen.unread_count == 0

    def test_is_my_own_reading_without_any_message(self, ada, ben, cursor):
        talk = direct(ada, ben)
        say(ben, talk)
        since = cursor(ada)
        operations.read_up_to(viewer=ada, conversation_id=talk)

        [seen] = sync(viewer=ada, cursor=since).conversations

        assert (seen.messages, seen.me.watermark, seen.unread_count) == ([], 1, 0)

    def test_is_my_marks_and_only_those_that_changed(self, ada, ben, cursor):
        talk = direct(ada, ben)
        one, two, three, four = (say(ben, talk) for _ in range(4))
        operations.set_message_starred(viewer=ada, message_id=one.message_id, starred=True)
        operations.set_message_starred(viewer=ada, message_id=two.message_id, starred=True)
        since = cursor(ada)
        operations.set_message_starred(viewer=ada, message_id=two.message_id, starred=False)
        operations.set_message_read(viewer=ada, message_id=three.message_id, read=True)
        operations.remove_message(viewer=ada, message_id=four.message_id)

        news = sync(viewer=ada, cursor=since)

        assert [(m.message_id, m.read, m.starred) for m in news.marks] == [
            (two.message_id, False, False),
            (three.message_id, True, False),
        ]
        assert news.removed == [(talk, four.message_id)]
        assert bodies(news) == []
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    def test_is_a_message_kept_unread(self, ada, ben, cursor):
        talk = direct(ada, ben)
        said = say(ben, talk)
        operations.read_up_to(viewer=ada, conversation_id=talk)
        since = cursor(ada)
        operations.set_message_read(viewer=ada, message_id=said.message_id, read=False)

        news = sync(viewer=ada, cursor=since)

        assert [(m.message_id, m.read) for m in news.marks] == [(said.message_id, False)]
        assert [c.unread_count for c in news.conversations] == [1] == [unread(ada)]

    def test_never_brings_back_what_i_removed(self, ada, ben, cursor):
        talk = direct(ada, ben)
        said = say(ben, talk, "unwanted")
        operations.remove_message(viewer=ada, message_id=said.message_id)
        since = cursor(ada)
        operations.edit_message(editor=ben, message_id=said.message_id, message_body="again")
        say(ben, talk, "other")

        assert bodies(sync(viewer=ada, cursor=since)) == ["other"]

    @pytest.mark.parametrize("name", ["muted_until", "archived_at", "pinned_at"])
    def test_is_what_i_set_for_myself(self, ada, ben, cursor, name):
        talk = direct(ada, ben)
        since = cursor(ada)
        value = timezone.now() + timedelta(hours=1)
        conversations.set_own(viewer=ada, conversation_id=talk, **{name: value})

        [seen] = sync(viewer=ada, cursor=since).conversations

        assert getattr(seen.me, name) == value
        assert is_empty(sync(viewer=ben, cursor=cursor(ben)))

    def test_is_not_how_far_the_others_have_read(self, ada, ben, cursor):
        talk = direct(ada, ben)
        say(ada, talk)
        since = cursor(ada)
        operations.read_up_to(viewer=ben, conversation_id=talk)
        operations.set_delivered(viewer=ben, conversation_id=talk, seq=1)

        assert is_empty(sync(viewer=ada, cursor=since))

    def test_is_a_new_title_and_a_new_member(self, ada, ben, cyd, cursor):
        talk = group(ben, ada)
        since = cursor(ada)
        conversations.change_conversation(
            actor=ben,
            conversation_id=talk,
            title="plans",
            participant_ids=[ada.user_id, cyd.user_id],
        )

        [seen] = sync(viewer=ada, cursor=since).conversations

        assert (seen.title, seen.participant_count, seen.messages) == ("plans", 3, [])
        assert not seen.reset

    def test_is_nothing_to_a_stranger(self, ada, ben, mallory, cursor):
        since = cursor(mallory)
        write_to(ada, ben)

        assert is_empty(sync(viewer=mallory, cursor=since))


class TestComingAndGoing:
    def test_brings_a_new_conversation_whole(self, ada, ben, cursor):
        since = cursor(ada)
        for n in range(25):
            write_to(ben, ada, body=f"{n}")

        news = sync(viewer=ada, cursor=since, limit=1)

        [seen] = news.conversations
        assert seen.reset
        assert bodies(news) == [f"{n}" for n in range(5, 25)]
        assert not news.more
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    def test_then_goes_on_with_single_messages(self, ada, ben, cursor):
        since = cursor(ada)
        write_to(ben, ada, body="one")
        since = sync(viewer=ada, cursor=since).cursor
        write_to(ben, ada, body="two")

        news = sync(viewer=ada, cursor=since)

        assert bodies(news) == ["two"]
        assert not news.conversations[0].reset

    def test_tells_that_i_left_and_nothing_that_was_said_since(self, ada, ben, cursor):
        talk = group(ben, ada)
        since = cursor(ada)
        say(ben, talk, "before")
        conversations.leave(viewer=ada, conversation_id=talk)
        say(ben, talk, "behind my back")

        news = sync(viewer=ada, cursor=since)

        assert (news.left, news.conversations) == ([talk], [])
        assert is_empty(sync(viewer=ada, cursor=news.cursor))
        say(ben, talk, "more of it")
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    def test_tells_that_i_was_sent_away(self, ada, ben, cursor):
        talk = group(ben, ada)
        since = cursor(ada)
        conversations.remove_participant(actor=ben, conversation_id=talk, user_id=ada.user_id)

        assert sync(viewer=ada, cursor=since).left == [talk]

    @pytest.mark.parametrize("told", [True, False])
    def test_brings_a_group_whole_to_whom_it_is_new_again(self, ada, ben, cursor, told):
        talk = group(ben, ada)
        say(ben, talk, "one")
        since = cursor(ada)
        conversations.leave(viewer=ada, conversation_id=talk)
        say(ben, talk, "two")
        if told:
            since = sync(viewer=ada, cursor=since).cursor
        conversations.add_participant(actor=ben, conversation_id=talk, user_id=ada.user_id)
        say(ben, talk, "three")

        news = sync(viewer=ada, cursor=since)

        assert [c.reset for c in news.conversations] == [True]
        assert bodies(news) == ["one", "two", "three"]
        assert news.left == []
        assert news.conversations[0].unread_count == 1
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    @pytest.mark.parametrize("told", [True, False])
    @pytest.mark.parametrize("by_message", [True, False])
    def test_brings_a_hidden_direct_conversation_without_what_was_hidden(
        self, ada, ben, cursor, told, by_message
    ):
        talk = direct(ada, ben)
        say(ben, talk, "hidden")
        since = cursor(ada)
        conversations.leave(viewer=ada, conversation_id=talk)
        if told:
            news = sync(viewer=ada, cursor=since)
            assert news.left == [talk]
            since = news.cursor
        if by_message:
            say(ben, talk, "hello again")
        else:
            direct(ada, ben)

        news = sync(viewer=ada, cursor=since)

        assert [c.reset for c in news.conversations] == [True]
        assert bodies(news) == (["hello again"] if by_message else [])
        assert is_empty(sync(viewer=ada, cursor=news.cursor))

    def test_never_brings_an_edit_of_what_was_hidden(self, ada, ben, cursor):
        talk = direct(ada, ben)
        said = say(ben, talk, "hidden")
        conversations.leave(viewer=ada, conversation_id=talk)
        say(ben, talk, "hello again")
        since = cursor(ada)
        operations.edit_message(editor=ben, message_id=said.message_id, message_body="boo")

        assert bodies(sync(viewer=ada, cursor=since)) == []


class TestPages:
    @pytest.mark.parametrize("limit", [1, 3, 7, 200])
    def test_cut_by_revision_and_go_on_until_all_is_given_once(self, ada, ben, cursor, limit):
        talks = [group(ben, ada) for _ in range(3)]
        first = [say(ben, talk) for talk in talks]
        since = cursor(ada)
        for talk, said in zip(talks, first, strict=True):
            for n in range(5):
                say(ben, talk, f"{n}")
            operations.edit_message(editor=ben, message_id=said.message_id, message_body="x")

        found = pages(ada, since, limit)

        came = [
            (m.conversation_id, m.revision)
            for p in found
            for c in p.conversations
            for m in c.messages
        ]
        assert sorted(came) == sorted((talk, r) for talk in talks for r in range(2, 8))
        assert [r for _, r in came] == [2, 3, 4, 5, 6, 7] * 3
        assert all(len(bodies(p)) <= limit for p in found)
        assert is_empty(sync(viewer=ada, cursor=found[-1].cursor))

    @pytest.mark.parametrize("limit", [1, 4, 200])
    def test_cut_marks_even_those_of_one_change(self, ada, ben, cursor, limit):
        """Reading up to the end takes "unread" from many messages at once."""
        talk = direct(ada, ben)
        said = [say(ben, talk) for _ in range(6)]
        operations.read_up_to(viewer=ada, conversation_id=talk)
        for message in said:
            operations.set_message_read(viewer=ada, message_id=message.message_id, read=False)
        since = cursor(ada)
        operations.read_up_to(viewer=ada, conversation_id=talk)

        found = pages(ada, since, limit)

        marks = [(m.message_id, m.read) for p in found for m in p.marks]
        assert marks == [(m.message_id, True) for m in said]
        assert all(len(p.marks) <= limit for p in found)
        assert is_empty(sync(viewer=ada, cursor=found[-1].cursor))

    def test_of_own_changes_alone_hold_at_most_so_many_conversations(self, ada, ben, cursor):
        talks = [group(ada, ben) for _ in range(7)]
        since = cursor(ada)
        for talk in talks:
            conversations.set_own(viewer=ada, conversation_id=talk, pinned_at=timezone.now())

        found = pages(ada, since, 3)

        assert [len(p.conversations) for p in found] == [3, 3, 1]

    def test_take_up_a_conversation_that_was_left_while_half_given(self, ada, ben, cursor):
        talk = group(ben, ada)
        since = cursor(ada)
        for _ in range(4):
            say(ben, talk)
        half = sync(viewer=ada, cursor=since, limit=2)
        conversations.leave(viewer=ada, conversation_id=talk)

        news = sync(viewer=ada, cursor=half.cursor, limit=2)

        assert (news.left, news.conversations, news.more) == ([talk], [], False)

    def test_go_on_with_what_changed_again_while_half_given(self, ada, ben, cursor):
        talk, other = group(ben, ada), group(ben, ada)
        since = cursor(ada)
        said = [say(ben, talk, f"{n}") for n in range(4)]
        say(ben, other, "other")
        half = sync(viewer=ada, cursor=since, limit=2)
        tick()
        operations.edit_message(editor=ben, message_id=said[3].message_id, message_body="3!")
        operations.edit_message(editor=ben, message_id=said[0].message_id, message_body="0!")

        rest = pages(ada, half.cursor, 2)

        assert bodies(half) == ["0", "1"]
        came = [body for p in rest for body in bodies(p)]
        assert came[:3] == ["2", "3!", "0!"]
        assert "other" in came

    @pytest.mark.parametrize("place", [0, 1])
    def test_end_with_what_was_settled_when_the_first_of_them_began(self, ada, ben, place):
        """What changes meanwhile may come to stand before the place where the pass is."""
        talks = [group(ben, ada) for _ in range(2)]
        given, other = talks[place], talks[1 - place]
        tick()
        since = sync(viewer=ada).cursor
        say(ben, given, "one")
        say(ben, given, "two")
        first = sync(viewer=ada, cursor=since, limit=1)
        say(ben, other, "meanwhile")
        tick()

        found = [first, *pages(ada, first.cursor, 1)]
        again = sync(viewer=ada, cursor=found[-1].cursor)

        assert {b for p in (*found, again) for b in bodies(p)} == {"one", "two", "meanwhile"}

    @pytest.mark.parametrize(("limit", "held"), [(-1, 1), (0, 1), (1, 1), (10_000, 200)])
    def test_hold_between_one_and_two_hundred_messages(self, ada, ben, cursor, limit, held):
        talk = group(ben, ada)
        since = cursor(ada)
        operations.send_many(
            [Draft(ben.user_id, f"{n}", conversation_id=talk) for n in range(210)],
        )

        assert len(bodies(sync(viewer=ada, cursor=since, limit=limit))) == held


class TestLongAbsence:
    def test_finds_where_it_begins_in_a_long_history(self, ada, ben):
        """The first change after the cursor is searched, in a history of many changes."""
        talk = direct(ada, ben)
        since = []
        for n in range(40):
            said = say(ben, talk, f"{n}")
            operations.set_message_starred(viewer=ada, message_id=said.message_id, starred=True)
            if n % 7 == 0:
                operations.edit_message(editor=ben, message_id=said.message_id, message_body=f"{n}")
            if n % 10 == 9:
                conversations.set_own(viewer=ada, conversation_id=talk, pinned_at=timezone.now())
            tick()
            since.append(sync(viewer=ada).cursor)
            tick()

        for n, cursor in enumerate(since):
            found = pages(ada, cursor, 30)
            assert [b for p in found for b in bodies(p)] == [f"{m}" for m in range(n + 1, 40)]
            assert len([m for p in found for m in p.marks]) == 39 - n

    def test_is_good_for_ever_from_any_cursor_that_was_ever_given(self, ada, ben, cyd):
        talk, both = direct(ada, ben), group(ben, ada, cyd)
        client = Client(ada)
        client.step(limit=2)
        for n in range(12):
            said = say(ben, (talk, both)[n % 2])
            operations.set_message_read(viewer=ada, message_id=said.message_id, read=True)
            client.step(limit=2)
            if n % 3 == 0:
                tick()

        for back in range(len(client.cursors)):
            again = Client(ada, client.copies, client.cursors[: back + 1], more=True)
            again.catch_up(limit=3)
            again.check_against_a_fresh_one()


class TestUnsettled:
    def test_changes_come_once_while_the_cursor_can_note_them(self, ada, ben):
        talks = [group(ben, ada) for _ in range(64)]
        since = sync(viewer=ada, limit=200).cursor
        for talk in talks:
            say(ben, talk)

        news = sync(viewer=ada, cursor=since, limit=200)

        assert len(bodies(news)) == 64
        assert len(news.cursor) <= 2048
        assert is_empty(sync(viewer=ada, cursor=news.cursor, limit=200))

    def test_changes_beyond_that_may_come_again_and_are_never_missed(self, ada, ben):
        talks = [group(ben, ada) for _ in range(70)]
        tick()
        since = sync(viewer=ada, limit=200).cursor
        for talk in talks:
            say(ben, talk)

        news = sync(viewer=ada, cursor=since, limit=200)
        again = sync(viewer=ada, cursor=news.cursor, limit=200)

        assert len(bodies(news)) == 70
        assert len(bodies(again)) == 6
        tick()
        settled = sync(viewer=ada, cursor=again.cursor, limit=200)
        assert is_empty(sync(viewer=ada, cursor=settled.cursor, limit=200))

    def test_is_no_more_noted_once_it_is_settled(self, ada, ben):
        write_to(ben, ada)
        before = sync(viewer=ada).cursor
        tick()
        after = sync(viewer=ada, cursor=before).cursor

        assert Cursor.read(before, ada.user_id).known
        assert not Cursor.read(after, ada.user_id).known
        assert len(history(ada, sync(viewer=ada).conversations[0].conversation_id)) == 1
