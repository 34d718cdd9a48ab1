"""Numbers of users and messages: allotted once, in order, whoever asks at the same time."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from parley.accounts import operations as accounts
from parley.accounts.models import User
from parley.dialects import handles
from parley.dialects.models import MessageHandle, UserHandle
from parley.messaging import operations, queries
from parley.messaging.drafts import Draft
from parley.messaging.operations.loading import History, Member, Said, load_histories
from tests.talk import in_parallel, write_to

pytestmark = pytest.mark.databases


@pytest.fixture
def nobody_speaks_integers(settings):
    """No dialect is mounted: nothing is numbered by itself."""
    settings.PARLEY = settings.PARLEY.model_copy(update={"dialects": "none"})


class TestAllotting:
    def test_numbers_a_batch_in_the_order_of_its_drafts(self, ada, ben):
        drafts = [Draft(ada.user_id, str(n), recipient_ids=(ben.user_id,)) for n in range(20)]
        sent = operations.send_many(drafts)

        numbers = handles.numbers_of_messages([each.message.message_id for each in sent])
        in_order = [numbers[each.message.message_id] for each in sent]
        assert in_order == sorted(in_order)

    def test_numbers_whoever_comes_to_be(self, db):
        signed_up = accounts.sign_up(username="cyd", password="a kettle on the hob")
        made = User.objects.create_superuser("root", None, "a kettle on the hob")

        numbered = set(UserHandle.objects.values_list("user_id", flat=True))
        assert {signed_up.user_id, made.user_id} <= numbered

    def test_costs_a_send_one_statement_and_on_postgresql_none(self, ada, ben, settings):
        write_to(ada, ben)
        with_numbers = self.statements_of_a_send(ada, ben)
        settings.PARLEY = settings.PARLEY.model_copy(update={"dialects": "none"})

        more = 0 if connection.vendor == "postgresql" else 1
        assert with_numbers == self.statements_of_a_send(ada, ben) + more

    def statements_of_a_send(self, ada, ben) -> int:
        with CaptureQueriesContext(connection) as captured:
            write_to(ada, ben)
        return len([q for q in captured.captured_queries if "SAVEPOINT" not in q["sql"]])

    def test_numbers_nothing_while_no_dialect_is_mounted(self, nobody_speaks_integers, ada, ben):
        write_to(ada, ben)

        assert not MessageHandle.objects.exists()
        assert not UserHandle.objects.exists()

    def test_goes_with_a_transaction_that_is_rolled_back(self, ada, ben):
        with transaction.atomic():
            sent = write_to(ada, ben)
            transaction.set_rollback(True)

        assert not MessageHandle.objects.filter(message_id=sent.message_id).exists()


class TestLookingUp:
    def test_of_what_a_list_found_is_in_its_order_and_numbers_what_has_none(self, ada, ben):
        sent = [write_to(ada, ben).message_id for _ in range(3)]
        numbers = handles.numbers_of_messages(sent)
        edges = queries.list_edges(viewer=ben, size=9).items

        found = handles.numbers_in_order([message_id for _, message_id in edges])

        assert found == [numbers[message_id] for message_id in sent[::-1]]
        MessageHandle.objects.filter(message_id=sent[1]).delete()
        again = handles.numbers_in_order([message_id for _, message_id in edges])
        assert again[::2] == found[::2]
        assert again[1] == handles.numbers_of_messages(sent)[sent[1]] != found[1]
        assert handles.numbers_in_order([]) == []

    def test_finds_both_ways(self, ada, ben):
        message_id = write_to(ada, ben).message_id
        number = handles.numbers_of_messages([message_id])[message_id]

        assert handles.message_of(number) == message_id
        assert handles.user_of(handles.numbers_of_users([ada.user_id])[ada.user_id]) == ada.user_id

    @pytest.mark.parametrize("number", [-1, 0, 2**31, 2**63 - 1, 2**63, 10**30])
    def test_finds_nobody_by_a_number_that_was_not_given(self, db, number):
        assert handles.user_of(number) is None
        assert handles.message_of(number) is None

    def test_gives_a_number_to_what_has_none_and_keeps_it(self, nobody_speaks_integers, ada, ben):
        ids = [write_to(ada, ben).message_id for _ in range(3)]

        numbers = handles.numbers_of_messages(ids)

        assert [numbers[one] for one in ids] == sorted(numbers.values())
        assert handles.numbers_of_messages(ids) == numbers

    @pytest.mark.django_db(transaction=True)
    def test_gives_one_number_to_all_who_ask_at_once(self, nobody_speaks_integers, ada, ben):
        ids = [write_to(ada, ben).message_id for _ in range(20)]
        orders = [ids, ids[::-1], ids[7:] + ids[:7], ids[::2] + ids[1::2]]

        found = in_parallel(
            [lambda each=each: handles.numbers_of_messages(each) for each in orders]
        )

        assert all(each == found[0] for each in found)
        assert sorted(found[0]) == sorted(ids)
        assert MessageHandle.objects.count() == len(ids)


class TestKeeping:
    def test_keeps_a_number_that_is_free(self, ada, ben):
        kept = uuid4()

        assert handles.keep_numbers_of_messages({kept: 5_000}) == {kept: 5_000}
        assert handles.message_of(5_000) == kept

    def test_gives_another_where_it_is_not(self, ada):
        number = handles.numbers_of_users([ada.user_id])[ada.user_id]
        late = uuid4()

        found = handles.keep_numbers_of_users({late: number})[late]

        assert found != number
        assert handles.user_of(number) == ada.user_id

    @pytest.mark.parametrize("number", [0, -4, 2**63 - 1, 2**70])
    def test_gives_another_where_it_cannot_stand(self, db, number):
        one = uuid4()

        assert 0 < handles.keep_numbers_of_users({one: number})[one] < 2**62

    def test_goes_on_past_the_numbers_that_were_kept(self, ada, ben):
        handles.keep_numbers_of_messages({uuid4(): 70_000, uuid4(): 3})

        message_id = write_to(ada, ben).message_id
        assert handles.numbers_of_messages([message_id])[message_id] > 70_000

    def test_decides_the_number_of_a_message_that_is_then_sent(self, ada, ben):
        draft = Draft(ada.user_id, "hello", recipient_ids=(ben.user_id,))
        handles.keep_numbers_of_messages({draft.message_id: 90_000})

        operations.send(draft)

        assert handles.message_of(90_000) == draft.message_id


class TestReserving:
    def test_leaves_the_numbers_before_to_be_kept_and_goes_on_past_them(self, ada, ben):
        handles.reserve_messages(80_000)
        new = write_to(ada, ben).message_id
        old = uuid4()

        assert handles.numbers_of_messages([new])[new] > 80_000
        assert handles.keep_numbers_of_messages({old: 80_000}) == {old: 80_000}
        newer = write_to(ada, ben).message_id
        assert handles.numbers_of_messages([newer])[newer] > 80_001

    def test_takes_nothing_from_who_has_it(self, ada):
        number = handles.numbers_of_users([ada.user_id])[ada.user_id]

        handles.reserve_users(number)

        assert handles.user_of(number) == ada.user_id


class TestBackfill:
    def test_numbers_what_is_older_in_the_order_of_its_creation(
        self, nobody_speaks_integers, ada, ben, capsys
    ):
        sent = [write_to(ada, ben).message_id for _ in range(7)]
        sent.append(write_to(ben, ben).message_id)

        call_command("backfill_handles", batch=3)

        found = MessageHandle.objects.order_by("number").values_list("message_id", flat=True)
        assert set(found) == set(sent)
        assert set(UserHandle.objects.values_list("user_id", flat=True)) == {
            ada.user_id,
            ben.user_id,
        }
        assert "2 users and 8 messages have their numbers." in capsys.readouterr().out

    def test_changes_nothing_the_second_time(self, nobody_speaks_integers, ada, ben, capsys):
        write_to(ada, ben)
        call_command("backfill_handles")
        before = list(MessageHandle.objects.values_list("number", "message_id"))

        call_command("backfill_handles")

        assert list(MessageHandle.objects.values_list("number", "message_id")) == before

    def test_reaches_what_was_loaded_in_bulk(self, ada, ben, capsys):
        members = [Member(ada.user_id), Member(ben.user_id)]
        said = [Said(ada.user_id, str(n), ada.created_at) for n in range(5)]
        load_histories([History("direct", ada.created_at, members, said)])
        assert MessageHandle.objects.count() == 0

        call_command("backfill_handles")

        assert MessageHandle.objects.count() == 5
