"""The views of ``bearer_mail``: each parses, makes one call, and renders."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from parley.dialects import letters
from parley.dialects.bearer_mail import wire
from parley.dialects.doors import Door, Nowhere, refuse_cross_site
from parley.http.throttling import SendThrottle


class BearerDoor(Door):
    render_no = staticmethod(wire.render_no)


class NowhereView(Nowhere):
    render_no = staticmethod(wire.render_no)


class WelcomeView(BearerDoor):
    """What there is, for anyone."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return Response(wire.WELCOME)


class WriteView(BearerDoor):
    throttle_classes = (SendThrottle,)

    def post(self, request: Request) -> Response:
        """Write to one person."""
        new = wire.parse_letter(self.sent, letters.find_receiver)
        letter = letters.write_letter(
            self.viewer, receiver_id=new.receiver_id, subject=new.subject, body=new.content
        )
        return Response(wire.render_letter(letter), status=HTTP_201_CREATED)


class ListView(BearerDoor):
    """A bare array of the newest, oldest first (Q4)."""

    scope = "bearer_mail.all"
    box: ClassVar[str] = "all"
    unread_only: ClassVar[bool] = False

    def get(self, request: Request) -> Response:
        found = letters.mailbox(
            self.viewer,
            box=self.box,
            unread_only=self.unread_only,
            position=self.position(scope=self.scope),
        )
        rendered = [wire.render_letter(letter) for letter in found.letters]
        return Response(rendered, headers=self.link(found.older, scope=self.scope))


class UnreadView(ListView):
    scope = "bearer_mail.unread"
    box = "inbox"
    unread_only = True


class ReadView(BearerDoor):
    def get(self, request: Request, number: int) -> Response:
        """Show a message; if it is the receiver who looks, it is read (Q1)."""
        refuse_cross_site(request)
        letter, _ = letters.read_letter(self.viewer, number)
        return Response(wire.render_letter(letter))

    def head(self, request: Request, number: int) -> Response:
        """Show it without reading it: HEAD changes nothing."""
        return Response(wire.render_letter(letters.find_letter(self.viewer, number)))


class DeleteView(BearerDoor):
    def delete(self, request: Request, number: int) -> Response:
        """Remove a message for oneself (Q6)."""
        letters.remove_letter(self.viewer, number)
        return Response(status=HTTP_204_NO_CONTENT)
