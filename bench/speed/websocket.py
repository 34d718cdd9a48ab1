"""Send over WebSockets, each as soon as the last was acknowledged; what plays a row, alone.

    python -m bench.speed.websocket PORT PAIRS CLIENTS SECONDS

It is no library's client: a frame is made before it starts (with a mask of zeros, which changes
nothing), and what comes is only searched for an ``ack``. Says what ``load.lua`` says.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

import uvloop

SAID = '{"type":"send","ref":1,"conversation":"%s","message_body":"%s"}'
BODY = "The quick brown fox jumps over the lazy dog, again and again."
HEAD = (
    "GET /ws/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ACK, ERROR, HELLO = b'"type":"ack"', b'"type":"error"', b'"hello"'


def frame(text: str) -> bytes:
    """Return a masked text frame."""
    body = text.encode()
    length = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2)
    return b"\x81" + length + bytes(4) + body


class Client(asyncio.Protocol):
    def __init__(self, token: str, conversation: str) -> None:
        self.head, self.frame = HEAD.format(token).encode(), frame(SAID % (conversation, BODY))
        self.found, self.began, self.is_ending = b"", 0.0, False
        self.latencies: list[float] = []
        self.errors = 0
        self.is_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.head)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        text = self.found + data
        if not self.is_open.done():
            self.found = text
            if HELLO in text:
                self.found = b""
                self.is_open.set_result(None)
            return
        self.found = text[-len(ERROR) + 1 :]
        if ACK in text or ERROR in text:
            self.found = b""
            self.errors += ERROR in text
            self.latencies.append(time.perf_counter() - self.began)
            if not self.is_ending:
                self.say()

    def say(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.frame)  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        self.errors += not self.is_ending
        if not self.is_open.done():
            self.is_open.set_exception(error or ConnectionError(self.found.decode()))


async def play(port: int, pairs: list[str], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    clients = []
    for pair in pairs:
        client = Client(*pair.split()[:2])
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
        await asyncio.wait_for(client.is_open, 30)
        clients.append(client)
    began = time.perf_counter()
    for client in clients:
        client.say()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    found = sorted(latency for client in clients for latency in client.latencies)
    for client in clients:
        client.is_ending = True
    p50, p99 = (found[min(len(found) * part // 100, len(found) - 1)] for part in (50, 99))
    errors = sum(client.errors for client in clients)
    print("BENCH", len(found), *(round(1e6 * each) for each in (took, p50, p99)), errors)
    await asyncio.sleep(0.2)  # what is under way
    for client in clients:
        client.transport.close()


if __name__ == "__main__":
    given = Path(sys.argv[2]).read_text().splitlines()
    chosen = random.Random(7).sample(given, int(sys.argv[3]))
    uvloop.run(play(int(sys.argv[1]), chosen, float(sys.argv[4])))
