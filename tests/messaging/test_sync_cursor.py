"""The cursor of sync: whose it is, how long it holds, and what a page costs."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.signing import Signer
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from parley.conversations import epochs, fence
from parley.conversations.models import Fence
from parley.kernel.errors import Unavailable
from parley.messaging import operations
from parley.messaging import sync as module
from parley.messaging.cursors import MOST_KNOWN, Cursor, Known, Pass
from parley.messaging.refusals import InvalidCursor, ResyncRequired
from parley.messaging.sync import check_cursor, sync
from tests.talk import group, in_parallel, say, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def tick() -> None:
    fence.tick(unless_within=timedelta(0))


def queries(call) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as found:
        call()
    return [query["sql"] for query in found.captured_queries]


class TestCursor:
    @pytest.mark.parametrize(
        "text", ["", "x", "~", "a~b", "W10", "\0", "é", "~" * 3_000, "x" * 100_000]
    )
    def test_refuses_what_is_none(self, ada, text):
        with pytest.raises(InvalidCursor) as refused:
            sync(viewer=ada, cursor=text)

        assert (refused.value.code, refused.value.attr) == ("invalid_cursor", "cursor")

    def test_refuses_one_with_a_changed_letter_anywhere(self, ada, ben):
        write_to(ben, ada)
        cursor = sync(viewer=ada).cursor

        for place in range(0, len(cursor), 7):
            letter = "A" if cursor[place] != "A" else "B"
            with pytest.raises(InvalidCursor):
                sync(viewer=ada, cursor=cursor[:place] + letter + cursor[place + 1 :])

    def test_refuses_one_that_was_cut_off_or_added_to(self, ada):
        cursor = sync(viewer=ada).cursor

        for broken in (cursor[:-1], cursor[1:], f"{cursor}A", cursor.split("~")[0]):
            with pytest.raises(InvalidCursor):
                sync(viewer=ada, cursor=broken)

    def test_refuses_someone_elses(self, ada, mallory):
        with pytest.raises(InvalidCursor):
            sync(viewer=mallory, cursor=sync(viewer=ada).cursor)

    @pytest.mark.parametrize("content", [[2, [[0, 1, "x", 0]], None, "", [], []], [1], {}, "x", 7])
    def test_refuses_one_of_another_version_though_it_is_signed(self, ada, content):
        signer = Signer(salt=f"parley.sync.{ada.user_id.hex}", sep="~")

        with pytest.raises(InvalidCursor):
            sync(viewer=ada, cursor=signer.sign_object(content))

    def test_says_again_what_it_was_told(self, ada):
        known = {uuid4(): Known(7, 3), uuid4(): Known(-1, 2**40)}
        passes = [
            None,
            Pass(3),
            Pass(3, None, uuid4()),
            Pass(3, 4, uuid4(), (uuid4(), Known(1, 2, 3))),
        ]
        for under_way in passes:
            cursor = Cursor(9, "nonce", 8, known, under_way)

            assert Cursor.read(cursor.write(ada.user_id), ada.user_id) == cursor

    def test_is_short_and_safe_in_a_url_even_at_its_longest(self, ada):
        known = {uuid4(): Known(10**5 + n, 1_000 + n) for n in range(MOST_KNOWN)}
        place = Pass(10**7, 10**7, uuid4(), (uuid4(), Known(10**5, 10**4, 10**6)))

        text = Cursor(10**7, "0123456789abcdef", 10**7, known, place).write(ada.user_id)

        assert len(text) <= 2_100
        assert set(text) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
        )

    def test_names_one_shard(self, ada):
        content = Signer(salt=f"parley.sync.{ada.user_id.hex}", sep="~").unsign_object(
            sync(viewer=ada).cursor
        )

        assert len(content[1]) == 1


class TestEpoch:
    def test_is_begun_with_the_first_cursor(self, ada, ben):
        cursors = [n.cursor for n in in_parallel([lambda: sync(viewer=ada)] * 4)]
        write_to(ben, ada)

        for cursor in cursors:
            assert len(sync(viewer=ada, cursor=cursor).conversations) == 1

    def test_of_the_same_history_holds_over_any_number_of_starts(self, ada, ben):
        cursor = sync(viewer=ada).cursor
        for _ in range(3):
            epochs.begin()
            tick()
        write_to(ben, ada)

        assert len(sync(viewer=ada, cursor=cursor).conversations) == 1

    def test_of_another_history_is_refused(self, ada, ben):
        cursor = sync(viewer=ada).cursor
        call_command("new_epoch", verbosity=0)

        with pytest.raises(ResyncRequired) as refused:
            sync(viewer=ada, cursor=cursor)

        assert refused.value.code == "resync_required"
        with pytest.raises(ResyncRequired):
            check_cursor(viewer=ada, cursor=cursor)
        assert sync(viewer=ada, cursor=sync(viewer=ada).cursor).more is False

    def test_is_checked_at_the_cost_of_two_queries(self, ada, ben):
        cursor = sync(viewer=ada).cursor
        write_to(ben, ada)

        assert len(queries(lambda: check_cursor(viewer=ada, cursor=cursor))) == 2
        with pytest.raises(InvalidCursor):
            check_cursor(viewer=ben, cursor=cursor)

    def test_that_lies_ahead_of_a_restored_database_is_refused(self, ada):
        tick()
        tick()
        cursor = sync(viewer=ada).cursor
        Fence.objects.update(current=1, settled=0)

        with pytest.raises(ResyncRequired):
            sync(viewer=ada, cursor=cursor)


class TestTicking:
    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch):
        monkeypatch.setattr(module, "ticker", module.Ticker())

    def test_settles_what_a_reader_saw_unsettled(self, ada, ben):
        write_to(ben, ada)
        sync(viewer=ada)

        assert fence.state() == fence.State(current=2, settled=1)

    def test_happens_at_most_once_a_second(self, ada, ben, monkeypatch):
        ticks = []
        monkeypatch.setattr(fence, "tick", lambda: ticks.append(time.monotonic()))
        for _ in range(5):
            write_to(ben, ada)
            sync(viewer=ada)

        assert len(ticks) == 1

    def test_rests_when_nothing_happens(self, ada, ben):
        write_to(ben, ada)
        cursor = sync(viewer=ada).cursor
        module.ticker._next = 0.0
        at_rest = fence.state()
        for _ in range(3):
            cursor = sync(viewer=ada, cursor=cursor).cursor
            module.ticker._next = 0.0

        assert fence.state() == at_rest

    def test_leaves_a_callers_transaction_alone(self, ada, ben):
        write_to(ben, ada)
        with transaction.atomic():
            sync(viewer=ada)
            assert fence.state().current == 1

    def test_that_fails_fails_no_sync(self, ada, ben, monkeypatch):
        def busy() -> None:
            raise Unavailable

        monkeypatch.setattr(fence, "tick", busy)
        write_to(ben, ada)

        assert len(sync(viewer=ada).conversations) == 1


class TestCost:
    """Promise 8: a page costs as many queries whatever it holds."""

    def costs(self, ada, ben, talks: int, messages: int) -> list[int]:
        """Return the queries of a first snapshot, of a page of news, and of nothing new."""
        since = sync(viewer=ada, limit=200).cursor
        for _ in range(talks):
            talk = group(ben, ada)
            said = [say(ben, talk) for _ in range(messages)]
            operations.set_message_starred(viewer=ada, message_id=said[0].message_id, starred=True)
        fresh = sync(viewer=ada, cursor=since, limit=200).cursor
        tick()
        now = sync(viewer=ada, cursor=fresh, limit=200).cursor
        for seen in sync(viewer=ada, limit=200).conversations:
            said = [say(ben, seen.conversation_id) for _ in range(messages)]
            operations.set_message_starred(viewer=ada, message_id=said[0].message_id, starred=True)
            operations.remove_message(viewer=ada, message_id=said[-1].message_id)
        tick()
        news = sync(viewer=ada, cursor=now, limit=200)
        assert news.conversations
        assert news.marks
        assert news.removed
        return [
            len(queries(lambda: sync(viewer=ada, limit=200))),
            len(queries(lambda: sync(viewer=ada, cursor=now, limit=200))),
            len(queries(lambda: sync(viewer=ada, cursor=now, limit=1))),
            len(queries(lambda: sync(viewer=ada, cursor=news.cursor, limit=200))),
        ]

    def test_in_queries_is_the_same_for_few_and_for_many(self, ada, ben, cyd, mallory):
        few, many = self.costs(ada, ben, 2, 2), self.costs(cyd, mallory, 8, 6)

        if connection.vendor == "mysql":  # there a search goes in rounds, a few at most
            assert all(abs(one - other) <= 4 for one, other in zip(few, many, strict=True))
        else:
            assert few == many
        assert max(few) <= 26
        assert few[-1] <= 8
