"""From a send to its delivery, at a steady rate that waits for nobody.

    python -m bench.speed.latency SEND_PORT LISTEN_PORT PAIRS CLIENTS SECONDS

Sends a thousand a second over HTTP to one port, each numbered, and listens by WebSockets at the
other; a latency runs from when a message was to be sent, whether a connection was free or not, to
the first of its deliveries. One that has not come at the end is an error. Says what ``load.lua``
says.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections import deque
from pathlib import Path

import uvloop

from bench.speed.websocket import HEAD, HELLO

RATE = 1_000
PATIENCE_S = 15  # with what has not come when the last was sent
NUMBERED = re.compile(rb"number (\d+)\.")
LONGEST = len("number 1000000.")
POST = (
    "POST /api/conversations/{}/messages/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}"
)
SAID = '{"message_body":"number %d."}'


class Clock:
    """When each number was to be sent, until it arrives."""

    def __init__(self) -> None:
        self.left: dict[int, float] = {}
        self.latencies: list[float] = []
        self.refused = 0

    def arrive(self, n: int) -> None:
        began = self.left.pop(n, None)
        if began is not None:
            self.latencies.append(time.perf_counter() - began)


class Listener(asyncio.Protocol):
    def __init__(self, token: str, clock: Clock) -> None:
        self.head, self.clock, self.found = HEAD.format(token).encode(), clock, b""
        self.is_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self.head)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        text = self.found + data
        if not self.is_open.done():
            self.found = text
            if HELLO in text:
                self.is_open.set_result(None)
            return
        for number in NUMBERED.findall(text):
            self.clock.arrive(int(number))
        self.found = text[-LONGEST:]


class Sender(asyncio.Protocol):
    """A connection that sends what is next whenever it is free."""

    def __init__(
        self, token: str, conversation: str, clock: Clock, due: deque[int], free: list[Sender]
    ) -> None:
        self.token, self.conversation = token, conversation
        self.clock, self.due, self.free = clock, due, free

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.free.append(self)

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1"):
            return  # the rest of an answer
        self.clock.refused += not data.startswith(b"HTTP/1.1 201")
        if self.due:
            self.say(self.due.popleft())
        else:
            self.free.append(self)

    def say(self, n: int) -> None:
        body = SAID % n
        text = POST.format(self.conversation, self.token, len(body), body)
        self.transport.write(text.encode())  # type: ignore[attr-defined]


async def play(at: tuple[int, int], pairs: list[str], seconds: float) -> None:
    loop, clock, free = asyncio.get_running_loop(), Clock(), list[Sender]()
    due: deque[int] = deque()
    for pair in pairs:
        token, conversation = pair.split()[:2]
        listener = Listener(token, clock)
        await loop.create_connection(lambda it=listener: it, "127.0.0.1", at[1])
        await asyncio.wait_for(listener.is_open, 30)
        sender = Sender(token, conversation, clock, due, free)
        await loop.create_connection(lambda it=sender: it, "127.0.0.1", at[0])
    await asyncio.sleep(1)  # until their handshakes are done with
    began, n = time.perf_counter(), 0
    while (now := time.perf_counter()) - began < seconds:
        while n < (now - began) * RATE:
            clock.left[n] = time.perf_counter()
            if free:
                free.pop().say(n)
            else:
                due.append(n)
            n += 1
        await asyncio.sleep(0.001)  # less is none to this loop, which counts in milliseconds
    took = time.perf_counter() - began
    ended = time.perf_counter()
    while clock.left and time.perf_counter() - ended < PATIENCE_S:  # noqa: ASYNC110 - others note
        await asyncio.sleep(0.01)
    found = sorted(clock.latencies) or [0.0]
    p50, p99 = (found[min(len(found) * part // 100, len(found) - 1)] for part in (50, 99))
    errors = clock.refused + len(clock.left)
    print("BENCH", len(found), *(round(1e6 * each) for each in (took, p50, p99)), errors)


if __name__ == "__main__":
    chosen = random.Random(7).sample(Path(sys.argv[3]).read_text().splitlines(), int(sys.argv[4]))
    uvloop.run(play((int(sys.argv[1]), int(sys.argv[2])), chosen, float(sys.argv[5])))
