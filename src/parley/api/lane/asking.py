"""Reading in the lane by the domain's own questions, asked in threads: on every database, and
whatever has no statement of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import NamedTuple, TypeVar
from uuid import UUID

from parley.accounts import queries as accounts
from parley.accounts.people import Person
from parley.api.accounts.people import SEARCH, scope_of
from parley.api.conversations import FILTERS, MANY, read_filters
from parley.api.lane.answers import Answer, encode
from parley.api.lane.credentials import Proved
from parley.api.lane.requests import Arrived, NotMine
from parley.api.messages import PLACES, read_places
from parley.http import wire
from parley.http.paging import links, read_cursor
from parley.http.parameters import CURSOR, LARGEST, LIMIT, USERS
from parley.kernel.errors import Invalid
from parley.kernel.paging import Page, Position
from parley.kernel.threads import markers, readers
from parley.messaging import operations, queries
from parley.messaging.seen import SeenConversation, SeenMessage
from parley.messaging.sync import sync

T = TypeVar("T", SeenMessage, SeenConversation, Person)
Prepared = Callable[[], Awaitable[Answer]]

PAGED = {LIMIT.name, CURSOR.name, USERS.name}
PLACE_NAMES = {place.name for place in PLACES}
INBOX_NAMES = {parameter.name for parameter in FILTERS}
NOBODY = wire.People({})
HISTORY_SCOPE, INBOX_SCOPE = "HistoryViewSet.list", "ConversationViewSet.list"


class Paging(NamedTuple):
    """What part of a list is asked for, and whether people are to stand beside it."""

    size: int
    position: Position | None
    compact: bool


class Search(NamedTuple):
    """What part of the directory is asked for; ``scope`` is where its cursors are valid."""

    size: int
    position: Position | None
    search: str
    scope: str


async def prepare_history(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``GET /api/conversations/{id}/messages/``."""
    try:
        paging = read_paging(request, HISTORY_SCOPE, PLACE_NAMES)
        places = read_places(request.query)
    except Invalid:
        raise NotMine from None

    def ask() -> Answer:
        found = queries.list_history(
            viewer=proved.viewer,
            conversation_id=conversation_id,
            **places,
            position=paging.position,
            size=paging.size,
        )
        people = _people(proved, found.items, compact=paging.compact)
        return _page(request, found, partial(wire.message, people=people), HISTORY_SCOPE, people)

    return partial(_answer, ask)


async def prepare_inbox(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/conversations/``."""
    try:
        paging = read_paging(request, INBOX_SCOPE, INBOX_NAMES)
        filters = read_filters(request.query)
    except Invalid:
        raise NotMine from None

    def ask() -> Answer:
        found = queries.list_conversations(
            viewer=proved.viewer, **filters, position=paging.position, size=paging.size
        )
        people = _people(proved, found.items, compact=paging.compact)
        write = partial(wire.conversation, people=people)
        return _page(request, found, write, INBOX_SCOPE, people)

    return partial(_answer, ask)


async def prepare_conversation(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``GET /api/conversations/{id}/``."""
    messages, compact = read_shape(request)

    def ask() -> Answer:
        seen = queries.get_conversation(
            viewer=proved.viewer, conversation_id=conversation_id, messages=messages
        )
        people = _people(proved, [seen], compact=compact)
        return Answer(200, encode(wire.conversation(seen, people) | people.beside()))

    return partial(_answer, ask)


async def prepare_message(request: Arrived, proved: Proved, message_id: UUID) -> Prepared:
    """Return what answers ``GET /api/messages/{id}/``."""
    if request.query:
        raise NotMine

    def ask() -> Answer:
        return _message(proved, queries.get_message(viewer=proved.viewer, message_id=message_id))

    return partial(_answer, ask)


async def prepare_star(
    request: Arrived, proved: Proved, message_id: UUID, *, starred: bool
) -> Prepared:
    """Return what answers ``PUT`` and ``DELETE /api/messages/{id}/star/``."""
    if request.query or request.has_body:
        raise NotMine

    def mark() -> Answer:
        seen = operations.set_message_starred(
            viewer=proved.viewer, message_id=message_id, starred=starred
        )
        return _message(proved, seen)

    return partial(markers().ask, mark)


async def prepare_users(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/users/``."""
    size, position, search, scope = read_search(request)

    def ask() -> Answer:
        found = accounts.list_people(
            viewer=proved.viewer, search=search, position=position, size=size
        )
        return _page(request, found, wire.person, scope)

    return partial(_answer, ask)


async def prepare_user(request: Arrived, proved: Proved, user_id: UUID) -> Prepared:
    """Return what answers ``GET /api/users/{id}/``."""
    if request.query:
        raise NotMine

    def ask() -> Answer:
        found = accounts.get_person(viewer=proved.viewer, user_id=user_id)
        return Answer(200, encode(wire.person(found)))

    return partial(_answer, ask)


async def prepare_unread(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/unread/``."""
    if request.query:
        raise NotMine
    viewer = proved.viewer
    return partial(
        _answer, lambda: Answer(200, encode(wire.unread_total(queries.count_unread(viewer=viewer))))
    )


async def prepare_sync(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/sync/`` at once."""
    if not request.query.keys() <= PAGED:
        raise NotMine
    try:
        cursor, size = CURSOR.read(request.query) or None, LIMIT.read(request.query)
        compact = USERS.read(request.query) == "map"
    except Invalid:
        raise NotMine from None

    def ask() -> Answer:
        found = sync(viewer=proved.viewer, cursor=cursor, limit=size)
        people = _people(proved, found.conversations, compact=compact)
        return Answer(200, encode(wire.news(found, people)))

    return partial(_answer, ask)


async def prepare_read(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``POST /api/conversations/{id}/read/``."""
    seq = read_seq(request)

    def mark() -> Answer:
        state = operations.read_up_to(
            viewer=proved.viewer, conversation_id=conversation_id, seq=seq
        )
        return Answer(200, encode(wire.read_state(state)))

    # Who waits for a lock does not keep those waiting who only read.
    return partial(markers().ask, mark)


def read_seq(request: Arrived) -> int | None:
    """Return how far a body says that its reader has read.

    :raises NotMine: it says so in no way that is understood here.
    """
    body = request.json()
    seq = body.get("seq")
    if "seq" in body and (type(seq) is not int or not 0 <= seq <= LARGEST):
        raise NotMine
    return seq


def read_paging(request: Arrived, scope: str, more: Collection[str]) -> Paging:
    """Return what part of a list is asked for; ``more`` names what else it may be asked by.

    :raises Invalid: a parameter is wrong.
    :raises NotMine: there are others than these.
    """
    query = request.query
    if not query.keys() <= PAGED | set(more):
        raise NotMine
    return Paging(LIMIT.read(query), read_cursor(query, scope=scope), USERS.read(query) == "map")


def read_shape(request: Arrived) -> tuple[int, bool]:
    """Return how many messages of one conversation are asked for, and whether people are to stand
    beside it.

    :raises NotMine: that is said in no way that is understood here.
    """
    if not request.query.keys() <= {MANY.name, USERS.name}:
        raise NotMine
    try:
        return MANY.read(request.query), USERS.read(request.query) == "map"
    except Invalid:
        raise NotMine from None


def read_search(request: Arrived) -> Search:
    """Return what part of the directory is asked for.

    :raises NotMine: that is said in no way that is understood here.
    """
    try:
        scope = scope_of(request.query)
        paging = read_paging(request, scope, {SEARCH.name})
    except Invalid:
        raise NotMine from None
    return Search(paging.size, paging.position, SEARCH.read(request.query), scope)


async def _answer(ask: Callable[[], Answer]) -> Answer:
    return await readers().ask(ask)


def _message(proved: Proved, seen: SeenMessage) -> Answer:
    people = _people(proved, [seen], compact=False)
    return Answer(200, encode(wire.message(seen, people)))


def _people(
    proved: Proved, seen: Iterable[SeenMessage | SeenConversation], *, compact: bool
) -> wire.People:
    named = {user_id for each in seen for user_id in each.people()}
    found = accounts.people(viewer=proved.viewer, user_ids=named)
    return wire.People.of(found, compact=compact)


def _page(
    request: Arrived,
    found: Page[T],
    write: Callable[[T], wire.Json],
    scope: str,
    people: wire.People = NOBODY,
) -> Answer:
    following, previous = links(found, address=request.address, scope=scope)
    page = wire.page(map(write, found.items), following=following, previous=previous)
    return Answer(200, encode(page | people.beside()))
