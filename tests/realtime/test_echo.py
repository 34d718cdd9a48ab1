import asyncio

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from parley.realtime.echo import Echo
from tests.realtime.conftest import serving


async def meet(scope, *heard):
    """Return what an echo says to whoever says this, and the scopes that it lets through."""
    said, passed, waiting = [], [], list(heard)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        said.append(message)

    async def application(scope, _receive, _send):
        passed.append(scope)

    await Echo(application)(scope, receive, send)
    return said, passed


async def nothing(_scope, receive, send):
    """Do nothing but begin and end as a server does."""
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class TestEcho:
    def test_says_again_what_it_hears_empty_frames_too(self):
        heard = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": ""},
            {"type": "websocket.receive", "text": None, "bytes": b"\x00"},
            {"type": "websocket.disconnect", "code": 1000},
        ]

        said, _ = asyncio.run(meet({"type": "websocket", "path": "/ws/_echo"}, *heard))

        assert said == [
            {"type": "websocket.accept"},
            {"type": "websocket.send", "text": ""},
            {"type": "websocket.send", "bytes": b"\x00"},
        ]

    @pytest.mark.parametrize(
        "scope",
        [
            {"type": "websocket", "path": "/ws/"},
            {"type": "http", "path": "/ws/_echo"},
            {"type": "lifespan"},
        ],
    )
    def test_lets_everything_else_through(self, scope):
        assert asyncio.run(meet(scope)) == ([], [scope])

    def test_is_left_in_the_middle_of_a_message_without_complaint(self):
        half = Frame(Opcode.TEXT, b"half a", fin=False)
        leave = Frame(Opcode.CLOSE, Close(1000, "").serialize())
        with serving(Echo(nothing)) as address, connect(f"ws://{address}/ws/_echo") as line:
            line.socket.sendall(half.serialize(mask=True) + leave.serialize(mask=True))

            with pytest.raises(ConnectionClosed) as closed:
                line.recv(timeout=10)
            assert closed.value.rcvd.code == 1000
