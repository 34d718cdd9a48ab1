"""A transport that has the kernel take at once what is written at once.

Head and body of an answer, an acknowledgement and the event about the same message: to hand them
over one by one costs more than to make them. What is written in a turn of the event loop goes out
before the next one waits for anything.
"""

from __future__ import annotations

import asyncio
from typing import Any

# Bytes; more goes out at once, for the transport to say if it is too much.
MOST_GATHERED = 64 * 1024


class Gathering(asyncio.Transport):
    """A connection's transport, but for the moment at which it writes."""

    __slots__ = ("_gathered", "_inner", "_loop", "_size", "abort", "is_closing")

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop
        self._gathered: list[bytes] = []
        self._size = 0
        # What is asked with every frame goes there directly.
        self.is_closing, self.abort = inner.is_closing, inner.abort  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._gathered:
            self._loop.call_soon(self._put_out)
        self._gathered.append(bytes(data))
        self._size += len(data)
        if self._size > MOST_GATHERED:
            self._put_out()

    def write_now(self, data: bytes) -> None:
        """Write what nothing will follow in this turn, with all that was written before it."""
        if self._gathered:
            self._gathered.append(data)
            self._put_out()
        else:
            self._inner.write(data)

    def _put_out(self) -> None:
        if self._gathered:
            gathered, self._gathered, self._size = self._gathered, [], 0
            if not self._inner.is_closing():
                self._inner.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def close(self) -> None:
        self._put_out()
        self._inner.close()

    def write_eof(self) -> None:
        self._put_out()
        self._inner.write_eof()

    def get_write_buffer_size(self) -> int:
        return self._size + self._inner.get_write_buffer_size()

    # --- all else is the transport's

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def is_reading(self) -> bool:
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner.set_protocol(protocol)
