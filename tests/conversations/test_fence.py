"""The fence: what is settled is committed, and nobody waits for anybody."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from parley.conversations import fence
from parley.conversations.models import Fence, Generation
from tests.talk import in_parallel

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

AT_ONCE = timedelta(0)


def tick() -> fence.State:
    return fence.tick(unless_within=AT_ONCE)


def enter() -> int:
    with transaction.atomic():
        return fence.enter().g


@contextmanager
def stalled_writer() -> Iterator[int]:
    """Someone who has entered and does not commit before the end."""
    entered, over = threading.Event(), threading.Event()
    found: list[int] = []

    def write() -> None:
        try:
            with transaction.atomic():
                found.append(fence.enter().g)
                entered.set()
                over.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert entered.wait(10)
    try:
        yield found[0]
    finally:
        over.set()
        thread.join()


class TestEnter:
    def test_wants_a_transaction_to_hold_the_lock(self, db):
        with pytest.raises(RuntimeError, match="in the transaction"):
            fence.enter()

    def test_begins_with_the_first_generation_on_a_new_database(self, db):
        assert enter() == 1
        assert fence.state() == fence.State(current=1, settled=0)

    def test_begins_once_however_many_are_first(self, db):
        assert in_parallel([enter] * 6) == [1] * 6
        assert Fence.objects.count() == 1

    def test_takes_the_newest_generation(self, db):
        tick()

        assert enter() == fence.state().current == 2

    def test_looks_again_where_its_generation_was_settled_before_the_lock(self, db, monkeypatch):
        tick()
        stale = (1, 0, fence._look()[2])
        looks = iter([stale])
        look = fence._look
        monkeypatch.setattr(fence, "_look", lambda: next(looks, None) or look())

        # Where one writes at a time, nobody can have settled it meanwhile: one look is enough.
        assert enter() == (1 if connection.vendor == "sqlite" else 2)

    def test_gives_up_with_an_error_rather_than_turn_for_ever(self, db, monkeypatch):
        monkeypatch.setattr(fence, "try_shared", lambda g: False)

        if connection.vendor == "sqlite":  # where there is no lock to be had but the writer's own
            assert enter() == 1
            return
        with pytest.raises(RuntimeError, match="lets nobody in"):
            enter()

    def test_tells_the_time_of_the_database(self, db):
        with transaction.atomic():
            one = fence.enter().now
        with transaction.atomic():
            other = fence.enter().now

        assert timedelta(0) <= other - one < timedelta(minutes=1)
        assert one.utcoffset() == timedelta(0)


class TestTick:
    def test_settles_what_is_committed(self, db):
        g = enter()

        assert tick().settled == g

    def test_opens_nothing_new_within_a_second_of_another(self, db):
        first = fence.tick()

        assert fence.tick() == first

    def test_goes_on_after_a_clock_that_jumped(self, db):
        tick()
        Fence.objects.update(ticked_at=Fence.objects.get().ticked_at + timedelta(days=1))

        assert fence.tick().current == 3

    def test_of_several_at_once_settles_each_generation_once_and_in_order(self, db):
        states = in_parallel([tick] * 4)

        assert all(isinstance(state, fence.State) for state in states)
        after = tick()
        assert after.settled == after.current - 1

    def test_finds_its_way_on_a_database_that_was_moved_here(self, db):
        """The locks that are rows on MySQL do not come along from another product."""
        for _ in range(3):
            tick()
        Fence.objects.update(settled=0)
        Generation.objects.all().delete()

        assert tick().settled == 4
        assert enter() == 5


class TestSelfTest:
    def test_passes_on_a_database_that_keeps_locks(self, db):
        fence.self_test()


class TestMigrations:
    def test_say_all_that_the_models_say(self, db):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)


# On SQLite a writer who stalls holds the one lock for writing, and there is nothing to test.
if connection.vendor != "sqlite":

    class TestStalledWriter:
        def test_keeps_its_generation_from_being_settled_until_it_commits(self, db):
            tick()
            with stalled_writer() as g:
                for _ in range(3):
                    state = tick()
                assert state == fence.State(current=g + 3, settled=g - 1)

            assert tick().settled == g + 3

        def test_lets_other_writers_go_on_at_once_in_newer_generations(self, db):
            tick()
            with stalled_writer() as g:
                tick()
                began = time.monotonic()

                assert enter() == g + 1
                assert time.monotonic() - began < 1

        def test_does_not_hold_up_ticks_even_as_a_tick_itself(self, db):
            """A tick may wait for its own commit; another leaves the work to it."""
            tick()
            held, over = threading.Event(), threading.Event()

            def hold() -> None:
                with transaction.atomic():
                    fence.hold()
                    held.set()
                    over.wait(10)
                connection.close()

            thread = threading.Thread(target=hold)
            thread.start()
            assert held.wait(10)
            began = time.monotonic()
            state = tick()
            over.set()
            thread.join()

            assert state == fence.State(current=2, settled=1)
            assert time.monotonic() - began < 1

    class TestSelfTestOfAServer:
        def test_passes_while_others_write(self, db):
            tick()
            with stalled_writer():
                fence.self_test()

        def test_refuses_one_that_says_yes_to_everybody(self, db, monkeypatch):
            monkeypatch.setattr(fence, "try_exclusive", lambda g: True)

            with pytest.raises(RuntimeError, match="does not keep locks"):
                fence.self_test()

        def test_refuses_one_that_says_no_to_everybody(self, db, monkeypatch):
            shared = iter([True])
            monkeypatch.setattr(fence, "try_shared", lambda g: next(shared, False))

            with pytest.raises(RuntimeError, match="does not keep locks"):
                fence.self_test()


# Only there locks are rows.
if connection.vendor == "mysql":

    class TestRows:
        def test_sweeps_up_the_rows_of_generations_long_settled(self, db, monkeypatch):
            monkeypatch.setattr(fence, "KEPT_GENERATIONS", 3)
            for _ in range(12):
                tick()

            assert Generation.objects.count() < 10
            assert enter() == 13
