"""Reading in the lane: the history, the inbox, how much is unread, and whether anything is new."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import chain
from typing import Any
from uuid import UUID

from django.conf import settings
from rest_framework.utils.urls import replace_query_param

from parley.accounts.models import Role
from parley.api.conversations import FEW
from parley.api.lane import texts
from parley.api.lane.answers import Answer, encode, escape
from parley.api.lane.credentials import Proved
from parley.api.lane.requests import Arrived, NotMine
from parley.api.messages import AFTER, BEFORE, CHANGED_AFTER
from parley.http import wire
from parley.http.paging import read_cursor, write_cursor
from parley.http.parameters import CURSOR, LARGEST, LIMIT, USERS, only_one
from parley.kernel.errors import Invalid
from parley.kernel.paging import Page, Position
from parley.messaging import express
from parley.messaging.express import Row

Prepared = Callable[[], Awaitable[Answer]]

PAGED = {LIMIT.name, CURSOR.name, USERS.name}
PLACES = {place.name: place for place in (BEFORE, AFTER, CHANGED_AFTER)}
HISTORY_SCOPE, INBOX_SCOPE = "HistoryViewSet.list", "ConversationViewSet.list"


async def prepare_history(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``GET /api/conversations/{id}/messages/``."""
    try:
        size, position, compact = _paging(request, HISTORY_SCOPE, PLACES.keys())
        only_one(request.query, *PLACES.values())
        places = {name: place.read(request.query) for name, place in PLACES.items()}
    except Invalid:
        raise NotMine from None

    async def answer() -> Answer:
        found, senders = await express.list_history(
            viewer_id=proved.viewer.user_id,
            conversation_id=conversation_id,
            **places,
            position=position,
            size=size,
        )
        known, named = _people(proved, senders, compact=compact)
        shown = texts.messages(found.items, named, viewer_id=str(proved.viewer.user_id))
        return _page(request, found, shown, known if compact else None, HISTORY_SCOPE)

    return answer


async def prepare_inbox(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/conversations/``."""
    try:
        size, position, compact = _paging(request, INBOX_SCOPE, {FEW.name})
        messages = FEW.read(request.query)
    except Invalid:
        raise NotMine from None
    if messages not in {0, 1} or proved.is_heavy:
        raise NotMine

    async def answer() -> Answer:
        found, members = await express.list_conversations(
            viewer_id=proved.viewer.user_id, position=position, size=size
        )
        senders = (row[-express.PERSON_WIDTH :] for row in found.items)
        in_them = (row[-express.PERSON_WIDTH :] for row in members)
        known, named = _people(proved, chain(in_them, senders), compact=compact)
        nested: dict[str, list[str]] = {row[0]: [] for row in found.items}
        for row in members:
            nested[row[0]].append(texts.participant(row, named, compact=compact))
        viewer_id = str(proved.viewer.user_id)
        shown = []
        for row in found.items:
            last = texts.messages([row[express.PAGE_WIDTH :]], named, viewer_id=viewer_id)
            shown.append(texts.conversation(row, nested[row[0]], last, nests=bool(messages)))
        return _page(request, found, shown, known if compact else None, INBOX_SCOPE)

    return answer


async def prepare_unread(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/unread/``."""
    if request.query or proved.is_heavy:
        raise NotMine
    total = await express.count_unread(viewer_id=proved.viewer.user_id)
    if total is None:
        raise NotMine
    return _given(Answer(200, encode(wire.unread_total(total))))


async def prepare_sync(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/sync/`` to a client that has everything."""
    cursor = request.query.get(CURSOR.name)
    if not cursor or proved.is_heavy or not request.query.keys() <= {CURSOR.name, LIMIT.name}:
        raise NotMine
    try:
        LIMIT.read(request.query)
        CURSOR.read(request.query)
        news = await express.nothing_new(viewer_id=proved.viewer.user_id, cursor=cursor)
    except Invalid:
        raise NotMine from None
    if news is None:
        raise NotMine
    return _given(Answer(200, encode(wire.news(news, wire.People({})))))


async def prepare_read(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``POST /api/conversations/{id}/read/``."""
    body = request.json()
    seq = body.get("seq")
    if "seq" in body and (type(seq) is not int or not 0 <= seq <= LARGEST):
        raise NotMine

    async def answer() -> Answer:
        state = await express.read_up_to(
            viewer_id=proved.viewer.user_id, conversation_id=conversation_id, seq=seq
        )
        return Answer(200, encode(wire.read_state(state)))

    return answer


def _given(answer: Answer) -> Prepared:
    async def give() -> Answer:
        return answer

    return give


def _paging(request: Arrived, scope: str, more: Any) -> tuple[int, Position | None, bool]:
    """Return the size, the position and the form of people that a list is asked for in.

    :raises Invalid: a parameter is wrong.
    :raises NotMine: there are others than these, or people are to be seen by rules of their own.
    """
    if (
        not request.query.keys() <= PAGED | set(more)
        or settings.PARLEY.contact_details == "participants"
    ):
        raise NotMine
    query = request.query
    return LIMIT.read(query), read_cursor(query, scope=scope), USERS.read(query) == "map"


def _people(
    proved: Proved, rows: Iterable[Row], *, compact: bool
) -> tuple[dict[str, str], texts.Users]:
    """Return the people of rows, and what stands where one of them is named."""
    viewer = proved.viewer
    sees_all = settings.PARLEY.contact_details == "everyone" or viewer.role == Role.ADMIN
    known = texts.people(rows, viewer_id=str(viewer.user_id), sees_all=sees_all)
    return known, texts.Compact() if compact else known


def _page(
    request: Arrived,
    found: Page[Row],
    shown: Iterable[str],
    users: texts.Users | None,
    scope: str,
) -> Answer:
    def link(position: Position | None) -> str | None:
        if position is None:
            return None
        cursor = write_cursor(position, scope=scope)
        return replace_query_param(request.address, CURSOR.name, cursor)

    following, previous = link(found.next), link(found.previous)
    body = texts.page(shown, following=following, previous=previous, users=users)
    return Answer(200, escape(body))
