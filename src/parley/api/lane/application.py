"""The express lane: the hot calls of the canonical API, answered without the framework.

It stands before Django and answers what it recognises exactly, byte by byte as the views do: JSON,
a credential that proves someone, parameters that it knows. Whatever else comes, goes on to Django
as it came, the body that was read included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from uuid import UUID

import psycopg
from django.db import DatabaseError, InterfaceError, connection

from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import User
from parley.api.lane import asking, reading, sending
from parley.api.lane.answers import Answer, refused, send_answer
from parley.api.lane.credentials import Credentials, Proved, by_header
from parley.api.lane.requests import Arrived, NotMine, arrived, read_body
from parley.http import authentication
from parley.http.guard import Application, Message, Receive, Scope, Send
from parley.http.throttling import wait_for
from parley.kernel import ids

CONVERSATIONS, MESSAGES, USERS = "/api/conversations/", "/api/messages/", "/api/users/"
CONVERSATION, MESSAGE, USER = (f"{each}<id>/" for each in (CONVERSATIONS, MESSAGES, USERS))
ABOVE = (CONVERSATIONS, MESSAGES, USERS)
LIST, ONE = b"GET, POST, HEAD, OPTIONS", b"GET, HEAD, OPTIONS"
CHANGEABLE, STAR = b"GET, PUT, PATCH, DELETE, HEAD, OPTIONS", b"PUT, DELETE, OPTIONS"
LOST = (psycopg.Error, DatabaseError, InterfaceError)
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
# What changes here says nothing about anyone's credentials.
HARMLESS = (CONVERSATIONS, MESSAGES, "/api/blocks/")


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a method at an address; ``rate`` is what it counts as."""

    prepare: Callable[..., Awaitable[Callable[[], Awaitable[Answer]]]]
    allow: bytes
    rate: str = "all"


def _reading(by: ModuleType) -> dict[tuple[str, str], Route]:
    """Return the routes that PostgreSQL has statements of its own for."""
    return {
        ("GET", CONVERSATIONS): Route(by.prepare_inbox, LIST),
        ("GET", CONVERSATION): Route(by.prepare_conversation, CHANGEABLE),
        ("GET", f"{CONVERSATION}messages/"): Route(by.prepare_history, LIST),
        ("GET", "/api/unread/"): Route(by.prepare_unread, ONE),
        ("GET", "/api/sync/"): Route(by.prepare_sync, ONE),
        ("GET", USERS): Route(by.prepare_users, ONE),
        ("GET", USER): Route(by.prepare_user, b"GET, PATCH, HEAD, OPTIONS"),
        ("GET", MESSAGE): Route(by.prepare_message, CHANGEABLE),
        ("PUT", f"{MESSAGE}star/"): Route(partial(by.prepare_star, starred=True), STAR),
        ("DELETE", f"{MESSAGE}star/"): Route(partial(by.prepare_star, starred=False), STAR),
        ("POST", f"{CONVERSATION}read/"): Route(by.prepare_read, b"POST, OPTIONS"),
    }


ALIKE = {
    ("POST", MESSAGES): Route(sending.prepare, LIST, "send"),
    ("POST", f"{CONVERSATION}messages/"): Route(sending.prepare_in, LIST, "send"),
}


class Lane:
    """Stands before an ASGI application; closed, it lets everything through."""

    def __init__(self, application: Application, *, is_open: bool = True) -> None:
        self._application = application
        self._is_open = is_open
        self._credentials = Credentials()
        # The statements are PostgreSQL's.
        by = reading if connection.vendor == "postgresql" else asking
        self._routes = ALIKE | _reading(by)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http" or not self._is_open:
            await self._application(scope, receive, send)
            return
        route, named = _route(self._routes, scope["method"], scope["path"])
        if route is None:
            await self._pass(scope, receive, send)
            return
        raw: bytes | None = None
        try:
            request = arrived(scope)
            if scope["method"] == "POST":
                request.raw = raw = await read_body(receive)
            await self._answer(request, route, named, send)
        except NotMine:
            await self._application(scope, _again(raw, receive), send)

    async def answer(self, scope: Scope, raw: bytes) -> Answer | None:
        """Return the answer to a request that was read already; None: nothing was done, ask Django.

        A live connection asks thus, without a request around it.
        """
        route, named = _route(self._routes, scope["method"], scope["path"])
        if route is None or not self._is_open:
            return None
        try:
            request = arrived(scope)
            request.raw = raw
            answer, _ = await self._work(request, route, named)
        except NotMine:
            return None
        return answer

    async def prove(self, header: bytes) -> authentication.Proved | None:
        """Return who opens a live connection by this header Authorization; None: ask Django.

        What was proved before does not count: the connection's own checks begin here.
        """
        if not self._is_open:
            return None
        try:
            proved = await self._credentials.learn(by_header(header))
        except (NotMine, *LOST):
            return None
        return proved.viewer, proved.by

    async def is_heavy(self, viewer: User, by: Credential) -> bool | None:
        """Return whether who opened a live connection is a heavy reader; None: not seen here."""
        if not self._is_open:
            return None
        try:
            return (await self._credentials.of_connection(viewer, by)).is_heavy
        except (NotMine, *LOST):
            return None

    async def _answer(self, request: Arrived, route: Route, named: UUID | None, send: Send) -> None:
        """Answer a request.

        :raises NotMine: it is for Django after all; nothing was done, and nothing was sent.
        """
        answer, proved = await self._work(request, route, named)
        by_session = proved.by.proof is Proof.SESSION
        await send_answer(send, request, answer, allow=route.allow, by_session=by_session)

    async def _work(
        self, request: Arrived, route: Route, named: UUID | None
    ) -> tuple[Answer, Proved]:
        """Return the answer to a request, and who asks.

        :raises NotMine: it is for Django after all; nothing was done.
        """
        where = () if named is None else (named,)
        try:
            proved = await self._credentials.prove(request)
            work = await route.prepare(request, proved, *where)
        except LOST:
            # Django finds out by itself, and says so.
            raise NotMine from None
        if wait_for(route.rate, str(proved.viewer.user_id)) is not None:
            raise NotMine
        try:
            return await work(), proved
        except NotMine:
            raise
        except Exception as error:  # noqa: BLE001 - what is not foreseen is logged, and answers 500
            return refused(error, request.scope["path"]), proved

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Django answer; what may have changed an account ends what is remembered of all,
        before anyone can know that it has.
        """
        if scope["method"] not in UNSAFE or scope["path"].startswith(HARMLESS):
            await self._application(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            self._credentials.forget()
            await send(message)

        try:
            await self._application(scope, receive, sending)
        finally:  # also of one that went without an answer
            self._credentials.forget()


def _route(
    routes: Mapping[tuple[str, str], Route], method: str, path: str
) -> tuple[Route | None, UUID | None]:
    """Return what answers here, and for which conversation, message or person."""
    found = routes.get((method, path))
    if found is not None:
        return found, None
    above = next((each for each in ABOVE if path.startswith(each)), None)
    if above is None:
        return None, None
    text, _, below = path.removeprefix(above).partition("/")
    found = routes.get((method, f"{above}<id>/{below}")) if path.endswith("/") else None
    named = ids.parse(text) if found is not None else None
    return (None, None) if named is None else (found, named)


async def _live(receive: Receive, send: Send) -> None:
    """Begin and end with the server; Django knows nothing of that."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def _again(raw: bytes | None, receive: Receive) -> Receive:
    """Return what gives a body once more that was read already."""
    if raw is None:
        return receive
    left: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay
