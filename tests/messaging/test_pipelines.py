"""The event loop's connections to PostgreSQL, which it shares or has alone."""

import asyncio
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import UUID

import psycopg
import pytest
from django.db import connection

from parley.kernel import async_database
from parley.kernel.async_database import MOST_SHARED, AsyncDatabase
from parley.kernel.questions import LARGEST, Question

pytestmark = [
    pytest.mark.databases,
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
]

ID = UUID("0192d5a5-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 27, 1, 2, 3, 4, tzinfo=UTC)
PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_sleep(%s)"
NAME = "pipelines under test"
COUNT_DOWN = Question("SELECT n FROM generate_series(1, %s) AS n ORDER BY n DESC", most="int")
KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = %s
"""


def run(work, **options):
    async def whole():
        database = AsyncDatabase(**options)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(whole())


@pytest.fixture(autouse=True)
def there():
    """Give the connections of the tests a name, and what they connect with."""
    plain = async_database.parameters

    def named(**settings):
        return plain(**settings) | {"application_name": NAME}

    with patch.object(async_database, "parameters", named):
        yield plain()
    kill_all()  # those whose client left amid a statement sleep on


def kill_all():
    """End every connection of the test's event loop."""
    with connection.cursor() as cursor:
        cursor.execute(KILL, [NAME])
    connection.close()


class TestValues:
    @pytest.mark.parametrize(
        ("cast", "value"),
        [
            ("uuid", ID),
            ("timestamptz", AT),
            ("bigint", 2**62),
            ("boolean", True),
            ("bytea", b"\0\xff"),
            ("text", "100 % \u2028 👩🏽‍🚀 \\ ' "),
            ("text", ""),
            ("text", None),
            ("text[]", ["a,b", '"', None, "{}", "\\"]),
            ("uuid[]", [ID, None]),
            ("bytea[]", [b"", b"\1"]),
            ("boolean[]", [True, False]),
        ],
    )
    def test_come_back_as_they_went(self, cast, value):
        sql = f"SELECT %s::{cast}, '%%'"

        assert run(lambda db: db.rows(sql, [value])) == [(value, "%")]
        assert run(lambda db: db.once(sql, [value])) == [(value, "%")]

    def test_are_text_where_they_are_only_passed_on(self):
        sql = "SELECT %s::uuid, %s::timestamptz, 7, 'x', NULL"

        found = run(lambda db: db.rows(sql, [ID, AT], as_text=True))

        assert found == [(str(ID), "2026-11-27 01:02:03.000004+00", 7, "x", None)]

    @pytest.mark.parametrize("value", ["a\0b", "\udfff"])
    def test_that_no_text_may_have_are_refused_before_they_are_sent(self, value):
        async def scene(db):
            with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
                await db.rows("SELECT %s::text", [value])
            return await db.rows("SELECT 1")

        assert run(scene) == [(1,)]

    def test_that_are_very_many_are_sent_while_answers_come(self):
        large = "x" * 1_000_000

        async def scene(db):
            asked = (db.rows("SELECT %s::text", [f"{n}{large}"]) for n in range(30))
            return await asyncio.gather(*asked)

        assert [rows[0][0][:-1_000_000] for rows in run(scene)] == [str(n) for n in range(30)]


class TestSharing:
    def test_gives_each_its_own_answer(self):
        async def scene(db):
            asked = (db.rows("SELECT %s::int WHERE %s", [n, n % 3 > 0]) for n in range(300))
            return await asyncio.gather(*asked)

        assert run(scene) == [[(n,)] if n % 3 else [] for n in range(300)]

    def test_takes_a_few_connections_for_very_many(self):
        async def scene(db):
            found = set()
            async with asyncio.timeout(20):
                while len(found) < MOST_SHARED:
                    asked = [db.rows(PID) for _ in range(100)]
                    found |= {rows[0][0] for rows in await asyncio.gather(*asked)}
            asked = [db.rows(PID) for _ in range(1_000)]
            return found | {rows[0][0] for rows in await asyncio.gather(*asked)}

        assert len(run(scene)) == MOST_SHARED

    def test_a_refused_statement_harms_no_other(self):
        async def scene(db):
            asked = (db.rows("SELECT 6 / %s::int", [n % 3]) for n in range(9))
            return await asyncio.gather(*asked, return_exceptions=True)

        found = run(scene)

        assert found[1::3] == [[(6,)]] * 3
        assert found[2::3] == [[(3,)]] * 3
        assert {type(error) for error in found[::3]} == {psycopg.errors.DivisionByZero}

    def test_a_statement_that_cannot_be_prepared_may_be_later(self, db):
        async def scene(database):
            with pytest.raises(psycopg.errors.UndefinedTable):
                await database.rows("SELECT count(*) FROM only_later")
            await database.once("CREATE TABLE only_later ()")
            try:
                return await database.rows("SELECT count(*) FROM only_later")
            finally:
                await database.once("DROP TABLE only_later")

        assert run(scene) == [(0,)]

    def test_a_table_that_changed_is_asked_anew(self, db):
        async def scene(database):
            await database.once("CREATE TABLE changing (a int)")
            try:
                before = await database.rows("SELECT * FROM changing")
                await database.once("INSERT INTO changing VALUES (1)")
                await database.once("ALTER TABLE changing ADD b int")
                with pytest.raises(psycopg.errors.FeatureNotSupported):
                    await database.rows("SELECT * FROM changing")
                return before, await database.rows("SELECT * FROM changing")
            finally:
                await database.once("DROP TABLE changing")

        assert run(scene) == ([], [(1, None)])

    def test_who_leaves_takes_no_answer_along(self):
        async def scene(db):
            await db.rows(PID)
            leaving = asyncio.ensure_future(db.rows("SELECT pg_sleep(0.2)"))
            staying = asyncio.ensure_future(db.rows("SELECT 2"))
            await asyncio.sleep(0.05)
            leaving.cancel()
            return await staying

        assert run(scene) == [(2,)]

    def test_its_statements_walk_along_indexes(self):
        """Whatever size the tables had when they were planned: none reads a table whole."""
        names = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "indexscan", "nestloop")
        asked = ", ".join(f"current_setting('enable_{name}')" for name in names)
        sql = f"SELECT {asked}, current_setting('plan_cache_mode')"

        [found] = run(lambda db: db.rows(sql))

        assert found == ("off", "off", "off", "off", "on", "on", "force_generic_plan")


class TestTogether:
    def test_gives_each_key_its_own_rows_in_their_order(self):
        async def scene(db):
            asked = (db.each(COUNT_DOWN, [(n,), (0,), (n + 1,)]) for n in range(100))
            return await asyncio.gather(*asked)

        down = [[(left,) for left in range(n, 0, -1)] for n in range(101)]
        assert run(scene) == [[down[n], [], down[n + 1]] for n in range(100)]

    def test_knows_values_by_their_place_and_by_their_name(self):
        sql = "SELECT %s, '100 %%', asked.at, asked.who, %s, asked.is_new"
        columns = {"who": "uuid", "at": "timestamptz", "is_new": "boolean", "name": "text"}

        async def scene(db):
            return await db.each(Question(sql, as_text=True, **columns), [(ID, AT, True, "x")])

        at = "2026-11-27 01:02:03.000004+00"
        assert run(scene) == [[(str(ID), "100 %", at, str(ID), at, True)]]

    def test_sends_one_statement_for_who_asks_at_once_or_while_one_is_on_its_way(self):
        slowly = Question("SELECT %s, pg_sleep(0.2) IS NULL", n="int")

        async def scene(db):
            sent, rows = [], db.rows

            async def counting(sql, values, **options):
                sent.append(values)
                return await rows(sql, values, **options)

            db.rows, asked = counting, []
            for at_once in ((0, 0), (1,), (2, 2, 3)):
                asked += [asyncio.ensure_future(db.each(slowly, [(n,)])) for n in at_once]
                await asyncio.sleep(0.02)
            found = await asyncio.gather(*asked)
            await asyncio.gather(*(db.each(slowly, [(n % 7,)]) for n in range(LARGEST)))
            return sent, [rows[0][0] for [rows] in found]

        sent, found = run(scene)
        assert sent == [["{0}"], ["{1,2,3}"], ["{0,1,2,3,4,5,6}"]]
        assert found == [0, 0, 1, 2, 2, 3]

    def test_sends_no_statement_for_very_many(self):
        ask = Question("SELECT count(*) OVER () FROM generate_series(1, %s)", n="int")

        async def scene(db):
            sizes, rows = [], db.rows

            async def counting(sql, values, **options):
                sizes.append(values[0].count(",") + 1)
                return await rows(sql, values, **options)

            db.rows = counting
            await asyncio.gather(*(db.each(ask, [(n,)]) for n in range(LARGEST * 2 + 3)))
            return sizes

        assert run(scene) == [LARGEST, LARGEST, 3]

    def test_whoever_asks_sees_what_was_committed_before(self, db):
        count = Question("SELECT count(*), %s, pg_sleep(0.2) IS NULL FROM counted", same="int")

        async def scene(database):
            await database.once("CREATE TABLE counted ()")
            try:
                before = asyncio.ensure_future(database.each(count, [(1,)]))
                await asyncio.sleep(0.1)
                await database.once("INSERT INTO counted DEFAULT VALUES")
                after = await database.each(count, [(1,)])
                return [rows[0][0] for [rows] in (await before, after)]
            finally:
                await database.once("DROP TABLE counted")

        assert run(scene) == [0, 1]

    def test_who_leaves_takes_nobody_along(self):
        async def scene(db):
            first, leaving, staying = (
                asyncio.ensure_future(db.each(COUNT_DOWN, [(n,)])) for n in (1, 1, 2)
            )
            await asyncio.sleep(0)
            leaving.cancel()
            return await first, await staying

        assert run(scene) == ([[(1,)]], [[(2,), (1,)]])

    def test_a_refusal_is_for_those_alone_who_asked_then(self):
        divide = Question("SELECT 6 / %s", by="int")

        async def scene(db):
            asked = (db.each(divide, [(n,)]) for n in (0, 1))
            refused = await asyncio.gather(*asked, return_exceptions=True)
            return {type(error) for error in refused}, await db.each(divide, [(2,)])

        assert run(scene) == ({psycopg.errors.DivisionByZero}, [[(3,)]])


class TestAlone:
    def test_who_waits_holds_up_nobody(self):
        async def scene(db):
            waiting = asyncio.ensure_future(db.once(SLEEP, [30]))
            await asyncio.sleep(0.1)
            found = [await db.once("SELECT 1"), await db.rows("SELECT 2")]
            waiting.cancel()
            return found, waiting.done()

        assert run(scene, connections=2) == ([[(1,)], [(2,)]], False)

    def test_are_lent_first_come_first_served_and_kept(self):
        async def scene(db):
            order = []

            async def ask(n):
                [(pid,)] = await db.once(PID)
                order.append(n)
                return pid

            pids = await asyncio.gather(*(ask(n) for n in range(20)))
            return order, len(set(pids))

        assert run(scene, connections=1) == (list(range(20)), 1)

    def test_whoever_leaves_amid_a_statement_leaves_its_connection(self):
        async def scene(db):
            leaving = asyncio.ensure_future(db.once(SLEEP, [30]))
            await asyncio.sleep(0.1)
            leaving.cancel()
            return await asyncio.wait_for(db.once("SELECT 1"), 5)

        assert run(scene, connections=1) == [(1,)]


class TestLoss:
    def test_between_statements_is_not_noticed(self):
        async def scene(db):
            await db.rows("SELECT 1")
            await db.once("SELECT 1")
            await asyncio.to_thread(kill_all)
            await asyncio.sleep(0.1)
            return [await db.rows("SELECT 2"), await db.once("SELECT 3")]

        assert run(scene) == [[(2,)], [(3,)]]

    def test_amid_what_reads_asks_again(self):
        async def scene(db):
            asked = [
                asyncio.ensure_future(db.rows("SELECT pg_sleep(0.5) IS NULL, 1")) for _ in range(3)
            ]
            await asyncio.sleep(0.2)
            await asyncio.to_thread(kill_all)
            return await asyncio.gather(*asked)

        assert run(scene) == [[(False, 1)]] * 3

    def test_amid_what_may_have_written_is_told(self):
        async def scene(db):
            asked = asyncio.ensure_future(db.once(SLEEP, [30]))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(kill_all)
            with pytest.raises(psycopg.OperationalError):
                await asked
            return await db.once("SELECT 1")

        assert run(scene) == [(1,)]

    @pytest.mark.parametrize("ask", ["rows", "once"])
    def test_of_a_database_that_stays_away_is_told_in_time(self, there, ask):
        nowhere = there | {"host": "127.0.0.1", "port": 1}

        async def scene(db):
            asked = (getattr(db, ask)("SELECT 1") for _ in range(5))
            return await asyncio.gather(*asked, return_exceptions=True)

        with (
            patch.object(async_database, "PATIENCE_S", 0.3),
            patch.object(async_database, "parameters", lambda **_settings: nowhere),
        ):
            found = run(scene)

        assert {type(error) for error in found} == {psycopg.OperationalError}

    def test_of_a_database_that_comes_back_is_waited_for(self, there):
        asked = [there | {"host": "127.0.0.1", "port": 1}] * 3

        def at_last(**_settings):
            return asked.pop() if asked else there

        with patch.object(async_database, "parameters", at_last):
            assert run(lambda db: db.rows("SELECT 1")) == [(1,)]
        assert not asked
