"""A real server with live doors, and clients that speak to it over real sockets."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
import websockets
from django.core.asgi import get_asgi_application
from django.db import connection
from uvicorn import Config, Server

from parley.http.tokens import sign_in
from parley.kernel.async_database import close_database
from parley.messaging import group_commit
from parley.realtime.lines import Line, StreamLine
from parley.realtime.service import Live


async def nothing():
    pass


def closing(application, ending):
    """An application that sends what it has taken, and lets go of its loop's connections, before it
    says that it has ended: what a task does after that is cancelled with the loop.
    """

    async def served(scope, receive, send):
        async def sending(message):
            if message["type"] == "lifespan.shutdown.complete":
                await group_commit.drain()
                await close_database()
                await ending()
            await send(message)

        await application(scope, receive, sending if scope["type"] == "lifespan" else send)

    return served


@contextmanager
def serving(application, buffered=None, ending=nothing, **others):
    """Serve an application on a port of its own, on a thread; give its address.

    ``buffered`` is how many bytes the kernel keeps for a client that does not read; ``ending`` is
    called at the end.
    """
    lines = {"http": StreamLine, "ws": Line} | others
    config = Config(closing(application, ending), port=0, log_config=None, lifespan="on", **lines)
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive(), "the server did not start"
    listener = server.servers[0].sockets[0]
    if buffered:  # a connection has what its listener has
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffered)
    port = listener.getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def server(transactional_db):
    with serving(Live(get_asgi_application())) as address:
        yield address


@pytest.fixture
def bearer():
    """The header that proves who a user is."""

    def header(user):
        with ThreadPoolExecutor(1) as thread:  # scenes ask from within their event loop
            return thread.submit(_signed_in, user).result()

    return header


def _signed_in(user):
    try:
        return {"Authorization": f"Bearer {sign_in(user).access}"}
    finally:
        connection.close()


@asynccontextmanager
async def live(address, headers=None, query="", **options):
    """An open WebSocket; ``hello`` has been read, and is ``socket.hello``."""
    url = f"ws://{address}/ws/{query}"
    async with websockets.connect(url, additional_headers=headers, **options) as socket:
        socket.hello = await heard(socket)
        yield socket


async def heard(socket, *types, seconds=8):
    """Wait for the next frame of one of these types (of any, if none is named)."""
    async with asyncio.timeout(seconds):
        while True:
            frame = json.loads(await socket.recv())
            if not types or frame["type"] in types:
                return frame


async def quiet(socket, *types, seconds=0.5):
    """Whether no frame of these types comes for a while."""
    try:
        await heard(socket, *types, seconds=seconds)
    except TimeoutError:
        return True
    return False


async def put(socket, **frame):
    await socket.send(json.dumps(frame))


async def in_thread(call, *args, **named):
    """Do something on the database while the sockets go on."""

    def called():
        try:
            return call(*args, **named)
        finally:
            connection.close()

    return await asyncio.to_thread(called)


@asynccontextmanager
async def events(address, headers, **parameters):
    """An open event stream: an iterator over (id, event, data)."""
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client,
        client.stream("GET", "/api/events/", headers=headers, params=parameters) as stream,
    ):
        yield stream, _events_of(stream)


async def _events_of(stream):
    fields = {}
    async for line in stream.aiter_lines():
        if line.startswith(":"):
            continue
        if not line and fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
