import pytest

from parley.conversations import operations as conversations
from parley.conversations.operations import ConversationNotFound
from parley.messaging import operations, queries
from tests.talk import direct, group, history, say, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def walk(page_at, *, size):
    """Walk a list to its end and back again; the way back shows the same."""
    pages = [page_at(None, size)]
    while pages[-1].next:
        pages.append(page_at(pages[-1].next, size))
    back = pages[-1]
    for page in reversed(pages[:-1]):
        back = page_at(back.previous, size)
        assert back.items == page.items
    assert back.previous is None
    return [item for page in pages for item in page.items]


class TestListConversations:
    def test_shows_the_latest_activity_first_and_each_once(self, ada, person):
        others = [person(f"guest{n}") for n in range(7)]
        talks = [write_to(other, ada).conversation_id for other in others]
        say(others[2], talks[2])

        def page(position, size):
            return queries.list_conversations(viewer=ada, position=position, size=size)

        found = [c.conversation_id for c in walk(page, size=3)]
        assert found == [talks[2], *[t for t in reversed(talks) if t != talks[2]]]

    def test_is_not_moved_by_edits_reads_or_joins(self, ada, ben, cyd):
        older = group(ada, ben)
        first = say(ada, older)
        newer = direct(ada, ben)
        say(ben, newer)

        operations.edit_message(editor=ada, message_id=first.message_id, message_body="x")
        operations.read_up_to(viewer=ada, conversation_id=older)
        conversations.add_participant(actor=ada, conversation_id=older, user_id=cyd.user_id)

        found = queries.list_conversations(viewer=ada, position=None, size=5).items
        assert [c.conversation_id for c in found] == [newer, older]

    def test_leaves_archived_ones_out_until_the_next_message(self, ada, ben, settings):
        from django.utils import timezone

        talk = write_to(ben, ada).conversation_id

        def listed(**filters):
            page = queries.list_conversations(viewer=ada, position=None, size=5, **filters)
            return [c.conversation_id for c in page.items]

        conversations.set_own(viewer=ada, conversation_id=talk, archived_at=timezone.now())
        assert (listed(), listed(archived=True)) == ([], [talk])
        say(ben, talk)
        assert (listed(), listed(archived=True)) == ([talk], [])
        shown = queries.get_conversation(viewer=ada, conversation_id=talk)
        assert shown.me.archived_at is None

    def test_filters_by_kind_and_by_unread(self, ada, ben, cyd):
        talk, round_table = direct(ada, ben), group(ada, ben, cyd)
        say(ben, talk)
        last = say(ben, round_table)
        operations.read_up_to(viewer=ada, conversation_id=round_table)

        def listed(**filters):
            page = queries.list_conversations(viewer=ada, position=None, size=5, **filters)
            return [c.conversation_id for c in page.items]

        assert listed(kind="group") == [round_table]
        assert listed(unread_only=True) == [talk]
        operations.set_message_read(viewer=ada, message_id=last.message_id, read=False)
        assert listed(unread_only=True) == [round_table, talk]

    def test_says_at_least_where_much_is_unread(self, ada, ben):
        talk = direct(ada, ben)
        for _ in range(101):
            say(ben, talk)

        [listed] = queries.list_conversations(viewer=ada, position=None, size=5).items
        shown = queries.get_conversation(viewer=ada, conversation_id=talk)

        assert (listed.unread_count, listed.unread_capped) == (100, True)
        assert (shown.unread_count, shown.unread_capped) == (101, False)

    @pytest.mark.parametrize("size", [2, 12])
    def test_costs_the_same_for_few_and_many(
        self, ada, ben, person, size, django_assert_num_queries
    ):
        for n in range(size):
            talk = write_to(person(f"guest{n}"), ada).conversation_id
            say(ada, talk)

        with django_assert_num_queries(7):
            page = queries.list_conversations(viewer=ada, position=None, size=50)
        assert len(page.items) == size


class TestHistory:
    def test_walks_newest_first_and_from_a_place(self, ada, ben):
        talk = direct(ada, ben)
        for _ in range(9):
            say(ada, talk)

        def seqs(**aim):
            found = queries.list_history(viewer=ben, conversation_id=talk, **aim).items
            return [m.seq for m in found]

        assert seqs(size=3) == [9, 8, 7]
        assert seqs(size=3, before=5) == [4, 3, 2]
        assert seqs(size=3, after=5) == [6, 7, 8]
        assert seqs(size=3, around=5) == [6, 5, 4]
        assert seqs(size=4, around=1) == [4, 3, 2, 1]
        assert seqs(size=4, around=9) == [9, 8, 7, 6]
        assert seqs(size=3, changed_after=7) == [8, 9]

        def page(position, size):
            return queries.list_history(
                viewer=ben, conversation_id=talk, position=position, size=size
            )

        assert [m.seq for m in walk(page, size=2)] == list(range(9, 0, -1))

    def test_fills_its_pages_past_what_was_removed(self, ada, ben):
        talk = direct(ada, ben)
        said = [say(ada, talk) for _ in range(8)]
        for message in said[2:7]:
            operations.remove_message(viewer=ben, message_id=message.message_id)

        shown = queries.get_conversation(viewer=ben, conversation_id=talk, messages=3)

        assert [m.seq for m in shown.messages] == [1, 2, 8]
        assert [m.seq for m in history(ben, talk)] == [1, 2, 8]

    def test_is_for_participants(self, ada, ben, mallory):
        talk = direct(ada, ben)

        with pytest.raises(ConversationNotFound):
            queries.list_history(viewer=mallory, conversation_id=talk, size=5)

    @pytest.mark.parametrize("size", [2, 30])
    def test_costs_the_same_for_few_and_many(self, ada, ben, size, django_assert_num_queries):
        talk = direct(ada, ben)
        for _ in range(size):
            say(ada, talk)

        with django_assert_num_queries(3):
            queries.list_history(viewer=ben, conversation_id=talk, size=50)


class TestListMessages:
    @pytest.fixture
    def talks(self, ada, ben, cyd):
        """Three conversations, spoken in by turns."""
        found = [direct(ada, ben), direct(ada, cyd), group(ada, ben, cyd)]
        for turn in range(4):
            for place, talk in enumerate(found):
                say([ben, cyd, ben][place] if turn % 2 else ada, talk, f"{place}.{turn}")
        return found

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, "2.3 1.3 0.3 2.2 1.2 0.2 2.1 1.1 0.1 2.0 1.0 0.0"),
            ({"box": "inbox"}, "2.3 1.3 0.3 2.1 1.1 0.1"),
            ({"box": "sent"}, "2.2 1.2 0.2 2.0 1.0 0.0"),
            ({"unread_only": True}, "2.3 1.3 0.3 2.1 1.1 0.1"),
            ({"box": "sent", "unread_only": True}, ""),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 5, 50])
    def test_merges_conversations_newest_first(self, ada, talks, filters, expected, size):
        def page(position, size):
            return queries.list_messages(viewer=ada, position=position, size=size, **filters)

        found = walk(page, size=size)

        assert " ".join(m.message_body for m in found) == expected

    def test_narrows_to_one_conversation_or_one_person(self, ada, ben, mallory, talks):
        def bodies(**filters):
            return [
                m.message_body for m in queries.list_messages(viewer=ada, size=50, **filters).items
            ]

        assert bodies(conversation_id=talks[1]) == ["1.3", "1.2", "1.1", "1.0"]
        assert bodies(with_user_id=ben.user_id, box="sent") == ["0.2", "0.0"]
        assert bodies(with_user_id=mallory.user_id) == []
        with pytest.raises(ConversationNotFound):
            queries.list_messages(viewer=mallory, size=5, conversation_id=talks[1])

    def test_shows_starred_ones_in_the_same_order(self, ada, talks):
        everything = queries.list_messages(viewer=ada, size=50).items
        for message in everything[::3]:
            operations.set_message_starred(viewer=ada, message_id=message.message_id, starred=True)

        def page(position, size):
            return queries.list_messages(
                viewer=ada, position=position, size=size, starred_only=True
            )

        found = walk(page, size=2)
        assert [m.message_id for m in found] == [m.message_id for m in everything[::3]]

    def test_shows_nothing_of_what_was_left_removed_or_hidden(self, ada, ben, cyd, talks):
        operations.remove_message(
            viewer=ada,
            message_id=queries.list_messages(viewer=ada, size=1).items[0].message_id,
        )
        conversations.leave(viewer=ada, conversation_id=talks[2])
        conversations.leave(viewer=ada, conversation_id=talks[0])
        say(ben, talks[0], "new")

        for box, expected in [
            ("all", ["new", "1.3", "1.2", "1.1", "1.0"]),
            ("sent", ["1.2", "1.0"]),
            ("inbox", ["new", "1.3", "1.1"]),
        ]:
            found = queries.list_messages(viewer=ada, size=50, box=box).items
            assert [m.message_body for m in found] == expected

    @pytest.mark.parametrize("filters", [{}, {"box": "sent"}, {"unread_only": True}])
    @pytest.mark.parametrize("size", [2, 12])
    def test_costs_the_same_for_few_and_many(
        self, ada, person, size, filters, django_assert_max_num_queries
    ):
        for n in range(size):
            other = person(f"guest{n}")
            say(ada, write_to(other, ada).conversation_id)

        with django_assert_max_num_queries(8):
            found = queries.list_messages(viewer=ada, size=50, **filters).items
        assert len(found) >= size


class TestStrangers:
    def test_see_none_of_it_in_any_list(self, ada, ben, mallory):
        write_to(ada, ben)

        assert queries.list_conversations(viewer=mallory, position=None, size=5).items == []
        for filters in ({}, {"box": "sent"}, {"unread_only": True}, {"starred_only": True}):
            assert queries.list_messages(viewer=mallory, size=5, **filters).items == []
        assert queries.count_unread(viewer=mallory).messages == 0
