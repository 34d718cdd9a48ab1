"""Reading in the lane by statements of its own, on PostgreSQL: the history, the inbox, one
conversation, people, how much is unread, whether anything is new. What they do not cover is asked
as on any database (``asking``).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain
from uuid import UUID

from django.conf import settings

from parley.accounts import express as accounts
from parley.accounts.models import Role
from parley.api.conversations import FEW
from parley.api.lane import asking, texts
from parley.api.lane.answers import Answer, encode, escape
from parley.api.lane.asking import (
    HISTORY_SCOPE,
    INBOX_SCOPE,
    PAGED,
    PLACE_NAMES,
    Prepared,
    read_paging,
    read_search,
    read_seq,
    read_shape,
)
from parley.api.lane.credentials import Proved
from parley.api.lane.requests import Arrived, NotMine
from parley.api.messages import AROUND, read_places
from parley.http import wire
from parley.http.paging import links
from parley.http.parameters import CURSOR, LIMIT, USERS
from parley.kernel.errors import Invalid
from parley.kernel.paging import Page
from parley.kernel.threads import markers
from parley.messaging import express, express_sync
from parley.messaging.express import Row
from parley.messaging.express_sync import Caught
from parley.messaging.sync import ticker
from parley.messaging.unread import CAP


async def prepare_history(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``GET /api/conversations/{id}/messages/``."""
    if AROUND.name in request.query or _sees_by_acquaintance():
        return await asking.prepare_history(request, proved, conversation_id)
    try:
        size, position, compact = read_paging(request, HISTORY_SCOPE, PLACE_NAMES)
        places = read_places(request.query)
    except Invalid:
        raise NotMine from None

    async def answer() -> Answer:
        found = await express.list_history(
            viewer_id=proved.viewer.user_id,
            conversation_id=conversation_id,
            before=places["before"],
            after=places["after"],
            changed_after=places["changed_after"],
            position=position,
            size=size,
        )
        known, named = _people(proved, found.items, compact=compact)
        shown = texts.messages(found.items, named, viewer_id=str(proved.viewer.user_id))
        return _page(request, found, shown, known if compact else None, HISTORY_SCOPE)

    return answer


async def prepare_inbox(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/conversations/``."""
    is_filtered = not request.query.keys() <= PAGED | {FEW.name}
    if is_filtered or proved.is_heavy or _sees_by_acquaintance():
        return await asking.prepare_inbox(request, proved)
    try:
        size, position, compact = read_paging(request, INBOX_SCOPE, {FEW.name})
        messages = FEW.read(request.query)
    except Invalid:
        raise NotMine from None
    if messages > 1:
        return await asking.prepare_inbox(request, proved)

    async def answer() -> Answer:
        found, members = await express.list_conversations(
            viewer_id=proved.viewer.user_id, position=position, size=size
        )
        known, named = _people(proved, chain(members, found.items), compact=compact)
        nested = texts.participants(members, named, compact=compact)
        viewer_id = str(proved.viewer.user_id)
        shown = []
        for row in found.items:
            last = texts.messages([row[express.PAGE_WIDTH :]], named, viewer_id=viewer_id)
            nests = last if messages else ()
            shown.append(texts.conversation(row, nested[row[0]], nests, last))
        return _page(request, found, shown, known if compact else None, INBOX_SCOPE)

    return answer


async def prepare_conversation(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``GET /api/conversations/{id}/``."""
    if _sees_by_acquaintance():
        return await asking.prepare_conversation(request, proved, conversation_id)
    messages, compact = read_shape(request)

    async def answer() -> Answer:
        viewer_id = proved.viewer.user_id
        found, members = await express.get_conversation(
            viewer_id=viewer_id, conversation_id=conversation_id, messages=max(messages, 1)
        )
        known, named = _people(proved, chain(members, found), compact=compact)
        said = (row[express.PAGE_WIDTH :] for row in reversed(found))
        newest = texts.messages(said, named, viewer_id=str(viewer_id))
        nested = texts.participants(members, named, compact=compact)[found[0][0]]
        shown = newest if messages else ()
        text = texts.conversation(found[0], nested, shown, newest[-1:], cap=CAP)
        return Answer(200, escape(texts.whole(text, known if compact else None)))

    return answer


async def prepare_message(request: Arrived, proved: Proved, message_id: UUID) -> Prepared:
    """Return what answers ``GET /api/messages/{id}/``."""
    if request.query or _sees_by_acquaintance():
        return await asking.prepare_message(request, proved, message_id)

    async def answer() -> Answer:
        row = await express.get_message(viewer_id=proved.viewer.user_id, message_id=message_id)
        return _message(proved, row)

    return answer


async def prepare_users(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/users/``."""
    if _sees_by_acquaintance():
        return await asking.prepare_users(request, proved)
    size, position, search, scope = read_search(request)

    async def answer() -> Answer:
        found = await accounts.list_people(search=search, position=position, size=size)
        return _page(request, found, map(_writer(proved), found.items), None, scope)

    return answer


async def prepare_user(request: Arrived, proved: Proved, user_id: UUID) -> Prepared:
    """Return what answers ``GET /api/users/{id}/``."""
    if request.query or _sees_by_acquaintance():
        return await asking.prepare_user(request, proved, user_id)

    async def answer() -> Answer:
        found = await accounts.get_person(viewer=proved.viewer, user_id=user_id)
        return Answer(200, escape(_writer(proved)(found).encode()))

    return answer


async def prepare_unread(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/unread/``."""
    if request.query or proved.is_heavy:
        return await asking.prepare_unread(request, proved)
    total = await express.count_unread(viewer_id=proved.viewer.user_id)
    if total is None:
        return await asking.prepare_unread(request, proved)
    return _given(Answer(200, encode(wire.unread_total(total))))


async def prepare_sync(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``GET /api/sync/``: here if little is new since the client's cursor."""
    ask = await asking.prepare_sync(request, proved)
    cursor = request.query.get(CURSOR.name)
    if not cursor or proved.is_heavy or _sees_by_acquaintance():
        return ask
    size, compact = LIMIT.read(request.query), USERS.read(request.query) == "map"

    async def answer() -> Answer:
        viewer_id = proved.viewer.user_id
        found = await express_sync.catch_up(viewer_id=viewer_id, cursor=cursor, limit=size)
        if found is None:
            return await ask()
        if not found.is_settled and ticker.is_due:
            await markers().ask(ticker.tick)
        return Answer(200, escape(_caught(proved, found, compact=compact)))

    return answer


def _caught(proved: Proved, found: Caught, *, compact: bool) -> bytes:
    rows = chain.from_iterable([each.row, *each.messages] for each in found.conversations)
    known, named = _people(proved, chain(found.members, rows), compact=compact)
    nested = texts.participants(found.members, named, compact=compact)
    viewer_id, shown = str(proved.viewer.user_id), []
    for each in found.conversations:
        last, changed = (
            texts.messages(rows, named, viewer_id=viewer_id)
            for rows in ([each.row[express.PAGE_WIDTH :]], each.messages)
        )
        shown.append(texts.conversation(each.row, nested[each.row[0]], changed, last))
    return texts.news(shown, cursor=found.cursor, users=known if compact else None)


async def prepare_star(
    request: Arrived, proved: Proved, message_id: UUID, *, starred: bool
) -> Prepared:
    """Return what answers ``PUT`` and ``DELETE /api/messages/{id}/star/``."""
    if request.query or request.has_body or _sees_by_acquaintance():
        return await asking.prepare_star(request, proved, message_id, starred=starred)

    async def answer() -> Answer:
        row = await express.set_message_starred(
            viewer_id=proved.viewer.user_id, message_id=message_id, starred=starred
        )
        return _message(proved, row)

    return answer


async def prepare_read(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``POST /api/conversations/{id}/read/``."""
    seq = read_seq(request)

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


def _sees_by_acquaintance() -> bool:
    """Whether contact details are for those who share a conversation, which takes a question."""
    return settings.PARLEY.contact_details == "participants"


def _people(
    proved: Proved, rows: Iterable[Row], *, compact: bool
) -> tuple[dict[str, str], texts.Users]:
    """Return the people of rows, and what stands where one of them is named."""
    known = texts.people(rows, _writer(proved))
    return known, texts.Compact() if compact else known


def _writer(proved: Proved) -> texts.Writer:
    """Return what writes people, with the contact details that the viewer may see."""
    viewer = proved.viewer
    sees_all = settings.PARLEY.contact_details == "everyone" or viewer.role == Role.ADMIN
    return partial(texts.person, viewer_id=str(viewer.user_id), sees_all=sees_all)


def _message(proved: Proved, row: Row) -> Answer:
    _, named = _people(proved, [row], compact=False)
    [text] = texts.messages([row], named, viewer_id=str(proved.viewer.user_id))
    return Answer(200, escape(text.encode()))


def _page(
    request: Arrived,
    found: Page[Row],
    shown: Iterable[str],
    users: texts.Users | None,
    scope: str,
) -> Answer:
    following, previous = links(found, address=request.address, scope=scope)
    body = texts.page(shown, following=following, previous=previous, users=users)
    return Answer(200, escape(body))
