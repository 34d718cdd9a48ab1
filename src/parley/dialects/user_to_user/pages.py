"""Pages by number, as REST framework has them: ``?page=N``, twenty a page, each counted.

The first fifty pages can be asked for by number alone, and nothing is counted beyond them. Past
those ``next`` and ``previous`` carry a cursor too (Q7), so that no page costs more than another.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.http import HttpRequest
from rest_framework.exceptions import NotFound
from rest_framework.utils.urls import remove_query_param, replace_query_param

from parley.dialects.user_to_user import wire
from parley.http import paging
from parley.kernel.paging import Page, Position

T = TypeVar("T")
SIZE = 20
COUNTED = 1_000
LAST_BY_NUMBER = COUNTED // SIZE
NUMBER = re.compile("0*[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True)
class Pages(Generic[T]):
    """A list in pages: ``fetch`` reads a part of it, ``scope`` tells its cursors from those of
    other lists.
    """

    request: HttpRequest
    scope: str
    fetch: Callable[[Position | None, int], Page[T]]

    def read(self) -> tuple[Page[T], str | None, str | None]:
        """Return the page that was asked for, and the addresses of the next and the previous one.

        :raises NotFound: there is no such page.
        """
        number = self._number()
        page = self.fetch(self._position(number), SIZE)
        if number > 1 and not page.items:
            raise NotFound(wire.NO_PAGE)
        following = self._address(number + 1, page.next) if page.next else None
        previous = self._address(number - 1, page.previous) if number > 1 else None
        return page, following, previous

    def _number(self) -> int:
        given = self.request.GET.get("page") or "1"  # an empty one is none, as in REST framework
        if not NUMBER.fullmatch(given):
            raise NotFound(wire.NO_PAGE)
        return int(given)

    def _position(self, number: int) -> Position | None:
        """Return where a page begins: by its cursor, else by counting from the beginning."""
        position = paging.read_cursor(self.request.GET, scope=self.scope)
        if position is not None or number == 1:
            return position
        if number > LAST_BY_NUMBER:
            raise NotFound(wire.NO_PAGE)
        before = self.fetch(None, (number - 1) * SIZE)
        if before.next is None:
            raise NotFound(wire.NO_PAGE)
        return before.next

    def _address(self, number: int, position: Position | None) -> str:
        address = remove_query_param(self.request.build_absolute_uri(), "cursor")
        if number == 1:
            return remove_query_param(address, "page")
        address = replace_query_param(address, "page", str(number))
        if number <= LAST_BY_NUMBER or position is None:
            return address
        cursor = paging.write_cursor(position, scope=self.scope)
        return replace_query_param(address, "cursor", cursor)
