"""Frames that are put at once leave together, in order, and before all that follows."""

import asyncio

import pytest
from websockets.sync.client import connect

from parley.http.gathering import MOST_GATHERED
from parley.realtime.frames import Frame
from parley.realtime.lines import LINE
from tests.realtime.conftest import serving

WIDE = MOST_GATHERED // 2 + 1


class Said:
    """A server that says what it is told to, once it is asked, and ends."""

    def __init__(self, say):
        self.say, self.writes = say, []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.receive":
            pass
        line = scope["extensions"][LINE]
        line.transport._inner = Noted(line.transport._inner, self.writes)
        await self.say(line, send)
        await asyncio.sleep(0)  # what was put has gone
        line.end(1000)


class Noted:
    """A transport; it notes what is written."""

    def __init__(self, transport, writes):
        self._transport, self._writes = transport, writes

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data):
        self._writes.append(data)
        self._transport.write(data)


def wire(text):
    return Frame("x", text).wire


def exchange(say):
    """Return what a client hears, and what was written for it."""
    said = Said(say)
    with serving(said) as address, connect(f"ws://{address}/") as client:
        client.send("go")
        return list(client), said.writes[:-1]  # the last ends it


class TestALine:
    def test_puts_out_an_answer_together_with_what_follows_it(self):
        async def say(line, send):
            line.put(wire("one"), is_followed=True)
            line.put(wire("two"), is_followed=True)
            for text in ("three", "four"):
                line.put(wire(text))
            line.put(wire("five"), is_followed=True)  # but nothing does

        heard, writes = exchange(say)
        assert heard == ["one", "two", "three", "four", "five"]
        assert writes == [wire("one") + wire("two") + wire("three"), wire("four"), wire("five")]

    def test_lets_nothing_overtake_what_was_put(self):
        async def say(line, send):
            line.put(wire("one"), is_followed=True)
            await send({"type": "websocket.send", "text": "two"})
            line.put(wire("three"))

        heard, _ = exchange(say)
        assert heard == ["one", "two", "three"]

    def test_keeps_no_more_than_a_little(self):
        async def say(line, send):
            for text in "abc":
                line.put(wire(text * WIDE), is_followed=True)

        heard, writes = exchange(say)
        assert heard == [text * WIDE for text in "abc"]
        assert [len(data) // WIDE for data in writes] == [2, 1]

    @pytest.mark.parametrize("leaves", ["end", "close"])
    def test_ends_behind_what_was_put(self, leaves):
        async def say(line, send):
            line.put(wire("last"), is_followed=True)
            if leaves == "end":
                line.end(1000)
            else:
                await send({"type": "websocket.close", "code": 1000})

        heard, _ = exchange(say)
        assert heard == ["last"]

    def test_says_nothing_behind_its_end(self):
        """The client ends it in the moment in which a frame was put."""

        async def say(line, send):
            line.put(wire("last"), is_followed=True)
            line.data_received(b"\x88\x82\x00\x00\x00\x00\x03\xe8")  # 1000, as a client says it

        said = Said(say)
        with serving(said) as address, connect(f"ws://{address}/") as client:
            client.send("go")
            assert list(client) == ["last"]
        assert said.writes[0].startswith(wire("last"))
        assert b"last" not in b"".join(said.writes[1:])
