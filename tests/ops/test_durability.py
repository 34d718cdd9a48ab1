import logging

import pytest
from django.db import connection

from parley.ops import durability

pytestmark = [pytest.mark.databases, pytest.mark.django_db]

SAFE, UNSAFE = {
    "postgresql": ({"synchronous_commit": "on"}, {"synchronous_commit": "off"}),
    "mysql": ({"innodb_flush_log_at_trx_commit": "1"}, {}),  # of the whole server: not ours to set
    "sqlite": ({"synchronous": "full"}, {"synchronous": "off"}),
}[connection.vendor]


@pytest.fixture
def setting(transactional_db):
    def put(settings):
        with connection.cursor() as cursor:
            for name, value in settings.items():
                if connection.vendor == "postgresql":
                    cursor.execute(f"SET {name} = {value}")
                elif connection.vendor == "sqlite":
                    cursor.execute(f"PRAGMA {name} = {value}")

    yield put
    connection.close()  # what was set goes with it


@pytest.fixture
def report(caplog):
    """Return the function that reports and gives what was said, and what was warned of.

    Read where the standard library's logging has it: a logger that an earlier test used keeps
    that test's processors, and structlog's own capture then sees nothing.
    """

    def said():
        with caplog.at_level(logging.INFO, logger=durability.__name__):
            durability.report()
        lines = {record.levelname: record.msg for record in caplog.records}
        return lines["INFO"], lines.get("WARNING", {})

    return said


def test_says_how_durable_commits_are(setting, report):
    setting(SAFE)
    said, warned = report()
    assert said.items() >= SAFE.items()
    assert not warned.keys() & SAFE.keys()


def test_warns_where_a_power_cut_can_cost_messages(setting, report):
    setting(UNSAFE)
    _, warned = report()
    assert warned.items() >= UNSAFE.items()
