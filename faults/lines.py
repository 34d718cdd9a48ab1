"""Connections by their bytes, of which thousands cost little here."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

STATUS = re.compile(rb"HTTP/1\.1 (\d+).*?\r\n\r\n", re.DOTALL)
CURSOR = re.compile(rb'"cursor": ?"([^"]+)"')
CLOSE = re.compile(rb"\x88[\x02-\x7d](..)[^\x00]*$", re.DOTALL)
LONGEST_FOUND = 1_000  # bytes in which what is waited for may lie
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"


@dataclass
class Line:
    """One connection to a server, and what was read of it last."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    found: bytes = b""

    @classmethod
    async def open(cls, address: str, credential: str, path: str, more: str, place: int) -> Line:
        """Connect from a loopback address of one's own, for there are only so many ports; ask."""
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(
            host, int(port), local_addr=(f"127.0.0.{place}", 0)
        )
        head = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {credential}\r\n"
        writer.write(f"{head}{more}\r\n".encode())
        return cls(reader, writer)

    async def until(self, wanted: re.Pattern[bytes]) -> re.Match[bytes]:
        """Read until this comes; answer pings meanwhile."""
        while not (match := wanted.search(self.found)):
            data = await self.reader.read(65_536)
            if not data:
                raise ConnectionResetError(_why(self.found))
            if PING in data:
                self.writer.write(PONG)
            self.found = self.found[-LONGEST_FOUND:] + data
        return match

    async def status(self) -> tuple[int, bool]:
        """Return the status of the answer, and whether it says when to come again."""
        head = await self.until(STATUS)
        return int(head[1]), b"retry-after:" in head[0].lower()

    def resume(self, cursor: str) -> None:
        """Ask, on a WebSocket, for what was missed since a cursor."""
        body = b'{"type":"resume","cursor":"%b"}' % cursor.encode()
        self.writer.write(b"\x81\xfe" + len(body).to_bytes(2) + bytes(4) + body)

    def cut(self) -> None:
        self.writer.transport.abort()


def _why(found: bytes) -> str:
    """Return the code that a WebSocket was closed with, as the last bytes of it say."""
    last = CLOSE.search(found)
    return f"closed with {int.from_bytes(last[1])}" if last else "cut off"
