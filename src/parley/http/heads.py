"""uvicorn's HTTP connections, with bounds on how long clients may take to speak and to listen.

The guard judges heads that are whole. Here one that never gets whole is given up: after
:data:`HEAD_S` seconds it is answered 408, beyond :data:`LARGEST_HEAD` bytes 431 (414 where the
address is what is long), and what is no HTTP 400; each in JSON, and the connection is closed. Who
does not take what is answered is cut off.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from rest_framework.exceptions import APIException, ParseError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from parley.http.early import as_http, early
from parley.http.gathering import Gathering
from parley.http.guard import LONGEST_ADDRESS
from parley.http.problems import AddressTooLong, HeadersTooLarge, TooSlow

HEAD_S = 15.0
LARGEST_HEAD = 24 * 1024  # bytes: the longest address and the largest headers, as they are written
TAKING_S = 15.0
LEAST_TAKEN = 16 * 1024  # bytes in that time, while more of them wait than a connection holds
LINGER_S = 1.0  # a client that is still sending when we close would not see what we answered


class Connection(HttpToolsProtocol):
    """One connection of the server.

    While no request is being answered, the client has :attr:`head_s` seconds to send the whole
    head of one. A connection on which nothing is sent after an answer is uvicorn's to close.
    """

    transport: Gathering
    head_s = HEAD_S
    taking_s = TAKING_S

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.url, self.headers = b"", []
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        self._at_head = True  # nothing of a body is to come before the next head
        self._head_size = 0  # bytes; without what came in one piece with an earlier request
        self._is_over = False  # nothing more is read as HTTP
        self._is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._deadline = self.loop.call_later(self.head_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = self._is_gone = True
        self._end_deadline()
        self._end_taking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._at_head or len(data) <= LARGEST_HEAD:
            self._take(data)
            return
        for begin in range(0, len(data), LARGEST_HEAD):
            self._take(data[begin : begin + LARGEST_HEAD])

    def _take(self, data: bytes) -> None:
        """Read a piece of what arrives; if heads are in it, it is no larger than one may be."""
        if self._is_over:
            return
        self._head_size += len(data)
        super().data_received(data)
        if self._is_over:
            return
        if self._at_head and self._head_size > LARGEST_HEAD:
            self._refuse(self._too_large())
        elif self._deadline is None and not self._is_answering:
            self._deadline = self.loop.call_later(self.head_s, self._give_up)

    @property
    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def on_headers_complete(self) -> None:
        self._at_head = False
        self._end_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._at_head = True
        self._head_size = 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._is_over = True
        super().handle_websocket_upgrade()

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._head_size:
            self._refuse(TooSlow())
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_taking()

    def _watch_taking(self, waiting: int) -> None:
        self._taking = self.loop.call_later(self.taking_s, self._judge_taking, waiting)

    def _judge_taking(self, waited: int) -> None:
        """Cut a client off who has taken next to nothing of what waited."""
        waiting = self.transport.get_write_buffer_size()
        if waited - waiting < LEAST_TAKEN:
            self._cut_off()
        else:
            self._watch_taking(waiting)

    def _end_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():  # closing waits until it is taken
            self.loop.call_later(self.taking_s, self._cut_off)

    def _cut_off(self) -> None:
        """End the connection with a reset, or the kernel would keep what it holds for the client,
        for as long as that takes a byte now and then.
        """
        line = self.transport.get_extra_info("socket")
        if line is not None and not self._is_gone:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _too_large(self) -> APIException:
        return AddressTooLong() if len(self.url) > LONGEST_ADDRESS else HeadersTooLarge()

    def send_400_response(self, msg: str) -> None:
        self._refuse(ParseError("The request is malformed."))

    def _refuse(self, answer: APIException) -> None:
        """Answer in place of the application, and read nothing more.

        What is already being answered comes first; the connection then ends without a word.
        """
        self._is_over = True
        self._end_deadline()
        if self._at_head and self._is_answering:
            self.cycle.keep_alive = False
        elif self._at_head:
            self._say(answer)
        elif self.pipeline or self.cycle.response_started:
            self.transport.close()
        else:  # it has begun, and waits for the rest of a body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._say(answer)

    def _say(self, answer: APIException) -> None:
        path = self.url.partition(b"?")[0].decode("latin-1")
        headers, body = early(answer, path, self.headers)
        self.transport.write(as_http(answer.status_code, headers, body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()  # and nothing made of it
        self.loop.call_later(LINGER_S, self.transport.close)
