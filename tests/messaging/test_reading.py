import pytest

from parley.conversations import operations as conversations
from parley.kernel.errors import NotFound
from parley.messaging import operations, queries
from parley.messaging.models import Mark
from parley.messaging.refusals import (
    MayNotRetract,
    MessageNotFound,
    NotTheSender,
    OutOfRange,
    Retracted,
)
from tests.talk import direct, group, history, in_parallel, say, unread

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def talk(ada, ben):
    """Ada has said five things to ben."""
    found = direct(ada, ben)
    for n in range(5):
        say(ada, found, f"number {n + 1}")
    return found


def nth(viewer, talk, seq):
    return next(m.message_id for m in history(viewer, talk) if m.seq == seq)


def read_ones(viewer, talk):
    return [m.seq for m in history(viewer, talk) if m.read]


class TestReadUpTo:
    def test_moves_watermark_and_receipt_and_stops_at_the_last(self, ben, talk):
        assert operations.read_up_to(viewer=ben, conversation_id=talk, seq=2).unread_count == 3
        state = operations.read_up_to(viewer=ben, conversation_id=talk, seq=99)

        assert (state.read_seq, state.watermark, state.unread_count) == (5, 5, 0)

    def test_never_moves_back(self, ben, talk):
        operations.read_up_to(viewer=ben, conversation_id=talk)
        state = operations.read_up_to(viewer=ben, conversation_id=talk, seq=1)

        assert (state.read_seq, state.watermark) == (5, 5)

    def test_reads_what_was_kept_unread_below_it(self, ben, talk):
        operations.read_up_to(viewer=ben, conversation_id=talk)
        operations.set_message_read(viewer=ben, message_id=nth(ben, talk, 2), read=False)
        assert unread(ben) == 1

        operations.read_up_to(viewer=ben, conversation_id=talk, seq=3)

        assert unread(ben) == 0

    def test_passes_what_needs_no_reading(self, ada, ben, talk):
        operations.set_message_read(viewer=ben, message_id=nth(ben, talk, 3), read=True)
        operations.remove_message(viewer=ben, message_id=nth(ben, talk, 4))
        operations.retract_message(actor=ada, message_id=nth(ada, talk, 5))
        say(ben, talk)

        state = operations.read_up_to(viewer=ben, conversation_id=talk, seq=2)

        assert (state.watermark, state.read_seq, state.unread_count) == (6, 6, 0)

    def test_that_changes_nothing_leaves_no_trace(self, ben, talk):
        operations.read_up_to(viewer=ben, conversation_id=talk)
        before = conversations.Participant.objects.get(user=ben, conversation=talk).version

        operations.read_up_to(viewer=ben, conversation_id=talk)

        after = conversations.Participant.objects.get(user=ben, conversation=talk).version
        assert after == before

    def test_is_for_participants(self, mallory, talk):
        with pytest.raises(NotFound):
            operations.read_up_to(viewer=mallory, conversation_id=talk)

    def test_in_parallel_with_sends_counts_right(self, ada, ben, talk):
        def read():
            return operations.read_up_to(viewer=ben, conversation_id=talk)

        def one_out_of_order():
            found = history(ben, talk)[-1]
            return operations.set_message_read(viewer=ben, message_id=found.message_id, read=True)

        in_parallel([lambda: say(ada, talk), read, one_out_of_order] * 4)

        assert unread(ben) <= 4


class TestUnreadFrom:
    def test_makes_everything_from_there_unread_and_keeps_the_receipt(self, ben, talk):
        operations.read_up_to(viewer=ben, conversation_id=talk)

        state = operations.unread_from(viewer=ben, conversation_id=talk, seq=4)

        assert (state.read_seq, state.watermark, state.unread_count) == (5, 3, 2)
        assert read_ones(ben, talk) == [1, 2, 3]

    def test_takes_reading_marks_back(self, ben, talk):
        operations.set_message_read(viewer=ben, message_id=nth(ben, talk, 4), read=True)

        state = operations.unread_from(viewer=ben, conversation_id=talk, seq=2)

        assert (state.watermark, state.unread_count) == (0, 5)

    def test_refuses_to_begin_before_the_first(self, ben, talk):
        with pytest.raises(OutOfRange):
            operations.unread_from(viewer=ben, conversation_id=talk, seq=0)


class TestOneMessage:
    def test_read_out_of_order_is_remembered_and_closes_the_run(self, ben, talk):
        for seq in (3, 2):
            operations.set_message_read(viewer=ben, message_id=nth(ben, talk, seq), read=True)
        assert (read_ones(ben, talk), unread(ben)) == ([2, 3], 3)

        operations.set_message_read(viewer=ben, message_id=nth(ben, talk, 1), read=True)

        state = operations.read_up_to(viewer=ben, conversation_id=talk, seq=0)
        assert state.watermark == 3
        assert not Mark.objects.exclude(flags=0).exists()

    def test_kept_unread_stays_so_until_read(self, ben, talk):
        operations.read_up_to(viewer=ben, conversation_id=talk)

        kept = operations.set_message_read(viewer=ben, message_id=nth(ben, talk, 2), read=False)

        assert (kept.read, unread(ben)) == (False, 1)
        again = operations.set_message_read(viewer=ben, message_id=kept.message_id, read=True)
        assert (again.read, unread(ben)) == (True, 0)

    def test_of_ones_own_is_always_read(self, ada, talk):
        own = nth(ada, talk, 1)

        assert operations.set_message_read(viewer=ada, message_id=own, read=False).read
        assert not Mark.objects.exists()

    def test_starred_goes_to_the_starred_box_and_back(self, ben, talk):
        starred = operations.set_message_starred(
            viewer=ben, message_id=nth(ben, talk, 2), starred=True
        )

        assert starred.starred
        found = queries.list_messages(viewer=ben, starred_only=True, size=9).items
        assert [m.seq for m in found] == [2]
        operations.set_message_starred(viewer=ben, message_id=starred.message_id, starred=False)
        assert not queries.list_messages(viewer=ben, starred_only=True, size=9).items

    def test_is_hidden_from_an_outsider(self, ben, mallory, talk):
        message_id = nth(ben, talk, 1)

        for act in (
            lambda: queries.get_message(viewer=mallory, message_id=message_id),
            lambda: operations.set_message_read(viewer=mallory, message_id=message_id, read=True),
            lambda: operations.set_message_starred(
                viewer=mallory, message_id=message_id, starred=True
            ),
            lambda: operations.remove_message(viewer=mallory, message_id=message_id),
            lambda: operations.retract_message(actor=mallory, message_id=message_id),
            lambda: operations.edit_message(
                editor=mallory, message_id=message_id, message_body="x"
            ),
            lambda: queries.list_receipts(
                viewer=mallory, message_id=message_id, position=None, size=5
            ),
        ):
            with pytest.raises(MessageNotFound):
                act()


class TestRemove:
    def test_is_mine_alone(self, ada, ben, talk):
        gone = nth(ben, talk, 5)

        operations.remove_message(viewer=ben, message_id=gone)

        assert [m.seq for m in history(ben, talk)] == [1, 2, 3, 4]
        assert [m.seq for m in history(ada, talk)] == [1, 2, 3, 4, 5]
        assert unread(ben) == 4
        shown = queries.get_conversation(viewer=ben, conversation_id=talk)
        assert shown.last_message.seq == 4
        with pytest.raises(MessageNotFound):
            queries.get_message(viewer=ben, message_id=gone)

    def test_twice_is_refused_even_at_once(self, ben, talk):
        gone = nth(ben, talk, 2)

        answers = in_parallel([lambda: operations.remove_message(viewer=ben, message_id=gone)] * 4)

        assert sorted(type(a).__name__ for a in answers) == [
            "MessageNotFound",
            "MessageNotFound",
            "MessageNotFound",
            "NoneType",
        ]


class TestRetract:
    def test_empties_it_for_everybody_and_leaves_its_place(self, ada, ben, talk):
        gone = nth(ada, talk, 2)

        operations.retract_message(actor=ada, message_id=gone)
        operations.retract_message(actor=ada, message_id=gone)

        seen = queries.get_message(viewer=ben, message_id=gone)
        assert (seen.message_body, seen.subject, seen.seq) == ("", "", 2)
        assert seen.retracted_at is not None
        assert unread(ben) == 4

    def test_is_for_its_sender_an_owner_or_an_admin(self, ada, ben, cyd, admin):
        round_table = group(ada, ben, cyd)
        said = [say(ben, round_table) for _ in range(3)]

        with pytest.raises(MayNotRetract):
            operations.retract_message(actor=cyd, message_id=said[0].message_id)
        for actor, message in zip((ben, ada, admin), said, strict=True):
            operations.retract_message(actor=actor, message_id=message.message_id)

        assert all(m.retracted_at for m in history(cyd, round_table))

    def test_by_another_is_recorded(self, ada, ben, admin, talk):
        from parley.accounts.models import AuditEntry

        gone = nth(ada, talk, 1)
        operations.retract_message(actor=ada, message_id=nth(ada, talk, 2))

        operations.retract_message(actor=admin, message_id=gone)

        entry = AuditEntry.objects.get(action="message.retract")
        assert (entry.actor, entry.target_id) == (admin, str(gone))


class TestEdit:
    def test_changes_the_words_and_takes_the_next_revision(self, ada, ben, talk):
        operations.edit_message(editor=ada, message_id=nth(ada, talk, 1), message_body="better")

        [changed] = queries.list_history(
            viewer=ben, conversation_id=talk, changed_after=5, size=9
        ).items
        assert (changed.seq, changed.message_body, changed.revision) == (1, "better", 6)
        assert changed.edited_at is not None
        assert unread(ben) == 5

    def test_is_for_the_sender_and_not_after_retracting(self, ada, ben, talk):
        message_id = nth(ada, talk, 1)

        with pytest.raises(NotTheSender):
            operations.edit_message(editor=ben, message_id=message_id, message_body="x")
        operations.retract_message(actor=ada, message_id=message_id)
        with pytest.raises(Retracted):
            operations.edit_message(editor=ada, message_id=message_id, message_body="x")

    def test_in_parallel_gives_each_its_own_revision(self, ada, talk):
        message_id = nth(ada, talk, 1)

        edited = in_parallel(
            [
                lambda n=n: operations.edit_message(
                    editor=ada, message_id=message_id, message_body=f"version {n}"
                )
                for n in range(6)
            ]
        )

        assert sorted(m.revision for m in edited) == [6, 7, 8, 9, 10, 11]


class TestDelivered:
    def test_only_rises_and_follows_reading(self, ben, talk):
        assert operations.set_delivered(viewer=ben, conversation_id=talk, seq=3) == 3
        assert operations.set_delivered(viewer=ben, conversation_id=talk, seq=1) == 3

        operations.read_up_to(viewer=ben, conversation_id=talk)

        assert operations.set_delivered(viewer=ben, conversation_id=talk, seq=1) == 5


class TestReceipts:
    def test_show_reading_but_not_what_is_kept_unread(self, ada, ben, talk):
        first, last = nth(ada, talk, 1), nth(ada, talk, 5)
        operations.set_delivered(viewer=ben, conversation_id=talk, seq=5)
        operations.read_up_to(viewer=ben, conversation_id=talk, seq=2)
        operations.unread_from(viewer=ben, conversation_id=talk, seq=1)

        def receipt(message_id):
            page = queries.list_receipts(viewer=ada, message_id=message_id, position=None, size=5)
            [found] = page.items
            return found.delivered, found.read

        assert receipt(first) == (True, True)
        assert receipt(last) == (True, False)
        operations.set_message_read(viewer=ben, message_id=last, read=True)
        assert receipt(last) == (True, True)
