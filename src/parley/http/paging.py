"""Pages on the wire: signed cursors, and links to the neighbours of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from parley.http import wire
from parley.http.parameters import CURSOR
from parley.kernel.errors import Invalid
from parley.kernel.paging import Page, Position

T = TypeVar("T")


class BadCursor(Invalid):
    code = "invalid_cursor"
    message = "This cursor was not given out here."


def _signer(scope: str) -> Signer:
    return Signer(salt=f"parley.page.{scope}", sep=".")


def write_cursor(position: Position, *, scope: str) -> str:
    """Return a cursor for a position; it is valid in lists of this scope alone."""
    return _signer(scope).sign_object([position.backward, *position.key])


def read_cursor(query: Mapping[str, str], *, scope: str) -> Position | None:
    """Return the position that the query's cursor stands for; without one, the beginning.

    :raises BadCursor: it is forged, broken, or of another list.
    """
    text = CURSOR.read(query)
    if not text:
        return None
    try:
        backward, *key = _signer(scope).unsign_object(text)
    except (BadSignature, ValueError):
        raise BadCursor(attr=CURSOR.name) from None
    return Position(tuple(key), backward=backward)


def page(
    found: Page[T], write: Callable[[T], Any], *, request: HttpRequest | Request, scope: str
) -> wire.Json:
    """Return the page object of what was found; its links follow the address asked for."""
    following, previous = links(found, address=request.build_absolute_uri(), scope=scope)
    return wire.page(map(write, found.items), following=following, previous=previous)


def links(found: Page[Any], *, address: str, scope: str) -> tuple[str | None, str | None]:
    """Return the addresses of the next page and of the previous one, where there are such."""

    def link(position: Position | None) -> str | None:
        if position is None:
            return None
        return replace_query_param(address, CURSOR.name, write_cursor(position, scope=scope))

    return link(found.next), link(found.previous)
