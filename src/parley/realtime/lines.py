"""uvicorn's WebSockets, with what ASGI has no words for: finished frames, pings, limits, ends.

An application finds the line in its scope, as an extension; without it, by another server, all
works too, and costs more.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

LINE = "parley.line"
LARGEST_FRAME = 64 * 1024  # bytes
TOO_LARGE = 4413
END_S = 10.0  # how long a client has to take the last frames


class Lenient(ServerProtocol):
    """websockets' own, but a client may leave in the middle of a message (RFC 6455, 5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class Line(WebSocketsSansIOProtocol):
    """One WebSocket of the server."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.ping_interval = None  # whoever serves it asks for signs of life
        self.conn.__class__ = Lenient  # uvicorn makes it, and does not ask of which class
        self.conn.max_message_size = LARGEST_FRAME
        self.heard_at = self.loop.time()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][LINE] = self  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        if not self.close_sent or self.conn.parser_exc is None:  # else it is not listened to
            super().data_received(data)

    @property
    def is_free(self) -> bool:
        """Whether nothing waits to go out that could not go at once."""
        return (
            self.writable.is_set() and self.conn.state is OPEN and not self.transport.is_closing()
        )

    def put(self, frame: bytes) -> None:
        self.transport.write(frame)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.is_free:
            self.transport.write(Frame(Opcode.PING, b"").serialize(mask=False))

    def end(self, code: int) -> None:
        """Send the last frame, behind all others; a client that does not take it is cut off."""
        if self.close_sent or self.transport.is_closing():
            return
        if self.conn.state is OPEN:
            self.conn.send_close(code)
        self.conn.data_to_send()
        self._end(code)

    def _end(self, code: int) -> None:
        self.transport.write(Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(mask=False))
        self.close_sent = True
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(END_S, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """End a line whose client sent what no frame is, or one that is too large."""
        if not isinstance(self.conn.parser_exc, PayloadTooBig):
            super().handle_parser_exception()
            return
        self.conn.data_to_send()  # it would say so by a code of its own
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_LARGE})
        self._end(TOO_LARGE)
        if self.transport.can_write_eof():
            self.transport.write_eof()  # its answer could not be told from the rest of the frame
