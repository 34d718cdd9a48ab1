"""``/api/events/``: live events as ``text/event-stream`` (WHATWG HTML, server-sent events)."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from django.utils import timezone
from rest_framework.exceptions import APIException, MethodNotAllowed

from parley.http.authentication import Proved
from parley.http.handshakes import prove
from parley.http.refusals import as_api_exception
from parley.kernel.errors import Refusal
from parley.messaging import sync
from parley.messaging.cursors import is_under_way
from parley.realtime import greetings, inner, missed, tickets
from parley.realtime.connections import MISSED_AT_ONCE, Close, Connection
from parley.realtime.frames import Frame, event
from parley.realtime.hub import Hub, TooManyConnections
from parley.realtime.lines import LINE, StreamLine
from parley.realtime.refusing import refuse
from parley.realtime.replay import events_of
from parley.realtime.websocket import Receive, Send

COMMENT_S = 20.0
CLOSE_S = 5.0
COMMENT = Frame("", ": \n\n")


async def serve(
    hub: Hub, application: inner.Application, scope: Mapping[str, Any], receive: Receive, send: Send
) -> None:
    """Serve one stream; ``Last-Event-ID`` or ``?cursor=`` first delivers what was missed."""
    if scope["method"] != "GET":
        await refuse(send, scope, MethodNotAllowed(scope["method"]))
        return
    try:
        proved = await inner.proved_at_once(application, scope)
        if proved is None:
            proved = await hub.ask(_prove, dict(scope))
        stream = Stream(hub, application, scope, proved, send)
        await stream.begin()
    except TooManyConnections:
        await refuse(send, scope, tickets.CROWDED)
        return
    except (Refusal, APIException) as refused:
        await refuse(send, scope, as_api_exception(refused))
        return
    # It lives as long as the connection; what only the handshake needed does not.
    scope["headers"][:] = inner.kept(scope)
    is_taken = False
    try:
        is_taken = await stream.run(receive)
    finally:
        if not is_taken:
            stream.leave()


def _prove(scope: dict[str, Any]) -> Proved:
    found = prove(scope, strict_origin=False)  # a page of another site cannot read the stream
    if found is None:
        raise tickets.NotSignedIn
    return found


class Stream:
    """One open event stream; the outlet of its connection.

    Once it has caught up, the server's own line carries it on, without task and request; under a
    server that has none it stays a task that waits for the client to go.
    """

    __slots__ = (
        "_application",
        "_cursor",
        "_hub",
        "_is_listening",
        "_line",
        "_proved",
        "_scope",
        "_send",
        "_task",
        "connection",
    )

    def __init__(
        self,
        hub: Hub,
        application: inner.Application,
        scope: Mapping[str, Any],
        proved: Proved,
        send: Send,
    ) -> None:
        self._hub, self._application, self._scope, self._proved = hub, application, scope, proved
        self._send, self._task, self._is_listening = send, asyncio.current_task(), False
        self._line: StreamLine | None = None
        user, credential = proved
        self.connection = Connection(user.user_id, credential, hub.place)

    async def begin(self) -> None:
        """Hear of everything from now on, and see whether the client's cursor holds.

        :raises Refusal: it does not.
        """
        self._hub.join(self.connection)
        self._cursor = _asked(self._scope)
        if self._cursor is not None:
            self.connection.is_resuming = True
            try:
                await self._hub.ask(sync.check_cursor, viewer=self._proved[0], cursor=self._cursor)
            except BaseException:
                self._hub.leave(self.connection)
                raise

    async def run(self, receive: Receive) -> bool:
        """Send what was missed, then what happens, and a comment once in a while.

        Return whether the server's line goes on with it, to the end.
        """
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await self._catch_up(receive)
            if not self._is_ended and self._hand_over():
                return True
            self.connection.open(self, beats_s=COMMENT_S)
            if not self._is_ended:
                self._is_listening = True
                await _until_gone(receive)
                return False
        except asyncio.CancelledError:
            if self._task is None or not self._is_ended or self._task.uncancel():
                raise
        except OSError:
            return False  # a cut line
        with contextlib.suppress(Exception):  # the client may be gone, or not read
            async with asyncio.timeout(CLOSE_S):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return False

    def _hand_over(self) -> bool:
        line: StreamLine | None = self._scope.get("extensions", {}).get(LINE)
        if line is None or not line.take(self.leave):
            return False
        self._line = line
        # Of the request nothing is needed any more.
        del self._application, self._cursor, self._proved, self._scope, self._send, self._task
        self.connection.open(self, beats_s=COMMENT_S)
        return True

    def leave(self) -> None:
        """Let go: the client is gone, or told to go."""
        self.connection.release()
        self._hub.leave(self.connection)

    @property
    def _is_ended(self) -> bool:
        return self.connection.close_code is not None

    async def _catch_up(self, receive: Receive) -> None:
        await self._put(": here\n\n")
        if self._cursor is not None:
            watching = asyncio.create_task(self._end_when_gone(receive))
            try:
                async for text in self._missed(self._cursor):
                    await self._put(text)
            finally:
                watching.cancel()
            return
        is_heavy = await inner.is_heavy(self._application, self._proved)
        cursor = await greetings.place(self._hub.ask, self._proved[0], is_heavy=is_heavy)
        self.connection.begin(cursor)
        frame = event("cursor", timezone.now(), content={"cursor": cursor})
        await self._put(written(frame, cursor))

    async def _end_when_gone(self, receive: Receive) -> None:
        # What is sent to a client that is gone does not fail, so the pages would go on to the last.
        await _until_gone(receive)
        self.connection.close(Close.FAILED)

    async def _put(self, text: str) -> None:
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    # --- the outlet

    @property
    def is_free(self) -> bool:
        return self._line is not None and self._line.is_free  # ASGI may wait

    def put(self, frame: Frame) -> None:
        if self._line is not None:
            self._line.put(self._text(frame).encode())

    async def send(self, frame: Frame) -> None:
        if self._line is not None:
            await self._line.send(self._text(frame).encode())
        else:
            await self._put(self._text(frame))

    def beat(self) -> None:
        self.connection.offer(COMMENT)

    def heard_at(self) -> float:
        """See :class:`Outlet`; a client of a stream says nothing. That it is gone, TCP tells."""
        return math.inf

    def end(self) -> None:
        if self._line is not None:
            self._line.end()
            asyncio.get_running_loop().call_soon(self.leave)  # not while the hub tells of something
        elif self._is_listening and self._task is not None:
            self._is_listening = False
            self._task.cancel()

    def _text(self, frame: Frame) -> str:
        """Write an event; a durable one, or a cursor, bears from where to resume after it."""
        if frame is COMMENT:
            return COMMENT.text
        is_durable = frame.revision is not None or frame.type == "cursor"
        return written(frame, self.connection.cursor() if is_durable else None)

    async def _missed(self, cursor: str) -> AsyncIterator[str]:
        """Everything since a cursor, as events; each page ends with the cursor to go on from."""
        # What changed between the first pages of a pass and this connection is for another pass.
        again, more = is_under_way(cursor, self._proved[0].user_id), True
        while more and not self._is_ended:
            status, answer = await inner.call(
                self._application,
                self._scope,
                self._proved,
                "GET",
                "/api/sync/",
                query={"cursor": cursor, "limit": str(MISSED_AT_ONCE)},
            )
            if status != 200:  # noqa: PLR2004 - what else it says, a sync will say too
                self.connection.close(Close.FAILED)  # it comes back with the last page's cursor
                return
            page = missed.read(answer)
            replayed = partial(events_of, viewer=self._proved[0], cursor=cursor)
            for frame in await self._hub.ask(replayed, answer):
                # Whoever is cut off in the middle of a page comes back for all of it.
                yield written(frame, None if frame.revision is None else cursor)
            self.connection.note(page)
            cursor, more = page.cursor, page.more or again
            again = again and page.more
            frame = event("cursor", timezone.now(), content={"cursor": cursor})
            yield written(frame, cursor)
        if not more:
            self.connection.is_resuming = False


def written(frame: Frame, cursor: str | None) -> str:
    """Return an event as the stream writes it; JSON has no line breaks of its own."""
    id_ = f"id: {cursor}\n" if cursor else ""
    return f"{id_}event: {frame.type}\ndata: {frame.text}\n\n"


def _asked(scope: Mapping[str, Any]) -> str | None:
    """Return the cursor to resume from: the browser's own header, else the query's."""
    for name, value in scope["headers"]:
        if name == b"last-event-id" and value:
            return str(value.decode("latin-1"))
    found = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("cursor")
    return found[0] if found else None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
