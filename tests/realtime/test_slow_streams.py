"""An event stream whose client does not read, or is gone, ends and keeps nothing."""

import asyncio
import gc
import socket as sockets
from contextlib import asynccontextmanager

import pytest
from django.core.asgi import get_asgi_application

from parley.realtime import connections, hub, lines
from parley.realtime.service import Live
from parley.realtime.sse import Stream
from tests.realtime.conftest import events, in_thread, serving
from tests.talk import direct, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

BUFFERED = 4096


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Have everything that takes seconds take tenths of them."""
    monkeypatch.setattr(hub, "PULSE_S", 0.05)
    monkeypatch.setattr(connections, "SEND_S", 0.4)
    monkeypatch.setattr(lines, "END_S", 0.5)


@pytest.fixture
def address(transactional_db):
    with serving(Live(get_asgi_application()), buffered=BUFFERED) as found:
        yield found


@asynccontextmanager
async def unread(address, headers):
    """A stream that has begun, and of which nothing more is read."""
    host, _, port = address.partition(":")
    line = sockets.socket()
    line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, BUFFERED)
    line.connect((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=line, limit=BUFFERED)
    head = "".join(f"{name}: {value}\r\n" for name, value in (headers | {"Host": address}).items())
    writer.write(f"GET /api/events/ HTTP/1.1\r\n{head}\r\n".encode())
    await reader.readuntil(b"event: cursor")
    try:
        yield reader
    finally:
        writer.transport.abort()


def kept():
    """The streams and their lines, with all that waits in either."""
    gc.collect()
    found = [each for each in gc.get_objects() if isinstance(each, Stream | lines.StreamLine)]
    return [each for each in found if not isinstance(each, lines.StreamLine) or each._is_taken]


async def left(count):
    """Wait until no more than so many streams are left."""
    async with asyncio.timeout(8):
        while len(kept()) > 2 * count:  # noqa: ASYNC110 - the server's, on another thread
            await asyncio.sleep(0.1)


class TestAStream:
    def test_that_is_not_read_ends_keeps_nothing_and_delays_nobody(self, address, bearer, ada, ben):
        talk = direct(ada, ben)

        async def scene():
            async with (
                unread(address, bearer(ada)),
                events(address, bearer(ben)) as (_, found),
            ):
                await anext(found)
                for n in range(40):
                    await in_thread(say, ada, talk, str(n) + "x" * 9_000)
                    async for _, type_, data in found:
                        if type_ == "message.created":
                            assert data["message"]["seq"] == n + 1
                            break
                await left(1)  # the other one lives

        asyncio.run(scene())

    @pytest.mark.parametrize("server_lines", [{}, {"http": "httptools"}], ids=["own", "any"])
    def test_whose_client_goes_is_let_go(self, transactional_db, bearer, ada, ben, server_lines):
        talk = direct(ada, ben)

        async def scene(address):
            async with events(address, bearer(ben)) as (_, found):
                await anext(found)
                await in_thread(say, ada, talk, "heard")
                _, type_, _ = await anext(found)
                assert type_ == "message.created"
                assert kept()
            await left(0)

        with serving(Live(get_asgi_application()), **server_lines) as address:
            asyncio.run(scene(address))

    def test_takes_nothing_that_its_client_still_sends(self, address, bearer, ada, ben):
        talk = direct(ada, ben)

        async def scene():
            async with unread(address, bearer(ben)) as reader:
                reader._transport.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
                await in_thread(say, ada, talk, "still here")
                async with asyncio.timeout(8):
                    await reader.readuntil(b"still here")

        asyncio.run(scene())
