"""The people of the tests, and how they speak to a server."""

import os
from collections.abc import Callable
from functools import cache

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection, connections
from django.test import TransactionTestCase
from rest_framework.test import APIClient

from parley.accounts.models import Role, User
from parley.config.settings import KEPT_S
from parley.http import throttling
from parley.http.static import StaticFiles
from parley.kernel import async_database
from tests.emptying import empty_tables

# What several tests share asserts too; this must be said before the first of them imports it.
pytest.register_assert_rewrite(
    "tests.api", "tests.dialects", "tests.promises", "tests.realtime", "tests.talk"
)

PASSWORD = "a lamp in the corner"


def pytest_sessionfinish(session):
    """Where everything is required, a test that was skipped has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    required = os.environ.get("PARLEY_TEST_REQUIRE_ALL") == "1"
    if required and reporter and reporter.stats.get("skipped") and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(config, items):
    """Leave out what is about another database than the one of this run; begin with what is long,
    lest all wait for it in the end.
    """
    if connection.vendor != "postgresql":
        elsewhere = [item for item in items if item.get_closest_marker("postgresql")]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def quick_flush():
    """Empty the tables quickly after each test that commits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: empty_tables())
        yield


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Return the address of the Redis that ``tests/run.py`` found or started."""
    url = os.environ.get("PARLEY_TEST_REDIS")
    return url or pytest.skip("Redis is not here: PARLEY_TEST_REDIS names one")


@pytest.fixture(scope="session", autouse=True)
def static_files():
    """Look for the static files once: each client of a test has middleware of its own."""
    find, found = StaticFiles.add_files_from_finders, {}

    def add(self: StaticFiles) -> None:
        if not found:
            find(self)
            found.update(self.files)
        self.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFiles, "add_files_from_finders", add)
        yield


@pytest.fixture(autouse=True)
def counters():
    """Begin each test with nothing counted: no rate is used up by another one."""
    throttling.forget_all()


@pytest.fixture(autouse=True)
def no_connections_left():
    """End each test with no connections of an event loop that is gone: they keep the database from
    being dropped after all tests, and nobody knows then whose they were.
    """
    before = set(async_database._databases)
    yield
    assert set(async_database._databases) <= before, "a loop ended before close_database()"


@pytest.fixture
def kept_connections(monkeypatch):
    """Have threads keep their connections, as in use."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", KEPT_S)
    connection.close()  # this one was not to be kept


@cache
def _hashed() -> str:
    return make_password(PASSWORD)


@pytest.fixture
def person(db) -> Callable[..., User]:
    """Make a user by name, whose password is ``PASSWORD``."""

    def make(username: str, **fields: object) -> User:
        fields = {"email": f"{username}@example.org", "password": _hashed()} | fields
        user = User(username=username, **fields)
        user.save()
        return user

    return make


@pytest.fixture
def ada(person) -> User:
    """Talks with ben."""
    return person("ada")


@pytest.fixture
def ben(person) -> User:
    """Talks with ada."""
    return person("ben")


@pytest.fixture
def cyd(person) -> User:
    """Joins ada and ben in a group."""
    return person("cyd")


@pytest.fixture
def mallory(person) -> User:
    """Has no business here."""
    return person("mallory")


@pytest.fixture
def admin(person) -> User:
    """May do what only an admin may."""
    return person("admin", role=Role.ADMIN, is_staff=True, is_superuser=True)


@pytest.fixture
def api() -> Callable[..., APIClient]:
    """Return a client that is signed in as a user; without one, a stranger's."""

    def client(user: User | None = None) -> APIClient:
        found = APIClient()
        if user is not None:
            found.force_login(user)
        return found

    return client
