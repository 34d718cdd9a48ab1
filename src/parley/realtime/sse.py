"""``/api/events/``: live events as ``text/event-stream`` (WHATWG HTML, server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from django.utils import timezone
from rest_framework.exceptions import APIException

from parley.http.authentication import CHALLENGE, Proved
from parley.http.handshakes import prove
from parley.http.refusals import as_api_exception, content_of
from parley.kernel.errors import Refusal
from parley.messaging import sync
from parley.realtime import inner, tickets
from parley.realtime.connections import Close, Connection
from parley.realtime.frames import Frame, event
from parley.realtime.hub import Hub, TooManyConnections
from parley.realtime.websocket import SEND_S, Receive, Send

COMMENT_S = 20.0
MISSED = "message.changed"


async def serve(
    hub: Hub, application: inner.Application, scope: Mapping[str, Any], receive: Receive, send: Send
) -> None:
    """Serve one stream; ``Last-Event-ID`` or ``?cursor=`` first delivers what was missed."""
    try:
        proved = await hub.ask(_prove, dict(scope))
        stream = Stream(hub, application, scope, proved)
        await stream.begin()
    except TooManyConnections:
        await _answer(send, 429, content_of(tickets.CROWDED, scope["path"]))
        return
    except Refusal as refusal:
        answer = as_api_exception(refusal)
        await _answer(send, answer.status_code, content_of(answer, scope["path"]))
        return
    except APIException as refused:
        await _answer(send, refused.status_code, content_of(refused, scope["path"]))
        return
    try:
        await stream.run(receive, send)
    finally:
        hub.leave(stream.connection)


def _prove(scope: dict[str, Any]) -> Proved:
    found = prove(scope, strict_origin=False)  # a page of another site cannot read the stream
    if found is None:
        raise tickets.NotSignedIn
    return found


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status == 401:  # noqa: PLR2004 - who asks again is told how
        headers.append((b"www-authenticate", CHALLENGE.encode()))
    if status == 429:  # noqa: PLR2004
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Stream:
    """One open event stream."""

    def __init__(
        self, hub: Hub, application: inner.Application, scope: Mapping[str, Any], proved: Proved
    ) -> None:
        self._hub, self._application, self._scope, self._proved = hub, application, scope, proved
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
                await self._hub.ask(sync.sync, viewer=self._proved[0], cursor=self._cursor, limit=1)
            except BaseException:
                self._hub.leave(self.connection)
                raise

    async def run(self, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(_until_gone(receive))
        writing = asyncio.create_task(self._write(send))
        try:
            await asyncio.wait([gone, writing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (gone, writing):
                task.cancel()
            await asyncio.gather(gone, writing, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        """Send what was missed, then what happens, and a comment when nothing does."""
        async for text in self._all():
            body = {"type": "http.response.body", "body": text.encode(), "more_body": True}
            try:
                async with asyncio.timeout(SEND_S):
                    await send(body)
            except TimeoutError:
                self.connection.close(Close.TOO_SLOW)
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _all(self) -> AsyncIterator[str]:
        yield ": here\n\n"
        if self._cursor is not None:
            async for text in self._missed(self._cursor):
                yield text
        else:
            cursor = await self._hub.ask(sync.here, viewer=self._proved[0])
            self.connection.begin(cursor)
            frame = event("cursor", timezone.now(), content={"cursor": cursor})
            yield written(frame, cursor)
        while True:
            try:
                async with asyncio.timeout(COMMENT_S):
                    frame_or_none = await self.connection.next()
            except TimeoutError:
                yield ": \n\n"
                continue
            if frame_or_none is None:
                return
            yield self._with_id(frame_or_none)

    def _with_id(self, frame: Frame) -> str:
        """Write an event; a durable one, or a cursor, bears from where to resume after it."""
        is_durable = frame.revision is not None or frame.type == "cursor"
        return written(frame, self.connection.cursor() if is_durable else None)

    async def _missed(self, cursor: str) -> AsyncIterator[str]:
        """Everything since a cursor, as events; each page ends with the cursor to go on from."""
        more = True
        while more:
            status, news = await inner.call(
                self._application,
                self._scope,
                self._proved,
                "GET",
                "/api/sync/",
                query={"cursor": cursor},
            )
            if status != 200:  # noqa: PLR2004 - what else it says, a sync will say too
                self.connection.close(Close.FAILED)  # it comes back with the last page's cursor
                return
            for frame in _as_events(news):
                yield written(frame, None)
            self.connection.note(news)
            cursor, more = news["cursor"], news["more"]
            frame = event("cursor", timezone.now(), content={"cursor": cursor})
            yield written(frame, cursor)
        self.connection.is_resuming = False


def _as_events(news: Mapping[str, Any]) -> list[Frame]:
    """What a page of sync says, in the words of live events."""
    frames, now = [], timezone.now()
    for conversation in news["conversations"]:
        where = conversation["conversation_id"]
        messages = conversation["messages"]
        said = {"conversation": where, "revision": conversation["revision"]}
        type_ = "conversation.created" if conversation.get("reset") else "conversation.changed"
        shown = {**conversation, "messages": []}
        frames.append(event(type_, now, content=said | {"conversation": shown}))
        for message in messages:
            said = {"conversation": where, "revision": message["revision"], "message": message}
            frames.append(event(MISSED, now, content=said))
    removed = [event("message.removed", now, content=gone) for gone in news["removed"]]
    left = [event("participant.left", now, content={"conversation": w}) for w in news["left"]]
    return [*frames, *removed, *left]


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
