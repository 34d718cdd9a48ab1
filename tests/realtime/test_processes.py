"""Two server processes over one database: what one takes, the devices at the other hear."""

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection

from tests.realtime.conftest import heard, live, put
from tests.realtime.test_farewell import account, process

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def _database_url():
    """The tests' own database, as another process reaches it."""
    given = os.environ.get("DATABASE_URL")
    if not given:
        return f"sqlite:///{connection.settings_dict['NAME']}"
    return urlsplit(given)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


@pytest.fixture
def variables():
    """What both processes are told: the same database and keys, and a broker where there is one."""
    given = {
        "DATABASE_URL": _database_url(),
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "PARLEY_RATES": "off",
    }
    if connection.vendor == "mysql":
        given["REDIS_URL"] = os.environ.get("PARLEY_TEST_REDIS", "redis://127.0.0.1:6379") + "/9"
    return given


@asynccontextmanager
async def two_servers(folder, variables):
    async with AsyncExitStack() as stack:
        _, one = await stack.enter_async_context(process(folder, **variables))
        _, other = await stack.enter_async_context(process(folder, **variables))
        yield one, other


async def post(client, body):
    given = {"recipient": "ben", "message_body": body}
    answer = await client.post("/api/messages/", json=given)
    assert answer.status_code == 201, answer.text


def _end_broker_connections(variables):
    """Cut every connection that carries hints, as an operator or a fault would."""
    if url := variables.get("REDIS_URL"):
        client = redis.Redis.from_url(url)
        for each in client.client_list():
            if each["db"] == "9" and each["id"] != str(client.client_id()):
                client.client_kill_filter(_id=each["id"])
        client.close()
    elif connection.vendor == "postgresql":
        with psycopg.connect(variables["DATABASE_URL"], autocommit=True) as own:
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify%')"
            )


class TestTwoProcesses:
    def test_lose_nothing_and_keep_the_order_though_the_broker_is_cut(self, tmp_path, variables):
        async def scene():
            async with two_servers(tmp_path, variables) as (one, other):
                adas, bens = await account(one, "ada"), await account(other, "ben")
                async with (
                    httpx.AsyncClient(base_url=f"http://{one}", headers=adas, timeout=20) as client,
                    live(other, bens) as far,
                    live(one, bens) as near,
                ):
                    for n in range(30):
                        if n % 10 == 5:
                            await asyncio.to_thread(_end_broker_connections, variables)
                        await post(client, f"number {n}")
                    for socket in (near, far):
                        got = [await heard(socket, "message.created") for _ in range(30)]
                        assert [e["message"]["seq"] for e in got] == [*range(1, 31)]
                        assert [e["message"]["message_body"] for e in got] == [
                            f"number {n}" for n in range(30)
                        ]

        asyncio.run(scene())

    def test_hear_each_other_at_once_where_there_is_a_broker(self, tmp_path, variables):
        patience = 4 if connection.vendor == "sqlite" else 0.9

        async def scene():
            async with two_servers(tmp_path, variables) as (one, other):
                adas, bens = await account(one, "ada"), await account(other, "ben")
                async with (
                    httpx.AsyncClient(base_url=f"http://{one}", headers=adas, timeout=20) as client,
                    live(other, bens) as far,
                ):
                    await post(client, "first")
                    await heard(far, "message.created")
                    await post(client, "second")
                    await heard(far, "message.created", seconds=patience)

        asyncio.run(scene())

    def test_know_who_is_at_the_other_though_they_start_later(self, tmp_path, variables, redis_url):
        if connection.vendor == "sqlite":  # which has no broker of its own
            variables["REDIS_URL"] = f"{redis_url}/9"

        async def scene():
            async with process(tmp_path, **variables) as (_, one):
                adas, bens = await account(one, "ada"), await account(one, "ben")
                async with httpx.AsyncClient(base_url=f"http://{one}", headers=adas) as client:
                    await post(client, "hello")
                async with (
                    live(one, adas) as there,
                    process(tmp_path, **variables) as (_, late),
                    live(late, bens) as here,
                ):
                    await put(here, type="watch", users=[there.hello["user_id"]])
                    async with asyncio.timeout(5):
                        while (await heard(here, "presence"))["state"] != "online":
                            pass

        asyncio.run(scene())
