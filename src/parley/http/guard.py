"""The ASGI server's outermost wall: how much of a request is read at all, and for how long.

Django's ASGI handler spools a request's body before anything looks at it. Here an address, headers
or a body beyond the limits are refused first, whether or not the client told the body's length;
what is refused is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rest_framework.exceptions import APIException

from parley.http.early import early
from parley.http.problems import AddressTooLong, HeadersTooLarge, RequestTooLarge, TooSlow
from parley.kernel.metrics import answers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LONGEST_ADDRESS = 8 * 1024
LARGEST_HEADERS = 16 * 1024
MOST_HEADERS = 100
BODY_S = 15.0


class Refused(Exception):
    """Reading a request was stopped; the answer is within."""

    def __init__(self, answer: APIException) -> None:
        super().__init__(answer)
        self.answer = answer


class Guard:
    """Wraps an ASGI application; ``body_limit`` is in bytes, ``body_s`` how long a body may take to
    arrive.
    """

    def __init__(
        self, application: Application, *, body_limit: int, body_s: float = BODY_S
    ) -> None:
        self._application = application
        self._body_limit = body_limit
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                answers.counted[scope["method"], str(message["status"])] += 1
            await send(message)

        answer = _judge(scope, self._body_limit)
        if answer is not None:
            await refuse(scope, sending, answer)
            return
        body = Body(receive, limit=self._body_limit, seconds=self._body_s)
        try:
            await self._application(scope, body.receive, sending)
        except Refused as refused:
            if not started:
                await refuse(scope, sending, refused.answer)


class Body:
    """A request's body on its way in: counted and timed."""

    def __init__(self, receive: Receive, *, limit: int, seconds: float) -> None:
        self._receive = receive
        self._left = limit
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._is_read = False

    async def receive(self) -> Message:
        """Return the server's next message.

        :raises Refused: the body is larger than the limit, or takes too long.
        """
        if self._is_read:  # what is left to hear of is that the client went away
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Refused(TooSlow()) from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise Refused(RequestTooLarge())
        self._is_read = not message.get("more_body", False)
        return message


def _judge(scope: Scope, body_limit: int) -> APIException | None:
    """Return why a request is refused by what its head says, if it is."""
    path = scope.get("raw_path") or scope["path"].encode()
    if len(path) + len(scope.get("query_string", b"")) > LONGEST_ADDRESS:
        return AddressTooLong()
    headers = scope["headers"]
    if len(headers) > MOST_HEADERS or sum(len(k) + len(v) for k, v in headers) > LARGEST_HEADERS:
        return HeadersTooLarge()
    for name, value in headers:
        if name == b"content-length" and not _is_within(value, body_limit):
            return RequestTooLarge()
    return None


def _is_within(length: bytes, limit: int) -> bool:
    return length.isdigit() and len(length) <= len(str(limit)) and int(length) <= limit


async def refuse(scope: Scope, send: Send, answer: APIException) -> None:
    """Answer, and close the connection: what the client still sends of the request is not read."""
    headers, body = early(answer, scope["path"], scope["headers"])
    await send(
        {"type": "http.response.start", "status": answer.status_code, "headers": headers},
    )
    await send({"type": "http.response.body", "body": body})
