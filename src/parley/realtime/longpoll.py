"""``GET /api/sync/?wait=``: a sync that is answered as soon as something is new.

Whoever waits is a connection of the hub like any other: no thread waits, and nothing is asked of
the database meanwhile. The answers are the application's own.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from rest_framework.exceptions import APIException

from parley.http.authentication import INNER, Proved
from parley.http.handshakes import prove
from parley.http.parameters import CURSOR, WAIT
from parley.kernel.errors import Invalid
from parley.realtime.connections import Close, Connection
from parley.realtime.frames import Frame
from parley.realtime.hub import Hub, TooManyConnections
from parley.realtime.inner import Application, carrying
from parley.realtime.websocket import Receive, Send

PATH = "/api/sync/"
NEWS = ("conversations", "marks", "removed", "left", "more")
# What a sync says nothing of.
OF_THE_MOMENT = {"typing", "presence", "read", "delivered", "unread", "cursor"}

Scope = Mapping[str, Any]


def seconds(scope: Scope) -> int:
    """Return for how long a request waits for news; 0 for all others, and those that are wrong."""
    if scope["path"] != PATH or scope["method"] != "GET":
        return 0
    query = dict(_query(scope))
    with suppress(Invalid):
        return WAIT.read(query) if query.get(CURSOR.name) else 0
    return 0


async def serve(
    hub: Hub, application: Application, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer at once if there is news, else as soon as there is, else at the end.

    Of someone who has as many connections as one may have, no more wait.
    """
    end = asyncio.get_running_loop().time() + seconds(scope)
    proved = await _prove(hub, scope)
    if proved is None:
        await application(_without_wait(scope), receive, send)
        return
    connection = Connection(proved[0].user_id, proved[1], hub.place)
    try:
        hub.join(connection)
    except TooManyConnections:
        await application(_without_wait(scope), receive, send)
        return
    try:
        poll = Poll(application, scope, receive, connection, proved)
        answer = await poll.run(end)
    finally:
        connection.release()
        hub.leave(connection)
    if answer is not None:
        await answer.pass_on(send)


async def _prove(hub: Hub, scope: Scope) -> Proved | None:
    with suppress(APIException):  # which the application says, too
        return await hub.ask(prove, dict(scope), strict_origin=False)
    return None


@dataclass(frozen=True, slots=True)
class Given:
    """An answer of the application, as its messages."""

    messages: list[Mapping[str, Any]]

    async def pass_on(self, send: Send) -> None:
        for message in self.messages:
            await send(message)

    def cursor(self) -> str | None:
        """Return the cursor of a sync in which nothing is new; of any other answer None."""
        if not self.messages or self.messages[0].get("status") != 200:  # noqa: PLR2004
            return None  # where there is no answer, the client went
        try:
            news = json.loads(b"".join(m.get("body", b"") for m in self.messages))
        except ValueError:
            return None  # a page for people
        return None if any(news[name] for name in NEWS) else str(news["cursor"])


class Poll:
    """One request that waits; the outlet of its connection."""

    is_free = True

    def __init__(
        self,
        application: Application,
        scope: Scope,
        receive: Receive,
        connection: Connection,
        proved: Proved,
    ) -> None:
        self._application, self._scope, self._receive = application, scope, receive
        self._connection, self._proved = connection, proved
        self._news = asyncio.Event()
        connection.open(self, beats_s=math.inf)

    async def run(self, end: float) -> Given | None:
        """Return the answer; nothing if the client went."""
        answer = await _ask(self._application, _without_wait(self._scope), self._receive)
        cursor = answer.cursor()
        while cursor is not None and self._connection.close_code is None:
            is_over = await self._wait(end)
            if is_over is None:
                return None
            if self._connection.close_code is Close.NOT_SIGNED_IN:
                return await _ask(self._application, _without_wait(self._scope), carrying(b""))
            if is_over or self._connection.close_code is not None:
                return answer
            self._news.clear()
            scope = _without_wait(self._scope, cursor) | {INNER: self._proved}
            answer = await _ask(self._application, scope, carrying(b""))
            cursor = answer.cursor()
        return answer

    async def _wait(self, end: float) -> bool | None:
        """Wait for news and return whether the time is over; None if the client went."""
        left = end - asyncio.get_running_loop().time()
        news = asyncio.ensure_future(self._news.wait())
        gone = asyncio.ensure_future(_until_gone(self._receive))
        try:
            done, _ = await asyncio.wait(
                {news, gone}, timeout=max(0, left), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            news.cancel()
            gone.cancel()
        return None if gone in done else news not in done

    # --- the outlet

    def put(self, frame: Frame) -> None:
        if frame.type not in OF_THE_MOMENT:
            self._news.set()

    async def send(self, frame: Frame) -> None:
        self.put(frame)

    def beat(self) -> None:
        pass

    def heard_at(self) -> float:
        return math.inf

    def end(self) -> None:
        self._news.set()


async def _ask(application: Application, scope: Scope, receive: Receive) -> Given:
    messages: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        messages.append(message)

    await application(scope, receive, send)
    return Given(messages)


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _without_wait(scope: Scope, cursor: str | None = None) -> dict[str, Any]:
    """Return the request as one that does not wait, from another cursor if one is given."""
    query = [(name, value) for name, value in _query(scope) if name != WAIT.name]
    if cursor is not None:
        query = [(n, v) for n, v in query if n != CURSOR.name] + [(CURSOR.name, cursor)]
    return {**scope, "query_string": urlencode(query).encode()}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
