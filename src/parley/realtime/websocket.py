"""``/ws/``: the live connection of apps. JSON text frames, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog
from rest_framework.exceptions import APIException

from parley.conversations.acquaintance import sharing_with
from parley.http import wire
from parley.http.authentication import Proved
from parley.http.handshakes import prove
from parley.http.refusals import as_api_exception, content_of
from parley.kernel.errors import Refusal
from parley.messaging import operations
from parley.messaging.cursors import is_under_way
from parley.realtime import greetings, inner, missed, tickets
from parley.realtime.connections import MISSED_AT_ONCE, Close, Connection
from parley.realtime.frames import Frame, encode
from parley.realtime.hub import HEARTBEAT_S, Hub, TooManyConnections
from parley.realtime.lines import GONE_S, LARGEST_FRAME, LINE, Line
from parley.realtime.presence import MOST_WATCHED, STATES
from parley.realtime.refusing import refuse

log = structlog.get_logger(__name__)

SUBPROTOCOL = "parley.v1"
RATE = (120, 60.0)  # frames, seconds
CLOSE_S = 5.0  # how long the last frame may take to leave

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class BadFrame(Exception):
    """A frame that cannot be acted on; the message says why."""


async def serve(
    hub: Hub, application: inner.Application, scope: Mapping[str, Any], receive: Receive, send: Send
) -> None:
    """Serve one WebSocket, from its handshake to its end."""
    await receive()  # websocket.connect
    try:
        async with hub.doorway:
            proved = await _at_once(application, scope)
            if proved is None:
                proved = await hub.ask(_prove, dict(scope))
    except APIException as refused:
        await refuse(send, scope, refused)
        return
    socket = Socket(hub, application, scope, proved, send)
    try:
        hub.join(socket.connection)
    except TooManyConnections:
        await refuse(send, scope, tickets.CROWDED)
        return
    # It lives as long as the connection; what only the handshake needed does not.
    scope["headers"][:] = inner.kept(scope)
    try:
        await socket.run(receive)
    finally:
        socket.connection.release()
        hub.leave(socket.connection)
        hub.presence.unwatch(socket.connection)


async def _at_once(application: inner.Application, scope: Mapping[str, Any]) -> Proved | None:
    has_ticket = bool(scope.get("query_string"))  # or may have, which goes before the header
    return None if has_ticket else await inner.proved_at_once(application, scope)


def _prove(scope: dict[str, Any]) -> Proved:
    """Return who opens the socket: by a ticket, else by header or cookie.

    :raises APIException: nobody; a token in the address is never taken.
    """
    ticket = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("ticket")
    found = tickets.redeem(ticket[0]) if ticket else prove(scope, strict_origin=True)
    if found is None:
        raise tickets.NotSignedIn
    return found


class Socket:
    """One open WebSocket; the outlet of its connection."""

    __slots__ = (
        "_application",
        "_hub",
        "_is_listening",
        "_line",
        "_proved",
        "_scope",
        "_send",
        "_stamps",
        "_task",
        "connection",
        "user",
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
        self._send = send
        self._line: Line | None = scope.get("extensions", {}).get(LINE)
        self.user, credential = proved
        self.connection = Connection(self.user.user_id, credential, hub.place)
        self._stamps: deque[float] | None = None
        self._task = asyncio.current_task()
        self._is_listening = False

    async def run(self, receive: Receive) -> None:
        """Greet, then carry frames both ways until either side ends it."""
        offered = self._scope.get("subprotocols", [])
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None,
            }
        )
        await self._greet()
        try:
            if self._line is not None:  # while it waited to be let in nobody asked for a sign
                self._line.heard_at = asyncio.get_running_loop().time()
            self.connection.open(self, beats_s=HEARTBEAT_S)
            await self._read(receive)
        except asyncio.CancelledError:
            if self._task is None or not self._is_ended or self._task.uncancel():
                raise
        except OSError:
            return  # a cut line
        except Exception:
            log.exception("a live connection failed")
            self.connection.close(Close.FAILED)
        if self.connection.close_code is not None:
            await self._say_why(self.connection.close_code)

    @property
    def _is_ended(self) -> bool:
        return self.connection.close_code is not None

    async def _greet(self) -> None:
        # The connection hears of everything from before this cursor on: nothing falls between.
        async with self._hub.doorway:
            is_heavy = await inner.is_heavy(self._application, self._proved)
            cursor, total = await greetings.greet(self._hub.ask, self.user, is_heavy=is_heavy)
        self.connection.begin(cursor)
        hello = {
            "type": "hello",
            "user_id": str(self.user.user_id),
            "cursor": cursor,
            "heartbeat_s": HEARTBEAT_S,
            "unread": wire.unread_total(total),
        }
        await self.send(Frame("hello", encode(hello)))

    async def _say_why(self, code: Close) -> None:
        if self._line is not None:
            self._line.end(code, within=GONE_S if code is Close.NO_LIFE else None)
            return
        with contextlib.suppress(Exception):  # the client may be gone, or not read
            async with asyncio.timeout(CLOSE_S):
                await self._send({"type": "websocket.close", "code": code})

    # --- out

    @property
    def is_free(self) -> bool:
        return self._line is not None and self._line.is_free

    def put(self, frame: Frame) -> None:
        if self._line is not None:
            # To a message that was sent the hub tells the sender's devices, next.
            self._line.put(frame.wire, is_followed=frame.type == "ack")

    async def send(self, frame: Frame) -> None:
        await self._send({"type": "websocket.send", "text": frame.text})

    def beat(self) -> None:
        self._hub.beat(self.connection)
        if self._line is not None:
            self._line.ping()

    def heard_at(self) -> float:
        """See :class:`Outlet`; a server whose lines do not tell looks for life by itself."""
        return math.inf if self._line is None else self._line.heard_at

    def end(self) -> None:
        if self._is_listening and self._task is not None:
            self._is_listening = False
            self._task.cancel()

    def _answer(self, content: Mapping[str, Any], ref: str, *, more: str = "") -> None:
        """Send an answer behind what waits."""
        self.connection.offer(_written(content, ref, more))

    # --- in

    async def _read(self, receive: Receive) -> None:
        while self.connection.close_code is None:
            self._is_listening = True
            message = await receive()
            self._is_listening = False
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None or len(text.encode(errors="replace")) > LARGEST_FRAME:
                self.connection.close(Close.TOO_LARGE)
            elif self._is_too_fast():
                self.connection.close(Close.TOO_FAST)
            else:
                await self._take(text)

    def _is_too_fast(self) -> bool:
        if not self._hub.limited:
            return False
        most, seconds = RATE
        now = asyncio.get_running_loop().time()
        if self._stamps is None:
            self._stamps = deque()
        self._stamps.append(now)
        while self._stamps and self._stamps[0] < now - seconds:
            self._stamps.popleft()
        return len(self._stamps) > most

    async def _take(self, text: str) -> None:
        """Act on one frame; what is wrong with it is said, and nothing else happens."""
        ref = ""
        try:
            frame = _parse(text)
            ref = _reference(frame)
            type_ = frame.pop("type", None)
            act = self.ACTS.get(type_) if isinstance(type_, str) else None
            if act is None:
                raise BadFrame("Unknown type.")
            await act(self, frame, ref)
        except BadFrame as bad:
            self._complain("invalid_frame", str(bad), ref)
        except Refusal as refusal:
            answer = json.loads(content_of(as_api_exception(refusal), self._scope["path"]))
            self._answer({"type": "error", "errors": answer["errors"]}, ref)

    def _complain(self, code: str, detail: str, ref: str) -> None:
        errors = [{"code": code, "detail": detail, "attr": None}]
        self._answer({"type": "error", "errors": errors}, ref)

    async def _call(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        return await inner.call(
            self._application, self._scope, self._proved, method, path, **options
        )

    def _pass_on(self, status: int, answer: bytes, ref: str) -> bool:
        """Say what the API refused, if it did."""
        if status < 400:  # noqa: PLR2004 - HTTP's own border
            return False
        _, _, errors = answer.decode().partition(',"errors":')
        self._answer({"type": "error"}, ref, more=f',"errors":{errors[:-1] or "[]"}')
        return True

    async def _take_send(self, frame: dict[str, Any], ref: str) -> None:
        status, answer = await self._call("POST", "/api/messages/", body=frame)
        if not self._pass_on(status, answer, ref):
            self._answer({"type": "ack"}, ref, more=f',"message":{answer.decode()}')

    async def _take_read(self, frame: dict[str, Any], ref: str) -> None:
        where = _uuid(frame, "conversation")
        body = {"seq": frame["seq"]} if "seq" in frame else {}
        status, answer = await self._call("POST", f"/api/conversations/{where}/read/", body=body)
        self._pass_on(status, answer, ref)

    async def _take_delivered(self, frame: dict[str, Any], ref: str) -> None:
        where, seq = _uuid(frame, "conversation"), frame.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq < 2**63:
            raise BadFrame("seq is not a position.")
        await self._hub.ask(
            operations.set_delivered, viewer=self.user, conversation_id=where, seq=seq
        )

    async def _take_typing(self, frame: dict[str, Any], ref: str) -> None:
        self._hub.type_in(_uuid(frame, "conversation"), self.user.user_id)

    async def _take_presence(self, frame: dict[str, Any], ref: str) -> None:
        if frame.get("state") not in STATES:
            raise BadFrame("state is online, away or offline.")
        self._hub.presence.set(self.user.user_id, frame["state"])

    async def _take_watch(self, frame: dict[str, Any], ref: str) -> None:
        named = frame.get("users")
        if not isinstance(named, list) or len(named) > MOST_WATCHED:
            raise BadFrame(f"users is a list of at most {MOST_WATCHED} ids.")
        users = {_uuid({"users": each}, "users") for each in named}
        shared = await self._hub.ask(sharing_with, self.user.user_id, users)
        self._hub.presence.watch(self.connection, frozenset(shared))

    async def _take_resume(self, frame: dict[str, Any], ref: str) -> None:
        cursor = frame.get("cursor")
        if not isinstance(cursor, str):
            raise BadFrame("cursor is missing.")
        self.connection.is_resuming = True
        # What changed between the first pages of a pass and this connection is for another pass.
        again, more = is_under_way(cursor, self.user.user_id), True
        while more and self.connection.close_code is None:
            await self.connection.emptied()
            query = {"cursor": cursor, "limit": str(MISSED_AT_ONCE)}
            async with self._hub.doorway:
                self.connection.hold()
                status, answer = await self._call("GET", "/api/sync/", query=query)
            if status != HTTPStatus.OK:
                self.connection.go_on()
                self._pass_on(status, answer, ref)
                # Of a cursor that is no good nothing was missed; of a fault, the rest of the pages.
                self.connection.is_resuming = status not in (400, 410)
                return
            page = missed.read(answer)
            cursor, more = page.cursor, page.more or again
            if more and not page.more:
                answer, again = missed.with_more(answer), False
            self.connection.go_on(_written({"type": "sync"}, ref, f",{answer.decode()[1:-1]}"))
            self.connection.note(page)
        self.connection.is_resuming = False

    async def _take_ping(self, frame: dict[str, Any], ref: str) -> None:
        self._answer({"type": "pong"}, ref)

    ACTS = {
        "send": _take_send,
        "read": _take_read,
        "delivered": _take_delivered,
        "typing": _take_typing,
        "presence": _take_presence,
        "watch": _take_watch,
        "resume": _take_resume,
        "ping": _take_ping,
    }


def _written(content: Mapping[str, Any], ref: str, more: str = "") -> Frame:
    """Write an answer, with the reference that it answers as it was written.

    ``more`` is JSON that was written already, comma and name before it.
    """
    type_, rest = content["type"], {k: v for k, v in content.items() if k != "type"}
    more = f",{encode(rest)[1:-1]}{more}" if rest else more
    return Frame(type_, f'{{"type":"{type_}"{ref}{more}}}')


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame("Not JSON.") from None
    if not isinstance(found, dict):
        raise BadFrame("Not an object.")
    return found


def _reference(frame: dict[str, Any]) -> str:
    """Take out a frame's ``ref``, written as its answers repeat it: whatever it was, or nothing."""
    ref = frame.pop("ref", None)
    if ref is None:
        return ""
    try:
        return f',"ref":{json.dumps(ref, separators=(",", ":"), allow_nan=False)}'
    except (ValueError, RecursionError):  # NaN and infinities, which Python reads
        raise BadFrame("ref is not JSON.") from None


def _uuid(frame: Mapping[str, Any], name: str) -> UUID:
    try:
        return UUID(str(frame.get(name)))
    except ValueError:
        raise BadFrame(f"{name} is not an id.") from None
