"""How a server ends that has live connections open, as its clients see it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import websockets
from django.core.asgi import get_asgi_application

from parley.realtime.service import Live
from tests.realtime.conftest import events, heard, live, serving

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def process(folder, **variables):
    """``manage.py serve`` in a process of its own; give it and its address."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    given = {"PARLEY_ENV_FILE": os.devnull, "PARLEY_DATA_DIR": str(folder), "PORT": "0"}
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "serve",
        cwd=ROOT,
        env=kept | given | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while b"Parley answers at" not in (line := await server.stdout.readline()):
                assert line, "it did not start"
        yield server, line.decode().split("//")[1].strip().rstrip("/")
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def account(address, name):
    """Sign someone up, and return the header that proves who they are."""
    given = {"username": name, "password": "a lamp in the corner"}
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        answer = await client.post("/api/register/", json=given)
        assert answer.status_code == 201, answer.text
        answer = await client.post("/api/token/", json=given)
        return {"Authorization": f"Bearer {answer.json()['access']}"}


class TestTheEnd:
    @pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
    def test_sends_everyone_away_with_a_cursor_and_hangs_on_nobody(self, tmp_path, end):
        async def scene():
            async with process(tmp_path) as (server, address):
                headers = await account(address, "ada")
                async with live(address, headers) as socket, events(address, headers) as (_, found):
                    await anext(found)
                    begun = time.monotonic()
                    server.send_signal(end)
                    assert (await heard(socket, "cursor"))["cursor"]
                    with pytest.raises(websockets.ConnectionClosed) as closed:
                        await heard(socket, "never")
                    assert closed.value.rcvd.code == 4503
                    rest = [(id_, type_) async for id_, type_, _ in found]
                    assert [type_ for _, type_ in rest] == ["cursor"]
                    assert rest[0][0]
                    async with asyncio.timeout(8):
                        await server.wait()
                return server.returncode, time.monotonic() - begun

        code, seconds = asyncio.run(scene())
        assert code == 0
        assert seconds < 5


class Leaving(Live):
    """One that can be told to leave, and goes on to answer."""

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/leave":
            await self.leave()
        await super().__call__(scope, receive, send)


def test_who_asks_at_the_end_is_told_that_the_connection_ends_with_the_answer(transactional_db):
    with serving(Leaving(get_asgi_application())) as address, httpx.Client() as client:
        assert "connection" not in client.get(f"http://{address}/healthz").headers
        client.get(f"http://{address}/leave")
        assert client.get(f"http://{address}/healthz").headers["connection"] == "close"
