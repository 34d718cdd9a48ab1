"""The addresses of ``user_to_user``. What is odd about them has a number in the README."""

from __future__ import annotations

from collections.abc import Sequence

from django.middleware.csrf import get_token
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.accounts.operations import sign_up
from parley.accounts.people import Person
from parley.accounts.queries import UnknownPerson
from parley.conversations.models import Participant
from parley.conversations.operations import ConversationNotFound, find_direct
from parley.conversations.queries import get_participation
from parley.dialects import handles, letters
from parley.dialects.doors import Door, Nowhere, refuse_cross_site
from parley.dialects.letters import Letter
from parley.dialects.sessions import sign_in, sign_out
from parley.dialects.user_to_user import wire
from parley.dialects.user_to_user.pages import COUNTED, Pages
from parley.http.authentication import SessionAuthentication
from parley.http.requests import plain
from parley.http.throttling import SendThrottle, SignUpThrottle
from parley.kernel import ids
from parley.kernel.paging import Page, Position
from parley.messaging import queries
from parley.messaging.seen import SeenMessage


class UserDoor(Door):
    render_no = staticmethod(wire.render_no)


class NowhereView(Nowhere):
    render_no = staticmethod(wire.render_no)


class OuterDoor(UserDoor):
    """For whoever is nobody yet: a header that proves nothing any more shuts nobody out."""

    authentication_classes = (SessionAuthentication,)
    permission_classes = (AllowAny,)


class RegisterView(OuterDoor):
    throttle_classes = (SignUpThrottle,)

    def post(self, request: Request) -> Response:
        username, email, password = wire.texts(self.sent, "username", "email", "password")
        user = sign_up(username=username, email=email, password=password)
        number = handles.numbers_of_users([user.user_id])[user.user_id]
        shown = wire.registered(number, username=user.username, email=email)
        return Response(shown, status=201)


class LoginView(OuterDoor):
    """Q1: a stranger needs no CSRF token to sign in; whoever is signed in by cookie does."""

    def post(self, request: Request) -> Response:
        username, password = wire.texts(self.sent, "username", "password")
        if sign_in(request, username=username, password=password) is None:
            return Response(wire.LOGIN_FAILED, status=401)
        return Response(wire.logged_in(get_token(plain(request))))


class LogoutView(UserDoor):
    """Q2: by GET, as it always was, but not on behalf of another site."""

    http_method_names = ("get", "post")

    def get(self, request: Request) -> Response:
        refuse_cross_site(request)
        return self.post(request)

    def post(self, request: Request) -> Response:
        sign_out(request, self.viewer)
        return Response(wire.LOGGED_OUT)


class UsersView(UserDoor):
    """Everyone but the caller (Q4)."""

    def get(self, request: Request) -> Response:
        pages = Pages(plain(request), "user_to_user.users", self._others)
        page, following, previous = pages.read()
        numbers = handles.numbers_of_users([person.user_id for person in page.items])
        rows = [wire.user(numbers[person.user_id], person) for person in page.items]
        count = min(accounts.count_people(most=COUNTED + 1) - 1, COUNTED)
        return Response(wire.page(rows, count=count, following=following, previous=previous))

    def _others(self, position: Position | None, size: int) -> Page[Person]:
        """Return a part of the directory without the caller, and one more in their place."""
        found = accounts.list_people(viewer=self.viewer, position=position, size=size)
        others = [person for person in found.items if person.user_id != self.viewer.user_id]
        backward = position is not None and position.backward
        onward = found.previous if backward else found.next
        if len(others) == len(found.items) or onward is None:
            return found.with_items(others)
        more = accounts.list_people(viewer=self.viewer, position=onward, size=1)
        if backward:
            return Page([*more.items, *others], next=found.next, previous=more.previous)
        return Page([*others, *more.items], next=more.next, previous=found.previous)


class MessagesView(UserDoor):
    throttle_classes = (SendThrottle,)

    def get(self, request: Request) -> Response:
        """The caller's own, newest first (Q5)."""
        scope, viewer = "user_to_user.messages", self.viewer
        pages = Pages(
            plain(request),
            scope,
            lambda position, size: queries.list_messages(
                viewer=viewer, position=position, size=size
            ),
        )
        count = queries.count_messages(viewer=viewer, most=COUNTED)
        return _page_of_letters(viewer, pages, count)

    def post(self, request: Request) -> Response:
        [content] = wire.texts(self.sent, "content")
        try:
            receiver_id = accounts.find_recipient(name=wire.recipient(self.sent))
            letter = letters.write_letter(
                self.viewer, receiver_id=receiver_id, subject="", body=content
            )
        except UnknownPerson:
            return Response(wire.NO_RECIPIENT, status=400)
        return Response(_rendered(self.viewer, [letter])[0], status=201)


class MessageView(UserDoor):
    """Q6: one's own can be looked at and removed; nothing changes what was said."""

    def get(self, _request: Request, number: int) -> Response:
        return Response(_rendered(self.viewer, [letters.find_letter(self.viewer, number)])[0])

    def delete(self, _request: Request, number: int) -> Response:
        letters.remove_letter(self.viewer, number)
        return Response(status=204)


class CorrespondenceView(UserDoor):
    def get(self, request: Request, username: str) -> Response:
        """What the caller and one other wrote each other, oldest first.

        :raises NotFound: nobody is called so.
        """
        other = None if "@" in username else accounts.find_account(login=username)
        if other is None:
            raise NotFound(wire.NO_USER)
        scope, viewer = f"user_to_user.with.{other.user_id}", self.viewer
        mine = _own_place(viewer, other)
        if mine is None:  # no conversation, or one that the viewer left
            return _page_of_letters(viewer, Pages(plain(request), scope, lambda *_: Page([])), 0)
        pages = Pages(
            plain(request),
            scope,
            lambda position, size: queries.history(
                viewer=viewer, mine=mine, after=0, position=position, size=size
            ),
        )
        page, following, previous = pages.read()
        rows = _between(viewer, other, page.items)
        count = queries.count_history(viewer=viewer, mine=mine, most=COUNTED)
        return Response(wire.page(rows, count=count, following=following, previous=previous))


def _own_place(viewer: User, other: User) -> Participant | None:
    """Return the viewer's row in the conversation of the two."""
    where = find_direct(ids.direct_key(viewer.user_id, other.user_id))
    if where is None:
        return None
    try:
        return get_participation(viewer=viewer, conversation_id=where)
    except ConversationNotFound:
        return None


def _between(viewer: User, other: User, messages: Sequence[SeenMessage]) -> list[wire.Json]:
    """Return the messages of two, whose names are at hand; nobody else wrote any of them."""
    numbers = handles.numbers_of_messages([message.message_id for message in messages])
    names = {viewer.user_id: (viewer.username, other.username)}
    received = (other.username, viewer.username)
    return [
        wire.message(
            numbers[message.message_id],
            *names.get(message.sender_id, received),
            message.message_body,
            message.sent_at,
        )
        for message in messages
    ]


def _page_of_letters(viewer: User, pages: Pages[SeenMessage], count: int) -> Response:
    page, following, previous = pages.read()
    rows = _rendered(viewer, letters.letters(viewer, page.items))
    return Response(wire.page(rows, count=count, following=following, previous=previous))


def _rendered(viewer: User, found: Sequence[Letter]) -> list[wire.Json]:
    named = {one for letter in found for one in (letter.sender_id, letter.receiver_id)}
    people = accounts.people(viewer=viewer, user_ids=named)
    return [wire.letter(letter, people) for letter in found]
