"""uvicorn's connections, with what ASGI has no words for: finished frames, pings, limits, ends.

An application finds the line in its scope, as an extension; without it, by another server, all
works too, and costs more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from parley.http.gathering import Gathering
from parley.http.heads import Connection

LINE = "parley.line"
EVENTS_PATH = "/api/events/"  # what may become a stream
LARGEST_FRAME = 64 * 1024  # bytes
TOO_LARGE = 4413
END_S = 20.0  # how long a client has to take the last frames
GONE_S = 5.0  # and one that gave no sign of life


class Lenient(ServerProtocol):
    """websockets' own, but a client may leave in the middle of a message (RFC 6455, 5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class Line(WebSocketsSansIOProtocol):
    """One WebSocket of the server.

    :attr:`is_free` says whether what is put out could go at once. It is judged when something
    happens to the line, and not when it is asked, which is for each frame.
    """

    transport: Gathering
    is_free = False

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
            self._judge()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        self._judge()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_free = False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._judge()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._judge()

    def _judge(self) -> None:
        is_open = self.conn.state is OPEN and not self.close_sent
        self.is_free = is_open and self.writable.is_set() and not self.transport.is_closing()

    def put(self, frame: bytes, *, is_followed: bool = False) -> None:
        """Put a frame out, or, if one is to follow at once, together with that."""
        if is_followed:
            self.transport.write(frame)
        else:
            self.transport.write_now(frame)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.is_free:
            self.transport.write(Frame(Opcode.PING, b"").serialize(mask=False))

    def end(self, code: int, *, within: float | None = None) -> None:
        """Send the last frame, behind all others; a client that does not take it is cut off."""
        if self.close_sent or self.transport.is_closing():
            return
        if self.conn.state is OPEN:
            self.conn.send_close(code)
        self.conn.data_to_send()
        self._end(code, END_S if within is None else within)

    def _end(self, code: int, within: float) -> None:
        self.transport.write(Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(mask=False))
        self.close_sent = True
        self._judge()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(within, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """End a line whose client sent what no frame is, or one that is too large."""
        if not isinstance(self.conn.parser_exc, PayloadTooBig):
            super().handle_parser_exception()
            return
        self.conn.data_to_send()  # it would say so by a code of its own
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_LARGE})
        self._end(TOO_LARGE, END_S)
        if self.transport.can_write_eof():
            self.transport.write_eof()  # its answer could not be told from the rest of the frame


class StreamLine(Connection):
    """One HTTP connection of the server, which may become an event stream for the rest of its life.

    The stream needs no task, and nothing of the request that began it.
    """

    _when_gone: Callable[[], None] | None = None
    _is_taken = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.scope.get("path") == EVENTS_PATH:
            self.scope["extensions"] = {LINE: self}  # type: ignore[dict-item]

    def take(self, when_gone: Callable[[], None]) -> bool:
        """Go on without the request, whose answer has begun; False if the client is gone."""
        if self.cycle.disconnected or self.transport.is_closing():
            return False
        self._is_taken, self._when_gone = True, when_gone
        self.cycle.disconnected = True  # its task ends, and leaves the connection open
        self.cycle.on_response = _nothing
        self.cycle = self.scope = self.parser = None  # type: ignore[assignment]
        self.headers, self.url = [], b""
        self.flow.resume_reading()
        return True

    def data_received(self, data: bytes) -> None:
        if not self._is_taken:  # else it is not listened to
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        when_gone, self._when_gone = self._when_gone, None
        if when_gone is not None:
            when_gone()

    @property
    def is_free(self) -> bool:
        """Whether nothing waits to go out that could not go at once."""
        return not self.flow.write_paused and not self.transport.is_closing()

    def put(self, data: bytes) -> None:
        self.transport.write_now(b"%x\r\n%b\r\n" % (len(data), data))

    async def send(self, data: bytes) -> None:
        """Put it out as soon as there is room for it."""
        if self.flow.write_paused:
            await self.flow.drain()
        if not self.transport.is_closing():
            self.put(data)

    def end(self) -> None:
        """End the stream, behind all that was put; a client that does not take it is cut off."""
        if not self.transport.is_closing():
            self.transport.write(b"0\r\n\r\n")
            self.transport.close()
            self.loop.call_later(END_S, self.transport.abort)


def _nothing() -> None:
    pass
