import hashlib

import pytest

from parley.conversations import operations as conversations
from parley.conversations.models import Conversation
from parley.kernel import ids
from parley.kernel.errors import Invalid, Refusal
from parley.messaging import operations, queries
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.refusals import ClientIdReused, UnknownReply
from tests.talk import direct, group, history, in_parallel, say, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


class TestSend:
    def test_numbers_messages_from_one_without_a_gap(self, ada, ben):
        talk = direct(ada, ben)

        said = [say(who, talk) for who in (ada, ben, ada)]

        assert [m.seq for m in said] == [1, 2, 3]
        assert [m.seq for m in history(ben, talk)] == [1, 2, 3]

    def test_numbers_them_so_under_many_threads_and_never_goes_back_in_time(self, ada, ben):
        talk = direct(ada, ben)

        in_parallel([lambda who=who: say(who, talk) for who in (ada, ben) * 6])

        found = history(ada, talk)
        assert [m.seq for m in found] == list(range(1, 13))
        assert [m.sent_at for m in found] == sorted({m.sent_at for m in found})
        assert len({m.revision for m in found}) == 12

    def test_refuses_an_outsider_and_keeps_nothing(self, ada, ben, mallory):
        talk = direct(ada, ben)

        with pytest.raises(conversations.ConversationNotFound):
            say(mallory, talk)

        assert not Message.objects.exists()

    def test_keeps_text_as_it_came(self, ada, ben):
        body = "  שלום \n 你好 \t 👩🏽‍🚀 "

        said = write_to(ada, ben, body=body, subject=" x ")

        [seen] = history(ben, said.conversation_id)
        assert (seen.message_body, seen.subject) == (body, " x ")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("message_body", ""),
            ("message_body", " \n\t\u3000"),
            ("message_body", "a\0b"),
            ("message_body", "a\ud800b"),
            ("message_body", "x" * 16_001),
            ("subject", "x" * 256),
            ("subject", "\0"),
            ("client_id", ""),
            ("client_id", "x" * 65),
            ("client_id", "\udfff"),
        ],
    )
    def test_refuses_text_that_may_not_be_stored(self, ada, ben, field, value):
        fields = {"message_body": "hello"} | {field: value}

        with pytest.raises(Invalid) as refused:
            operations.send(Draft(ada.user_id, recipient_ids=(ben.user_id,), **fields))

        assert refused.value.attr == field
        assert not Conversation.objects.exists()

    def test_holds_the_longest_text_in_any_script(self, ada, ben):
        said = write_to(ada, ben, body="😀" * 16_000, client_id="😀" * 64, subject="語" * 255)

        assert queries.get_message(viewer=ben, message_id=said.message_id).message_body == (
            "😀" * 16_000
        )

    def test_creates_no_conversation_for_a_refused_message(self, ada, ben, cyd):
        bogus = ids.new_id()
        for others in [(ben.user_id,), (ben.user_id, cyd.user_id), ()]:
            with pytest.raises(UnknownReply):
                operations.send(Draft(ada.user_id, "x", recipient_ids=others, reply_to=bogus))

        assert not Conversation.objects.exists()

    def test_replies_only_to_what_the_sender_sees_in_the_same_conversation(self, ada, ben, cyd):
        talk, elsewhere = direct(ada, ben), direct(ada, cyd)
        first, other = say(ada, talk), say(ada, elsewhere)

        assert say(ben, talk, reply_to=first.message_id).reply_to == first.message_id
        with pytest.raises(UnknownReply):
            say(ben, talk, reply_to=other.message_id)
        with pytest.raises(UnknownReply):
            say(ada, talk, reply_to=other.message_id)

    def test_makes_a_new_group_for_several_each_time(self, ada, ben, cyd):
        first, second = write_to(ada, ben, cyd), write_to(ada, ben, cyd, ben, ada)

        assert first.conversation_id != second.conversation_id
        found = queries.get_conversation(viewer=cyd, conversation_id=second.conversation_id)
        assert (found.kind, found.participant_count) == ("group", 3)

    def test_to_oneself_is_read_from_the_start(self, ada):
        note = write_to(ada, ada)

        assert note.read
        assert queries.count_unread(viewer=ada).messages == 0

    def test_puts_ids_of_a_conversation_in_its_shard(self, ada, ben, cyd):
        for said in (
            write_to(ada, ben),
            write_to(ada, ben, cyd),
            write_to(ada, ben, cyd, client_id="x"),
        ):
            assert ids.shard_of(said.message_id) == ids.shard_of(said.conversation_id)
            assert said.message_id.version == 7


class TestNewGroup:
    def test_has_an_id_of_its_client_id_that_every_database_takes(self, ada, ben, cyd):
        """One id in 64 would begin its fourth block with 80, which MariaDB does not take."""
        client_ids = [str(n) for n in range(1_000) if begins_with_80(ada, str(n))]

        for client_id in client_ids[:2]:
            sent = write_to(ada, ben, cyd, client_id=client_id)
            again = write_to(ada, ben, cyd, client_id=client_id)
            assert again.message_id == sent.message_id
        assert client_ids


def begins_with_80(sender, client_id):
    """Whether the digest that a group's id is made of has no bit of its own in the ninth byte."""
    digest = hashlib.sha256(sender.user_id.bytes + client_id.encode()).digest()
    return digest[8] & 0x3F == 0


class TestRetry:
    def test_returns_the_first_message_whatever_happened_to_it_since(self, ada, ben):
        first = write_to(ada, ben, client_id="a")
        draft = Draft(ada.user_id, "hello", recipient_ids=(ben.user_id,), client_id="a")
        for change in (
            lambda: operations.edit_message(
                editor=ada, message_id=first.message_id, message_body="edited"
            ),
            lambda: operations.retract_message(actor=ada, message_id=first.message_id),
            lambda: conversations.block(blocker=ben, user_id=ada.user_id),
            lambda: conversations.leave(viewer=ada, conversation_id=first.conversation_id),
        ):
            change()
            again = operations.send(draft)
            assert (again.message.message_id, again.is_new) == (first.message_id, False)

    def test_into_a_group_one_has_left_returns_the_first(self, ada, ben):
        talk = group(ada, ben)
        first = say(ada, talk, client_id="a")
        conversations.leave(viewer=ada, conversation_id=talk)

        again = operations.send(Draft(ada.user_id, "hello", conversation_id=talk, client_id="a"))
        assert again.message.message_id == first.message_id
        with pytest.raises(conversations.ConversationNotFound):
            say(ada, talk, client_id="b")

    @pytest.mark.parametrize("change", [{"body": "other"}, {"subject": "other"}])
    def test_with_other_content_is_refused(self, ada, ben, change):
        write_to(ada, ben, client_id="a")

        with pytest.raises(ClientIdReused):
            write_to(ada, ben, client_id="a", **change)

        assert Message.objects.count() == 1

    def test_names_are_compared_as_bytes(self, ada, ben):
        for client_id in ("a", "A", "a ", "á", "a\u0301"):
            write_to(ada, ben, client_id=client_id)

        assert Message.objects.count() == 5

    def test_names_are_each_senders_own(self, ada, ben):
        talk = direct(ada, ben)

        assert say(ada, talk, client_id="a").message_id != say(ben, talk, client_id="a").message_id

    def test_is_found_by_its_sender_alone(self, ada, ben, mallory):
        said = write_to(ada, ben, client_id="a")

        def find(sender):
            draft = Draft(
                sender.user_id, "hello", conversation_id=said.conversation_id, client_id="a"
            )
            return operations.find_sent(draft)

        assert find(ada).message.message_id == said.message_id
        assert find(ben) is None
        assert find(mallory) is None

    @pytest.mark.parametrize("others", [1, 2])
    def test_by_many_at_once_stores_one(self, person, ada, others):
        people = [person(f"guest{n}") for n in range(others)]
        recipients = tuple(p.user_id for p in people)

        def attempt():
            draft = Draft(ada.user_id, "hello", recipient_ids=recipients, client_id="once")
            return operations.send(draft).message.message_id

        answers = in_parallel([attempt] * 12)

        assert len(set(answers)) == 1
        assert Message.objects.count() == Conversation.objects.count() == 1

    def test_of_a_new_group_with_other_people_is_refused(self, ada, ben, cyd, mallory):
        write_to(ada, ben, cyd, client_id="a")

        with pytest.raises(ClientIdReused):
            write_to(ada, ben, mallory, client_id="a")


class TestSendMany:
    def test_answers_each_draft_in_its_place_and_lets_none_harm_another(self, ada, ben, mallory):
        talk = direct(ada, ben)
        drafts = [
            Draft(ada.user_id, "one", conversation_id=talk),
            Draft(mallory.user_id, "no", conversation_id=talk),
            Draft(ben.user_id, " ", conversation_id=talk),
            Draft(ben.user_id, "two", conversation_id=talk),
            Draft(ada.user_id, "who?", conversation_id=ids.new_id()),
        ]

        answers = operations.send_many(drafts)

        assert [getattr(a, "code", "sent") for a in answers] == [
            "sent",
            "not_found",
            "blank",
            "sent",
            "not_found",
        ]
        assert [m.message_body for m in history(ada, talk)] == ["one", "two"]

    def test_knows_a_twin_within_the_batch(self, ada, ben):
        talk = direct(ada, ben)
        twins = [Draft(ada.user_id, "x", conversation_id=talk, client_id="a") for _ in range(3)]
        other = Draft(ada.user_id, "y", conversation_id=talk, client_id="a")

        first, second, third, reused = operations.send_many([*twins, other])

        assert first.is_new
        assert not second.is_new
        assert first.message.message_id == second.message.message_id == third.message.message_id
        assert isinstance(reused, ClientIdReused)

    def test_repeated_as_it_is_stores_nothing_twice(self, ada, ben):
        draft = Draft(ada.user_id, "x", conversation_id=direct(ada, ben))

        first, second = operations.send_many([draft])[0], operations.send_many([draft])[0]

        assert first.message == second.message
        assert Message.objects.count() == 1

    def test_does_not_deadlock_across_conversations_in_any_order(self, ada, ben, cyd):
        talks = [direct(ada, ben), direct(ada, cyd), group(ada, ben, cyd)]

        def batch(order):
            drafts = [Draft(ada.user_id, "x", conversation_id=talk) for talk in order]
            return [isinstance(answer, Refusal) for answer in operations.send_many(drafts)]

        answers = in_parallel([lambda: batch(talks), lambda: batch(talks[::-1])] * 4)

        assert answers == [[False] * 3] * 8
        assert {len(history(ada, talk)) for talk in talks} == {8}

    def test_tells_those_who_joined_in_the_same_transaction(self, ada, ben):
        told = []
        operations.messages_sent.join(told.append)
        try:
            said = write_to(ada, ben)
        finally:
            operations.messages_sent.leave(told.append)

        assert [m.message_id for batch in told for m in batch] == [said.message_id]
