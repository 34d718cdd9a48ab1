"""Messages as mail: to whom they are, whether they are read, and what the lists cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from parley.accounts import operations as accounts
from parley.conversations import operations as conversations
from parley.dialects import handles, letters
from parley.dialects.letters import LetterNotFound
from parley.dialects.models import MessageHandle
from parley.messaging import operations
from parley.messaging.operations.loading import History, Member, Said, load_histories
from tests.talk import direct, group, in_parallel, say, write_to

pytestmark = pytest.mark.databases


def letter_of(viewer, message):
    """The letter that one message is to somebody."""
    number = handles.numbers_of_messages([message.message_id])[message.message_id]
    return letters.find_letter(viewer, number)


def number_of(message) -> int:
    return handles.numbers_of_messages([message.message_id])[message.message_id]


def bodies(found) -> list[str]:
    return [letter.body for letter in found.letters]


class TestReceiver:
    def test_is_the_other_of_a_pair_for_both(self, ada, ben):
        message = write_to(ada, ben)

        for viewer in (ada, ben):
            letter = letter_of(viewer, message)
            assert (letter.sender_id, letter.receiver_id) == (ada.user_id, ben.user_id)

    def test_is_oneself_in_a_conversation_with_oneself(self, ada):
        letter = letter_of(ada, write_to(ada, ada))

        assert letter.receiver_id == ada.user_id
        assert letter.is_read

    def test_is_the_reader_in_a_group_and_for_the_sender_the_first_other(self, ada, ben, cyd):
        talk = group(ada, ben, cyd)
        message = say(cyd, talk)

        assert letter_of(ada, message).receiver_id == ada.user_id
        assert letter_of(ben, message).receiver_id == ben.user_id
        assert letter_of(cyd, message).receiver_id in {ada.user_id, ben.user_id}

    def test_is_someone_who_left_where_nobody_else_is_there(self, ada, ben):
        talk = group(ada, ben)
        message = say(ada, talk)
        conversations.leave(viewer=ben, conversation_id=talk)

        assert letter_of(ada, message).receiver_id == ben.user_id

    def test_is_oneself_in_a_group_that_nobody_else_was_ever_in(self, ada):
        message = say(ada, group(ada))

        assert letter_of(ada, message).receiver_id == ada.user_id

    def test_stays_the_other_who_has_hidden_the_conversation(self, ada, ben):
        message = write_to(ada, ben)
        conversations.leave(viewer=ben, conversation_id=message.conversation_id)

        assert letter_of(ada, message).receiver_id == ben.user_id


class TestIsRead:
    def test_is_for_the_sender_what_the_receipt_shows(self, ada, ben):
        first, second = write_to(ada, ben), write_to(ada, ben)
        operations.read_message(viewer=ben, message_id=second.message_id)

        assert [letter.is_read for letter in letters.mailbox(ada).letters] == [False, True]
        operations.read_message(viewer=ben, message_id=first.message_id)
        assert [letter.is_read for letter in letters.mailbox(ada).letters] == [True, True]

    def test_keeps_what_the_receiver_keeps_unread_to_themselves(self, ada, ben):
        message = write_to(ada, ben)
        operations.read_message(viewer=ben, message_id=message.message_id)
        operations.set_message_read(viewer=ben, message_id=message.message_id, read=False)

        assert not letter_of(ben, message).is_read
        assert letter_of(ada, message).is_read

    def test_is_not_touched_by_writing_back(self, ada, ben):
        message = write_to(ada, ben)
        write_to(ben, ada)

        assert not letter_of(ben, message).is_read

    def test_asks_for_no_reading_of_what_was_retracted(self, ada, ben):
        message = write_to(ada, ben)
        operations.retract_message(actor=ada, message_id=message.message_id)

        assert letter_of(ben, message).is_read
        assert letters.mailbox(ben, box="inbox", unread_only=True).letters == []
        assert letters.read_letter(ben, number_of(message))[1] is False


class TestReadLetter:
    def test_reads_for_the_receiver(self, ada, ben):
        number = number_of(write_to(ada, ben))

        letter, was_unread = letters.read_letter(ben, number)

        assert (letter.is_read, was_unread) == (True, True)
        assert letters.read_letter(ben, number) == (letter, False)

    def test_only_shows_it_to_the_sender(self, ada, ben):
        number = number_of(write_to(ada, ben))

        assert letters.read_letter(ada, number)[0].is_read is False
        assert letters.find_letter(ben, number).is_read is False

    @pytest.mark.django_db(transaction=True)
    def test_finds_it_unread_once_when_asked_many_times_at_once(self, ada, ben):
        number = number_of(write_to(ada, ben))

        found = in_parallel([lambda: letters.read_letter(ben, number)] * 4)

        assert sorted(was_unread for _, was_unread in found) == [False, False, False, True]
        assert all(letter.is_read for letter, _ in found)

    def test_refuses_a_stranger(self, ada, ben, mallory):
        number = number_of(write_to(ada, ben))

        with pytest.raises(LetterNotFound):
            letters.read_letter(mallory, number)
        assert not letters.find_letter(ben, number).is_read


class TestRemoveLetter:
    def test_removes_it_for_one_alone(self, ada, ben):
        number = number_of(write_to(ada, ben))
        letters.remove_letter(ada, number)

        assert letters.mailbox(ada).letters == []
        assert bodies(letters.mailbox(ben)) == ["hello"]
        for ask in (letters.find_letter, letters.read_letter, letters.remove_letter):
            with pytest.raises(LetterNotFound):
                ask(ada, number)

    @pytest.mark.django_db(transaction=True)
    def test_removes_it_once_when_asked_many_times_at_once(self, ada, ben):
        number = number_of(write_to(ada, ben))

        found = in_parallel([lambda: letters.remove_letter(ben, number)] * 4)

        assert sorted(type(each).__name__ for each in found) == ["LetterNotFound"] * 3 + [
            "NoneType"
        ]

    def test_refuses_a_stranger(self, ada, ben, mallory):
        number = number_of(write_to(ada, ben))

        with pytest.raises(LetterNotFound):
            letters.remove_letter(mallory, number)
        assert letters.find_letter(ben, number)


class TestWriteLetter:
    def test_lands_in_the_one_conversation_of_the_pair(self, ada, ben):
        talk = direct(ben, ada)
        letter = letters.write_letter(ada, receiver_id=ben.user_id, subject="s", body="b")

        [seen] = [m for m in letters.mailbox(ben).letters if m.number == letter.number]
        assert (seen.subject, seen.body, seen.is_read) == ("s", "b", False)
        assert operations.read_up_to(viewer=ben, conversation_id=talk).read_seq == 1

    def test_finds_nobody_to_write_to_who_is_deactivated(self, ben, admin):
        number = handles.numbers_of_users([ben.user_id])[ben.user_id]
        assert letters.find_receiver(number) == letters.find_receiver_named("ben") == ben.user_id

        accounts.set_active(actor=admin, user=ben, is_active=False)

        assert letters.find_receiver(number) is letters.find_receiver_named("ben") is None

    @pytest.mark.parametrize("number", [-1, 0, 999, 2**63, 10**30])
    def test_finds_nobody_by_a_number_that_is_nobodys(self, ada, number):
        assert letters.find_receiver(number) is None


class TestMailbox:
    def test_numbers_what_has_none_and_leaves_the_others_theirs(self, ada, ben):
        sent = [write_to(ada, ben) for _ in range(3)]
        numbers = [number_of(message) for message in sent]
        MessageHandle.objects.filter(number=numbers[1]).delete()

        found = [letter.number for letter in letters.mailbox(ben).letters]

        assert found[::2] == numbers[::2]
        assert found[1] == number_of(sent[1]) > numbers[2]

    def test_holds_the_newest_oldest_first_and_says_where_older_ones_are(self, ada, ben):
        for n in range(7):
            write_to(*((ada, ben) if n % 2 else (ben, ada)), body=str(n))

        newest = letters.mailbox(ada, size=3)
        assert bodies(newest) == ["4", "5", "6"]
        older = letters.mailbox(ada, size=3, position=newest.older)
        assert bodies(older) == ["1", "2", "3"]
        oldest = letters.mailbox(ada, size=3, position=older.older)
        assert (bodies(oldest), oldest.older) == (["0"], None)

    def test_has_a_box_for_what_is_received_sent_and_unread(self, ada, ben):
        write_to(ada, ben, body="to ben")
        read = write_to(ben, ada, body="read")
        write_to(ben, ada, body="unread")
        operations.read_message(viewer=ada, message_id=read.message_id)

        assert bodies(letters.mailbox(ada, box="sent")) == ["to ben"]
        assert bodies(letters.mailbox(ada, box="inbox")) == ["read", "unread"]
        assert bodies(letters.mailbox(ada, box="inbox", unread_only=True)) == ["unread"]

    @pytest.mark.parametrize("unread_only", [False, True])
    def test_costs_the_same_at_any_size(self, ada, ben, person, unread_only):
        few = self.cost_with(ada, self.crowd(person, 12), unread_only=unread_only)
        many = self.cost_with(ada, self.crowd(person, 28), unread_only=unread_only)

        assert few == many

    def crowd(self, person, how_many: int) -> list:
        return [person(f"crowd{how_many}-{n}") for n in range(how_many)]

    def cost_with(self, ada, others, *, unread_only: bool) -> int:
        for other in others:
            for n in range(3):
                write_to(other, ada, body=str(n))
                write_to(ada, other, body=str(n))
        with CaptureQueriesContext(connection) as captured:
            found = letters.mailbox(
                ada, box="inbox" if unread_only else "all", unread_only=unread_only
            )
        assert len(found.letters) >= 3 * len(others)
        return len(captured)

    def test_lists_more_conversations_than_one_condition_may_name(self, ada, person):
        load_pairs(ada, person("crowd"), 1_100)

        found = letters.mailbox(ada)

        assert len(found.letters) == 1_000
        assert found.older is not None


def load_pairs(ada, ben, how_many: int) -> None:
    """Let there be so many groups of two, with a message in each."""
    histories = []
    for n in range(how_many):
        at = ada.created_at + timedelta(seconds=n)
        members = [Member(ada.user_id), Member(ben.user_id)]
        histories.append(History("group", at, members, [Said(ada.user_id, str(n), at)]))
    load_histories(histories)
