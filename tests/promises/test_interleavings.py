"""Whatever commits late is not missed; and the checker that says so sees a fence that is broken."""

from __future__ import annotations

import dataclasses

import pytest
from django.db import connection

from parley.conversations import fence
from tests.promises import checker
from tests.talk import group

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

SECONDS = 4
MUTANT_SECONDS = 2
TALKS = 8


@pytest.fixture
def writers(person):
    return [person(name) for name in ("ada", "ben", "cyd", "dan")]


@pytest.fixture
def talks(writers):
    return [group(*writers) for _ in range(TALKS)]


@pytest.fixture
def break_send_function():
    """Replace words of PostgreSQL's own way to send, for the time of a test."""
    if connection.vendor != "postgresql":
        yield lambda right, wrong: None
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('parley_send'::regproc)")
        [source] = cursor.fetchone()

        def replace(right, wrong):
            assert right in source
            cursor.execute(source.replace(right, wrong).replace("%", "%%"))

        yield replace
        cursor.execute(source.replace("%", "%%"))


def without_shared_lock(monkeypatch, break_send_function):
    monkeypatch.setattr(fence, "try_shared", lambda g: True)
    break_send_function("NOT pg_try_advisory_xact_lock_shared(1346458188, g::integer)", "false")


def settled_too_early(monkeypatch, break_send_function):
    monkeypatch.setattr(fence, "try_exclusive", lambda g: True)


def cursor_by_the_clock(monkeypatch, break_send_function):
    """Whoever reads believes that what began before has also ended before."""
    found = fence.state
    monkeypatch.setattr(
        fence, "state", lambda: dataclasses.replace(found(), settled=found().current)
    )


def settled_generation(monkeypatch, break_send_function):
    """A writer does not check, after the lock, that its generation is still open."""
    enter, found = fence.enter, fence.state
    monkeypatch.setattr(
        fence, "enter", lambda: dataclasses.replace(enter(), g=max(1, found().settled))
    )
    break_send_function("greatest(c.gen, g) AS gen", "greatest(c.gen, settled_now) AS gen")


# On SQLite a transaction that writes is the lock; there is none to leave out.
LOCK_MUTANTS = [] if connection.vendor == "sqlite" else [without_shared_lock, settled_too_early]
MUTANTS = [*LOCK_MUTANTS, cursor_by_the_clock, settled_generation]


class TestStalledWriters:
    def test_make_no_reader_miss_anything_or_get_it_twice(self, writers, talks):
        """Promise 6: changes can always be caught up, whatever commits late."""
        readers = checker.run(writers, talks, seconds=SECONDS)

        for reader in readers:
            assert len(reader.came) > 10
            assert reader.missed() == set()
            assert reader.doubled() == set()
            reader.client.check_against_a_fresh_one()

    @pytest.mark.parametrize("mutant", MUTANTS)
    def test_make_the_checker_see_a_fence_without_its_guard(
        self, writers, talks, mutant, monkeypatch, break_send_function
    ):
        mutant(monkeypatch, break_send_function)

        readers = checker.run(writers, talks, seconds=MUTANT_SECONDS)

        assert any(reader.missed() for reader in readers)
