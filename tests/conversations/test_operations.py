import pytest

from parley.conversations import operations, queries
from parley.conversations.models import Conversation, Participant
from parley.kernel.errors import NotFound
from parley.messaging import queries as messaging
from tests.talk import direct, group, history, in_parallel, say, unread, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def members(viewer, conversation_id):
    page = queries.list_participants(
        viewer=viewer, conversation_id=conversation_id, position=None, size=50
    )
    return [(p.user_id, p.member_role) for p in page.items]


class TestCreateConversation:
    def test_gives_a_pair_its_one_direct_conversation(self, ada, ben):
        first, is_new = operations.create_conversation(creator=ada, participant_ids=[ben.user_id])
        again, is_new_again = operations.create_conversation(
            creator=ben, participant_ids=[ada.user_id, ada.user_id, ben.user_id]
        )

        assert (first, is_new, is_new_again) == (again, True, False)

    def test_gives_the_pair_one_even_when_both_open_it_at_once(self, ada, ben):
        opened = in_parallel([lambda: direct(ada, ben), lambda: direct(ben, ada)] * 4)

        assert len(set(opened)) == 1
        assert Conversation.objects.count() == 1
        assert Participant.objects.count() == 2

    def test_makes_a_titled_pair_a_group_that_its_creator_owns(self, ada, ben):
        made, is_new = operations.create_conversation(
            creator=ada, participant_ids=[ben.user_id], title="Lunch"
        )

        assert is_new
        assert messaging.get_conversation(viewer=ben, conversation_id=made).kind == "group"
        assert dict(members(ben, made)) == {ada.user_id: "owner", ben.user_id: "member"}

    def test_of_oneself_alone_has_one_participant(self, ada):
        made, _ = operations.create_conversation(creator=ada, participant_ids=[])

        assert members(ada, made) == [(ada.user_id, "member")]

    def test_refuses_a_direct_one_with_a_title_or_a_crowd(self, ada, ben, cyd):
        with pytest.raises(operations.KindMismatch):
            operations.create_conversation(
                creator=ada, participant_ids=[ben.user_id], kind="direct", title="No"
            )
        with pytest.raises(operations.KindMismatch):
            operations.create_conversation(
                creator=ada, participant_ids=[ben.user_id, cyd.user_id], kind="direct"
            )

        assert not Conversation.objects.exists()

    def test_refuses_someone_unknown_and_keeps_nothing(self, ada, ben):
        ben.is_active = False
        ben.save(update_fields=["is_active"])

        with pytest.raises(operations.UnknownParticipant) as refused:
            operations.create_conversation(creator=ada, participant_ids=[ben.user_id])

        assert refused.value.attr == "participants"
        assert not Conversation.objects.exists()

    def test_refuses_a_new_direct_one_with_someone_who_blocked_the_creator(self, ada, ben):
        operations.block(blocker=ben, user_id=ada.user_id)

        with pytest.raises(operations.Blocked):
            direct(ada, ben)
        assert direct(ben, ada)


class TestGroup:
    def test_shows_a_newcomer_the_whole_history_with_nothing_unread(self, ada, ben, cyd):
        talk = group(ada, ben)
        for _ in range(3):
            say(ada, talk)

        operations.add_participant(actor=ada, conversation_id=talk, user_id=cyd.user_id)

        assert len(history(cyd, talk)) == 3
        assert unread(cyd) == 0

    def test_forgets_what_someone_kept_unread_when_they_join_again(self, ada, ben):
        talk = group(ada, ben)
        first = say(ada, talk)
        from parley.messaging.operations import read_up_to, set_message_read

        read_up_to(viewer=ben, conversation_id=talk)
        set_message_read(viewer=ben, message_id=first.message_id, read=False)
        assert unread(ben) == 1
        operations.leave(viewer=ben, conversation_id=talk)

        operations.add_participant(actor=ada, conversation_id=talk, user_id=ben.user_id)

        assert unread(ben) == 0

    def test_lets_only_an_owner_change_it(self, ada, ben, cyd, mallory):
        talk = group(ada, ben)

        for change in (
            lambda who: operations.add_participant(
                actor=who, conversation_id=talk, user_id=cyd.user_id
            ),
            lambda who: operations.change_conversation(actor=who, conversation_id=talk, title="x"),
            lambda who: operations.remove_participant(
                actor=who, conversation_id=talk, user_id=ada.user_id
            ),
            lambda who: operations.set_member_role(
                actor=who, conversation_id=talk, user_id=ben.user_id, member_role="owner"
            ),
        ):
            with pytest.raises(operations.NotAnOwner):
                change(ben)
            with pytest.raises(operations.ConversationNotFound):
                change(mallory)

        assert dict(members(ada, talk)) == {ada.user_id: "owner", ben.user_id: "member"}

    def test_has_no_owner_when_it_is_direct(self, ada, ben, cyd):
        talk = direct(ada, ben)

        with pytest.raises(operations.NotAnOwner):
            operations.add_participant(actor=ada, conversation_id=talk, user_id=cyd.user_id)

    def test_passes_to_the_longest_standing_member_when_the_last_owner_leaves(self, ada, ben, cyd):
        talk = group(ada, ben)
        operations.add_participant(actor=ada, conversation_id=talk, user_id=cyd.user_id)

        operations.leave(viewer=ada, conversation_id=talk)

        assert members(cyd, talk) == [(ben.user_id, "owner"), (cyd.user_id, "member")]

    def test_keeps_an_owner(self, ada, ben):
        talk = group(ada, ben)

        with pytest.raises(operations.LastOwner):
            operations.set_member_role(
                actor=ada, conversation_id=talk, user_id=ada.user_id, member_role="member"
            )
        operations.set_member_role(
            actor=ada, conversation_id=talk, user_id=ben.user_id, member_role="owner"
        )
        operations.set_member_role(
            actor=ada, conversation_id=talk, user_id=ada.user_id, member_role="member"
        )

        assert dict(members(ada, talk)) == {ada.user_id: "member", ben.user_id: "owner"}

    def test_takes_a_whole_new_list_of_participants_in_one_revision_each_way(self, ada, ben, cyd):
        talk = group(ada, ben)
        before = messaging.get_conversation(viewer=ada, conversation_id=talk).revision

        operations.change_conversation(
            actor=ada, conversation_id=talk, title="Trip", participant_ids=[cyd.user_id]
        )

        after = messaging.get_conversation(viewer=ada, conversation_id=talk)
        assert {p.user_id for p in after.participants} == {ada.user_id, cyd.user_id}
        assert (after.title, after.participant_count, after.revision) == ("Trip", 2, before + 3)
        with pytest.raises(NotFound):
            messaging.get_conversation(viewer=ben, conversation_id=talk)

    def test_refuses_someone_who_is_in_it_already(self, ada, ben):
        talk = group(ada, ben)

        with pytest.raises(operations.AlreadyParticipant):
            operations.add_participant(actor=ada, conversation_id=talk, user_id=ben.user_id)

    def test_counts_its_members_right_after_joins_and_leaves_at_once(self, person, ada):
        people = [person(f"guest{n}") for n in range(6)]
        talk = group(ada, *people[:3])

        def add(user):
            operations.add_participant(actor=ada, conversation_id=talk, user_id=user.user_id)

        in_parallel(
            [lambda u=u: operations.leave(viewer=u, conversation_id=talk) for u in people[:3]]
            + [lambda u=u: add(u) for u in people[3:]]
        )

        found = messaging.get_conversation(viewer=ada, conversation_id=talk)
        assert found.participant_count == len(members(ada, talk)) == 4


class TestLeaveDirect:
    def test_hides_it_until_the_next_message_and_keeps_the_past_hidden(self, ada, ben):
        talk = write_to(ada, ben).conversation_id

        operations.leave(viewer=ben, conversation_id=talk)

        assert unread(ben) == 0
        with pytest.raises(NotFound):
            messaging.get_conversation(viewer=ben, conversation_id=talk)
        news = say(ada, talk, "again")
        assert [m.message_id for m in history(ben, talk)] == [news.message_id]
        assert unread(ben) == 1
        assert len(history(ada, talk)) == 2

    def test_is_not_seen_by_the_other(self, ada, ben):
        talk = write_to(ada, ben).conversation_id
        before = messaging.get_conversation(viewer=ada, conversation_id=talk)

        operations.leave(viewer=ben, conversation_id=talk)

        after = messaging.get_conversation(viewer=ada, conversation_id=talk)
        assert (after.revision, after.participant_count) == (before.revision, 2)
        assert len(after.participants) == 2

    def test_is_undone_for_oneself_by_opening_it_again(self, ada, ben):
        talk = write_to(ada, ben).conversation_id
        operations.leave(viewer=ben, conversation_id=talk)

        assert direct(ben, ada) == talk
        assert history(ben, talk) == []


class TestBlock:
    def test_stops_direct_messages_one_way_and_leaves_groups_alone(self, ada, ben, cyd):
        talk, round_table = direct(ada, ben), group(ada, ben, cyd)
        operations.block(blocker=ben, user_id=ada.user_id)

        with pytest.raises(operations.Blocked):
            say(ada, talk)
        with pytest.raises(operations.Blocked):
            write_to(ada, ben)
        assert say(ben, talk).seq == 1
        assert say(ada, round_table).seq == 1

        operations.unblock(blocker=ben, user_id=ada.user_id)
        assert say(ada, talk).seq == 2

    def test_lets_nothing_through_once_it_has_answered(self, person):
        """Whether the conversation stands or is only being opened, by real threads."""
        for n in range(8):
            ada, ben = person(f"ada{n}"), person(f"ben{n}")
            if n % 2:
                direct(ada, ben)

            def close_the_door(ada=ada, ben=ben):
                operations.block(blocker=ben, user_id=ada.user_id)
                return unread_or_none(ben)

            _, at_answer = in_parallel(
                [lambda ada=ada, ben=ben: write_to(ada, ben), close_the_door]
            )
            assert unread_or_none(ben) == at_answer

    def test_of_oneself_or_nobody_is_refused(self, ada):
        with pytest.raises(operations.NotOneself):
            operations.block(blocker=ada, user_id=ada.user_id)
        with pytest.raises(NotFound):
            operations.block(blocker=ada, user_id=direct(ada, ada))

    def test_twice_is_once(self, ada, ben):
        in_parallel([lambda: operations.block(blocker=ada, user_id=ben.user_id)] * 4)

        page = queries.list_blocks(viewer=ada, position=None, size=5)
        assert [b.user_id for b in page.items] == [ben.user_id]


def unread_or_none(viewer):
    return messaging.count_unread(viewer=viewer).messages


class TestListParticipants:
    def test_walks_both_ways(self, person, ada):
        talk = group(ada, *[person(f"guest{n}") for n in range(5)])

        def page(position):
            return queries.list_participants(
                viewer=ada, conversation_id=talk, position=position, size=2
            )

        first = page(None)
        second = page(first.next)
        third = page(second.next)

        everyone = [p.user_id for p in [*first.items, *second.items, *third.items]]
        assert len(set(everyone)) == 6
        assert third.next is None
        assert page(third.previous).items == second.items
        assert page(page(third.previous).previous).items == first.items
