"""The kept connections of a thread, and what is planned once in each."""

import gc
import threading
import time

import psycopg
import pytest
from django.db import DatabaseError, connection
from django.db.backends.postgresql import base as stock

from parley.accounts.queries import find_user
from parley.kernel.database import rows

pytestmark = [
    pytest.mark.databases,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kept_connections"),
    pytest.mark.postgresql,
]

PID = "SELECT pg_backend_pid()"


@pytest.fixture
def request_around():
    """Return what does something as a request would: at both ends connections are looked at."""

    def around(work):
        connection.close_if_unusable_or_obsolete()
        try:
            return work()
        finally:
            connection.close_if_unusable_or_obsolete()

    return around


def pid():
    return rows(PID)[0][0]


def prepared():
    return {sql for (sql,) in rows("SELECT statement FROM pg_prepared_statements")}


class TestKeptConnection:
    def test_is_used_on_without_a_question(self, request_around, monkeypatch):
        first = request_around(pid)
        monkeypatch.setattr(stock.DatabaseWrapper, "is_usable", lambda _: pytest.fail("asked"))

        assert request_around(pid) == first

    @pytest.mark.parametrize("ask", [pid, lambda: rows(PID, by_key=True)[0][0]])
    def test_is_replaced_when_the_server_ended_it(self, request_around, ask):
        first = request_around(ask)
        end(first)

        assert request_around(ask) not in {first, None}

    def test_stays_when_the_server_only_tells_something(self, request_around):
        first = request_around(pid)
        with connection.cursor() as cursor:
            cursor.execute("LISTEN told")
        with another() as other:
            other.execute("NOTIFY told")

        assert request_around(pid) == first

    def test_is_replaced_after_an_error(self, request_around):
        first = request_around(pid)
        with pytest.raises(DatabaseError):
            request_around(lambda: rows("SELECT 1 / 0 FROM no_table"))

        assert request_around(pid) != first

    def test_ends_with_its_thread(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(pid()))
        thread.start()
        thread.join()
        del thread
        gc.collect()

        assert gone(found[0])


class TestByKey:
    def test_is_planned_once(self, ada):
        for _ in range(5):
            assert find_user(user_id=ada.user_id) == ada

        assert any("accounts_user" in sql and "$1" in sql for sql in prepared())

    def test_alone_is_planned_once(self, ada):
        for _ in range(5):
            rows("SELECT username FROM accounts_user WHERE user_id = %s", [ada.user_id])

        assert not any("SELECT username" in sql for sql in prepared())

    def test_outlives_a_change_of_its_table(self, request_around, ada):
        def find():
            sql = "SELECT * FROM accounts_user WHERE user_id = %s"
            return len(rows(sql, [ada.user_id], by_key=True)[0])

        width = [request_around(find) for _ in range(5)][-1]
        with another() as other:
            other.execute("ALTER TABLE accounts_user ADD COLUMN more integer")
        try:
            with pytest.raises(DatabaseError):
                request_around(find)

            assert request_around(find) == width + 1
        finally:
            with another() as other:
                other.execute("ALTER TABLE accounts_user DROP COLUMN more")


def gone(backend):
    """Whether a process of the server ends within a moment."""
    for _ in range(100):
        if not rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [backend]):
            return True
        time.sleep(0.02)
    return False


def another():
    """Open another connection to the same database."""
    return psycopg.connect(**connection.get_connection_params() | {"autocommit": True})


def end(backend):
    with another() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
