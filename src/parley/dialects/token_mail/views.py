"""The views of ``token_mail``: each parses, makes one call, and renders."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import get_authorization_header
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import (
    HTTP_201_CREATED,
    HTTP_204_NO_CONTENT,
    HTTP_405_METHOD_NOT_ALLOWED,
)

from parley.accounts import operations
from parley.dialects import letters
from parley.dialects.doors import Door, Nowhere, SpacedJSONRenderer, Worded
from parley.dialects.letters import Letter
from parley.dialects.token_mail import claims, wire
from parley.http.authentication import (
    BearerAuthentication,
    Proved,
    SessionAuthentication,
    TokenAuthentication,
)
from parley.http.parsers import LoudJSONParser
from parley.http.requests import plain
from parley.http.security_log import note
from parley.http.throttling import SendThrottle, SignUpThrottle


class LenientTokenAuthentication(TokenAuthentication):
    """The header; one that holds no key is as none."""

    def authenticate(self, request: Request) -> Proved | None:
        words = get_authorization_header(request).split()
        return (
            None
            if len(words) == 1 and words[0].lower() == b"token"
            else super().authenticate(request)
        )


class TokenDoor(Door):
    authentication_classes = (
        LenientTokenAuthentication,
        BearerAuthentication,
        SessionAuthentication,
    )
    render_no = staticmethod(wire.render_no)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Look at the credentials in the query too, as its clients expect, before anything else."""
        super().initial(request, *args, **kwargs)
        if hasattr(self, (request.method or "").lower()):
            check_claims(request, self.viewer)


def check_claims(request: Request, user: Any) -> None:
    """Look at the username and the password in the query, each for itself if it is there (Q1).

    :raises Worded: one is empty, or not the user's.
    :raises TooManyFailures: there were too many wrong passwords.
    """
    username, password = map(request.query_params.get, ("username", "password"))
    if username == "":
        raise Worded(*wire.NO_USERNAME)
    if username is not None and not claims.is_own_name(user, username):
        raise Worded(*wire.OTHER_USERNAME)
    if password == "":
        raise Worded(*wire.NO_PASSWORD)
    if password is not None and not claims.is_own_password(plain(request), user, password):
        raise Worded(*wire.WRONG_PASSWORD)


class NowhereView(Nowhere):
    render_no = staticmethod(wire.render_no)


class AnyJSONParser(LoudJSONParser):
    """JSON, whatever the client calls it."""

    media_type = "*/*"


class CreateUserView(Door):
    """Sign up, and hear one's token this once (Q2), in JSON with spaces (Q3)."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (SignUpThrottle,)
    parser_classes = (AnyJSONParser,)
    renderer_classes = (SpacedJSONRenderer,)
    render_no = staticmethod(wire.render_sign_up_no)

    def post(self, request: Request) -> Response:
        user = operations.sign_up(**wire.parse_user(self.sent))
        days = settings.PARLEY.token_mail_days
        token, text = operations.create_token(
            user=user,
            name="token_mail",
            lifetime=timedelta(days=days) if days else None,
            most=settings.PARLEY.tokens,
            at=timezone.now(),
        )
        note(plain(request), "sign_up", user_id=user.user_id)
        note(plain(request), "token_created", user_id=user.user_id, token_id=token.token_id)
        return Response(wire.render_user(user.username, text), status=HTTP_201_CREATED)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Say no without a word."""
        return Response(status=HTTP_405_METHOD_NOT_ALLOWED)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return self.http_method_not_allowed(request)


class WriteView(TokenDoor):
    throttle_classes = (SendThrottle,)

    def post(self, request: Request) -> Response:
        """Write to one person."""
        new = self.parsed()
        letter = letters.write_letter(
            self.viewer, receiver_id=new.receiver_id, subject=new.subject, body=new.message
        )
        return Response(wire.render_letter(letter), status=HTTP_201_CREATED)

    def parsed(self) -> wire.NewLetter:
        is_sender = partial(claims.is_own_name, self.viewer)
        try:
            return wire.parse_letter(
                self.sent, is_sender=is_sender, find=letters.find_receiver_named
            )
        except wire.Told as told:
            raise Worded(told.status, told.body) from None


class ListView(TokenDoor):
    """A bare array of the newest, oldest first (Q8)."""

    scope = "token_mail.all"
    box: ClassVar[str] = "all"
    unread_only: ClassVar[bool] = False

    def get(self, request: Request) -> Response:
        found = letters.mailbox(
            self.viewer,
            box=self.box,
            unread_only=self.unread_only,
            position=self.position(scope=self.scope),
        )
        headers = self.link(found.older, scope=self.scope)
        if not found.letters:
            return Response(status=HTTP_204_NO_CONTENT, headers=headers)
        return Response([wire.render_letter(letter) for letter in found.letters], headers=headers)


class UnreadView(ListView):
    scope = "token_mail.unread"
    box = "inbox"
    unread_only = True


class MarkReadView(TokenDoor):
    def get(self, request: Request, number: int) -> Response:
        """Show a received message. Looking does not read it."""
        return Response(wire.render_letter(self.received(letters.find_letter(self.viewer, number))))

    def put(self, request: Request, number: int) -> Response:
        """Read a received message; the second time there is nothing left to read (Q9)."""
        letter, was_unread = letters.read_letter(self.viewer, number)
        if not was_unread:
            self.received(letter)
            raise Worded(*wire.READ_BEFORE)
        return Response(wire.render_read(letter, self.viewer.username))

    def received(self, letter: Letter) -> Letter:
        """Return the same letter.

        :raises Worded: it is one that the viewer sent.
        """
        if letter.receiver_id != self.viewer.user_id:
            raise Worded(*wire.NOT_THE_RECEIVER)
        return letter


class DeleteView(TokenDoor):
    def delete(self, request: Request, number: int) -> Response:
        """Remove a message for oneself (Q10)."""
        letters.remove_letter(self.viewer, number)
        return Response(status=HTTP_204_NO_CONTENT)
