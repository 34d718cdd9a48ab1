"""What one connection may do, and how one ends whose client does not keep up or is gone."""

import asyncio
import contextlib
import json
import socket as sockets
import struct
from contextlib import asynccontextmanager

import pytest
from django.core.asgi import get_asgi_application
from websockets.frames import Frame, Opcode

from parley.ops.management.commands import serve
from parley.realtime import connections, greetings, hub, lines, presence, sse, websocket
from parley.realtime.service import Live
from tests.realtime.conftest import heard, in_thread, live, put, serving
from tests.talk import direct, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


class Raw:
    """A WebSocket of a client that does only what it is told to."""

    @classmethod
    @asynccontextmanager
    async def open(cls, address, headers, *, buffered=None):
        self = cls()
        await self._connect(address, headers, buffered)
        try:
            yield self
        finally:
            self.writer.transport.abort()

    async def _connect(self, address, headers, buffered):
        host, _, port = address.partition(":")
        line = sockets.socket()
        if buffered:
            line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, buffered)
        line.connect((host, int(port)))
        self.reader, self.writer = await asyncio.open_connection(sock=line, limit=4096)
        given = headers | {
            "Host": address,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.writer.write(f"GET /ws/ HTTP/1.1\r\n{head}\r\n".encode())
        assert (await self.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        self.hello = json.loads((await self.frame())[1])

    async def frame(self):
        """The next frame: its opcode and what is in it."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            [size] = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            [size] = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(size)

    async def close_code(self, seconds=8):
        """Read until the server says why it closes."""
        async with asyncio.timeout(seconds):
            while True:
                opcode, data = await self.frame()
                if opcode == Opcode.CLOSE:
                    return struct.unpack("!H", data[:2])[0]

    def put(self, opcode, data, *, fin=True):
        self.writer.write(Frame(opcode, data, fin).serialize(mask=True))


@pytest.fixture
def quick(monkeypatch):
    """Have everything that takes seconds take tenths of them."""
    monkeypatch.setattr(hub, "PULSE_S", 0.05)
    monkeypatch.setattr(websocket, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(connections, "SEND_S", 0.4)


@pytest.fixture
def short_life(quick, monkeypatch):
    monkeypatch.setattr(connections, "LIFE_S", 0.8)


class TestLife:
    def test_that_is_gone_frees_all_of_a_connection_within_a_minute(self):
        noticed = hub.HEARTBEAT_S, connections.LIFE_S + hub.PULSE_S
        assert noticed[0] < noticed[1]
        assert noticed[1] + max(lines.GONE_S, presence.OFFLINE_AFTER_S) < 60
        assert connections.SEND_S + hub.PULSE_S + lines.END_S < 60
        # Of an event stream the kernel tells, once it does not take a comment.
        assert sse.COMMENT_S + serve.DEAF_MS / 1_000 + presence.OFFLINE_AFTER_S < 60

    def test_is_missed_in_a_client_that_answers_no_ping(self, short_life, server, bearer, ada):
        async def scene():
            async with Raw.open(server, bearer(ada)) as socket:
                return await socket.close_code()

        assert asyncio.run(scene()) == 4408

    def test_that_is_missed_leaves_less_time_for_the_last_frames(
        self, short_life, server, bearer, ada, monkeypatch
    ):
        monkeypatch.setattr(websocket, "GONE_S", 0.2)

        async def scene():
            async with Raw.open(server, bearer(ada)) as socket:
                assert await socket.close_code() == 4408
                async with asyncio.timeout(lines.END_S / 2):
                    with contextlib.suppress(ConnectionError):
                        assert await socket.reader.read() == b""

        asyncio.run(scene())

    def test_is_not_missed_in_who_waits_to_be_let_in(
        self, short_life, server, bearer, ada, monkeypatch
    ):
        greet = greetings.greet

        async def slowly(*given, **known):
            await asyncio.sleep(1.5)  # longer than a client may be silent
            return await greet(*given, **known)

        async def scene():
            async with live(server, bearer(ada)) as socket:  # which answers pings
                await asyncio.sleep(0.5)
                await put(socket, type="ping", ref=1)
                assert (await heard(socket, "pong"))["ref"] == 1

        monkeypatch.setattr(greetings, "greet", slowly)
        asyncio.run(scene())

    @pytest.mark.parametrize("sign", [Opcode.PONG, Opcode.TEXT])
    def test_is_seen_in_any_frame(self, short_life, server, bearer, ada, sign):
        async def scene():
            async with Raw.open(server, bearer(ada)) as socket:
                beats = 0
                while beats < 15:  # 1.5 s
                    opcode, _ = await socket.frame()
                    assert opcode != Opcode.CLOSE
                    if opcode == Opcode.PING:
                        beats += 1
                        socket.put(sign, b"{}" if sign is Opcode.TEXT else b"")
                return await socket.close_code()

        assert asyncio.run(scene()) == 4408


class TestFrames:
    def test_in_pieces_are_not_gathered_beyond_the_limit(self, server, bearer, ada):
        async def scene():
            async with Raw.open(server, bearer(ada)) as socket:
                socket.put(Opcode.TEXT, b"x" * 30_000, fin=False)
                for _ in range(2):
                    socket.put(Opcode.CONT, b"x" * 30_000, fin=False)
                return await socket.close_code()

        assert asyncio.run(scene()) == 4413

    def test_are_answered_in_their_order(self, server, bearer, ada, ben):
        async def scene():
            async with live(server, bearer(ada)) as socket:
                for n in range(20):
                    await put(socket, type="send", ref=n, recipient="ben", message_body=str(n))
                acks = [await heard(socket, "ack") for _ in range(20)]
                return [(ack["ref"], ack["message"]["seq"]) for ack in acks]

        assert asyncio.run(scene()) == [(n, n + 1) for n in range(20)]


class TestSlowness:
    def test_of_one_ends_it_and_delays_nobody(self, quick, transactional_db, bearer, ada, ben):
        talk = direct(ada, ben)

        async def scene(address):
            async with (
                Raw.open(address, bearer(ada), buffered=4096) as slow,
                live(address, bearer(ben)) as other,
            ):
                for n in range(40):
                    await in_thread(say, ada, talk, str(n) + "x" * 9_000)
                    assert (await heard(other, "message.created"))["message"]["seq"] == n + 1
                await asyncio.sleep(1)
                code = await slow.close_code()
            async with live(address, bearer(ada)) as socket:
                await put(socket, type="resume", cursor=slow.hello["cursor"])
                news = await heard(socket, "sync")
                seen = [m["seq"] for c in news["conversations"] for m in c["messages"]]
                return code, max(seen)

        with serving(Live(get_asgi_application()), buffered=4096) as address:
            assert asyncio.run(scene(address)) == (4510, 40)
