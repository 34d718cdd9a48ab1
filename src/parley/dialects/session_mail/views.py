"""The addresses of ``session_mail``. What is odd about them has a number in the README."""

from __future__ import annotations

from typing import Any

from django.http.request import RawPostDataException
from django.middleware.csrf import get_token
from rest_framework.exceptions import MethodNotAllowed, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.accounts.operations import sign_up
from parley.conversations.operations import find_direct
from parley.dialects import handles, letters
from parley.dialects.doors import Door, Nowhere, SpacedJSONRenderer, refuse_cross_site
from parley.dialects.letters import MOST_LISTED, LetterNotFound
from parley.dialects.session_mail import wire
from parley.dialects.sessions import sign_in, sign_out
from parley.http.authentication import SessionAuthentication
from parley.http.parsers import read_json
from parley.http.requests import plain
from parley.http.throttling import SendThrottle, SignUpThrottle
from parley.kernel import ids
from parley.kernel.paging import Page, Position
from parley.kernel.text import Blank
from parley.messaging import queries
from parley.messaging.queries import Edge


class Unread(BaseParser):
    """Leaves the body alone: ``body`` reads it, in its own way."""

    media_type = "*/*"

    def parse(self, *_args: object, **_kwargs: object) -> dict[str, Any]:
        return {}


class SessionDoor(Door):
    """Q6: the CSRF token is looked at first, then the method, then who asks."""

    render_no = staticmethod(wire.render_no)
    parser_classes = (Unread,)
    renderer_classes = (SpacedJSONRenderer,)
    http_method_names = ("get", "post", "delete")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self._refuse_forged(request)
        if self._handler(request) is None:
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)

    def _handler(self, request: Request) -> object:
        name = str(request.method).lower()
        return getattr(self, name, None) if name in self.http_method_names else None

    def _refuse_forged(self, request: Request) -> None:
        """Demand a CSRF token of everything that changes anything, unless a header says who asks.

        :raises CsrfFailed: there is none, or another's.
        """
        by_header = self.authentication_classes and request.headers.get("Authorization")
        if request.method in SAFE_METHODS or by_header:
            return
        asked: Any = plain(request)  # REST framework's own would read the body for it
        SessionAuthentication().enforce_csrf(asked)

    def _answer(self, error: Exception, context: dict[str, Any]) -> Response:
        answer = super()._answer(error, context)
        if answer.status_code == MethodNotAllowed.status_code:
            answer.data = None  # Q7: nothing is said
        return answer

    def body(self) -> dict[str, Any]:
        """Return the JSON object in the body, whatever the method and the media type; of anything
        else nothing (Q5).
        """
        try:
            return read_json(plain(self.request).body or b"{}")
        except (ParseError, RawPostDataException):
            return {}


class NowhereElse(Nowhere):
    render_no = staticmethod(wire.render_no)
    renderer_classes = (SpacedJSONRenderer,)


class Public(SessionDoor):
    """Whoever comes here is nobody yet."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class Token(Public):
    def get(self, request: Request) -> Response:
        return Response({"csrfToken": get_token(plain(request))})


class Register(Public):
    throttle_classes = (SignUpThrottle,)

    def post(self, _request: Request) -> Response:
        body = self.body()
        wire.require(body, "username", "email", "password", may_be_empty="email")  # Q9
        username, email, password = wire.texts(body, "username", "email", "password")
        user = sign_up(username=username, email=email, password=password)
        return Response(wire.registered(handles.numbers_of_users([user.user_id])[user.user_id]))


class Login(Public):
    def post(self, request: Request) -> Response:
        body = self.body()
        wire.require(body, "username", "password")
        username, password = wire.texts(body, "username", "password")
        if sign_in(request, username=username, password=password) is None:
            return Response(wire.LOGIN_FAILED, status=401)
        return Response(wire.SUCCESS)


class Logout(SessionDoor):
    def post(self, request: Request) -> Response:
        sign_out(request, self.viewer)
        return Response(wire.SUCCESS)


class Users(SessionDoor):
    """Q4: who there is to write to."""

    def get(self, _request: Request) -> Response:
        position = self.position(scope="session_mail.users")
        page = accounts.list_people(viewer=self.viewer, position=position, size=MOST_LISTED)
        numbers = handles.numbers_of_users([person.user_id for person in page.items])
        shown = wire.people((numbers[person.user_id], person.username) for person in page.items)
        return Response(shown, headers=self.link(page.next, scope="session_mail.users"))


class Write(SessionDoor):
    throttle_classes = (SendThrottle,)

    def post(self, _request: Request) -> Response:
        body = self.body()
        wire.require(body, "receiver_id", "body", "subject")
        words, subject = wire.texts(body, "body", "subject")
        receiver = letters.find_receiver(wire.number(body["receiver_id"]) or 0)
        if receiver is None:
            raise wire.NoReceiver(body["receiver_id"])
        try:
            written = letters.write_letter(
                self.viewer, receiver_id=receiver, subject=subject, body=words
            )
        except Blank:
            raise wire.FieldsMissing(["body"]) from None
        return Response(wire.written(written))


class Received(SessionDoor):
    """Q10: the newest thousand, oldest first; a header leads to those before."""

    unread_only = False

    def get(self, _request: Request) -> Response:
        scope = f"session_mail.received.{self.unread_only}"
        page = received(
            self.viewer, unread_only=self.unread_only, position=self.position(scope=scope)
        )
        numbers = handles.numbers_in_order([message_id for _, message_id in page.items[::-1]])
        shown = wire.numbers(numbers)
        return Response(shown, headers=self.link(page.next, scope=scope))


class OneLetter(SessionDoor):
    """What is about one message, named in the body (Q5) or in the address."""

    def message_id(self, request: Request) -> object:
        """Return which message is meant.

        :raises FieldsMissing: neither body nor address says.
        """
        given = {"message_id": request.query_params.get("message_id")} | self.body()
        wire.require(given, "message_id")
        return given["message_id"]


class Read(OneLetter):
    def get(self, request: Request) -> Response:
        refuse_cross_site(request)
        given = self.message_id(request)
        try:
            # Q11: the receiver's look marks it read, the sender's does not.
            shown, _ = letters.read_letter(self.viewer, wire.number(given) or 0)
        except LetterNotFound:
            raise wire.NotFoundToRead(given) from None
        return Response(wire.letter(shown))


class Delete(OneLetter):
    def delete(self, request: Request) -> Response:
        given = self.message_id(request)
        try:
            letters.remove_letter(self.viewer, wire.number(given) or 0)  # Q12: for the caller alone
        except LetterNotFound:
            raise wire.NotFoundToDelete(given) from None
        return Response(wire.SUCCESS)


def received(viewer: User, *, unread_only: bool, position: Position | None) -> Page[Edge]:
    """Return where the newest messages to someone are, their own to themselves too, which no inbox
    has.
    """
    page = queries.list_edges(
        viewer=viewer, box="inbox", unread_only=unread_only, position=position, size=MOST_LISTED
    )
    # One's own are read from the start.
    alone = None if unread_only else find_direct(ids.direct_key(viewer.user_id, viewer.user_id))
    if alone is None:
        return page
    own = queries.list_edges(
        viewer=viewer, with_user_id=viewer.user_id, position=position, size=MOST_LISTED
    )
    both = sorted([*page.items, *own.items], reverse=True)
    items = both[:MOST_LISTED]
    if len(both) == len(items) and not (page.next or own.next):
        return Page(items)
    return Page(items, next=Position(queries.position_key(items[-1])))
