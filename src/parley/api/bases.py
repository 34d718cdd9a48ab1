"""What the canonical API's views share: reading bodies and queries, finding the people of an
answer, answering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import Serializer
from rest_framework.viewsets import ViewSet

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.api.serializers import BodySerializer, Shown
from parley.http import paging, wire
from parley.http.parameters import LIMIT, USERS
from parley.kernel.errors import Invalid
from parley.kernel.paging import Page, Position

T = TypeVar("T")


class KeyMismatch(Invalid):
    code = "idempotency_key_mismatch"
    message = "Idempotency-Key and client_id differ."


class BaseViewSet(ViewSet):
    """A view set over the domain: each action parses, makes one call, and shows what it gave."""

    # The names of the addresses below this one, which the browsable API leads to.
    below: Sequence[str] = ()

    def links(self) -> dict[str, str]:
        """Return what is below this address, by title."""
        return {_title(name): reverse(f"api:{name}", kwargs=self.kwargs) for name in self.below}

    @property
    def viewer(self) -> User:
        """Who asks. Views that anyone may use do not ask for it."""
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - the permission has seen to it
        return user

    def get_serializer(self, *args: Any, **options: Any) -> Serializer[Any]:
        """Return what reads the body of the request's action; the browsable API draws its forms
        from it.
        """
        action = self.action_map.get((self.request.method or "").lower(), "")
        body = getattr(getattr(self, action, None), "body", None) or BodySerializer
        found: Serializer[Any] = body(*args, **options)
        return found

    def body(self) -> dict[str, Any]:
        """Return the request's body, typed.

        :raises ValidationError: with ``attr`` naming each wrong field.
        """
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        found: dict[str, Any] = serializer.validated_data
        return found

    def people_of(self) -> Callable[[Iterable[UUID]], wire.People]:
        """Return what finds the people of an answer, to be written as the query wants it.

        :raises Invalid: the query wants something else.
        """
        compact = USERS.read(self.request.query_params) == "map"
        return partial(self.people, compact=compact)

    def people(self, user_ids: Iterable[UUID], *, compact: bool = False) -> wire.People:
        """Return the people of an answer."""
        found = accounts.people(viewer=self.viewer, user_ids=set(user_ids))
        return wire.People.of(found, compact=compact)

    def shown(
        self, serializer: type[Shown], value: Any, people: wire.People | None, status: int = 200
    ) -> Response:
        """Answer with one value."""
        return Response(serializer(value, context={"people": people}).data, status=status)

    # --- pages

    @property
    def size(self) -> int:
        return LIMIT.read(self.request.query_params)

    @property
    def scope(self) -> str:
        return f"{type(self).__name__}.{self.action}"

    @property
    def position(self) -> Position | None:
        """Where the asked page begins.

        :raises BadCursor: the cursor was not given out for this list.
        """
        return paging.read_cursor(self.request.query_params, scope=self.scope)

    def page(
        self,
        found: Page[T],
        serializer: type[Shown],
        named: Callable[[T], Iterable[UUID]],
    ) -> Response:
        """Answer with a page of values; ``named`` says whom each of them names."""
        people = self.people_of()(user_id for item in found.items for user_id in named(item))
        write = serializer(context={"people": people}).to_representation
        answer = paging.page(found, write, request=self.request, scope=self.scope)
        return Response(answer | people.beside())


def address(
    route: str,
    view: type[BaseViewSet],
    actions: dict[str, str],
    name: str,
    below: Sequence[str] = (),
) -> URLPattern:
    """Return an address of a view set; its page bears its name, and leads to what is below."""
    return path(route, view.as_view({**actions}, name=_title(name), below=below), name=name)


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def client_id(request: Request, body: Mapping[str, Any]) -> str | None:
    """Return the name that a retry of this request would bear again: from the body or its header.

    :raises KeyMismatch: the two differ.
    """
    named: str | None = body.get("client_id")
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return named
    key = _text(header)
    if named is not None and named != key:
        raise KeyMismatch(attr="client_id")
    return key


def _text(header: str) -> str:
    """Return a header's value as UTF-8, which servers hand over byte by byte."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        raise KeyMismatch("Idempotency-Key is not text in UTF-8.", attr="client_id") from None
