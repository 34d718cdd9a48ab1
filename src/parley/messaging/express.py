"""The hot questions of ``queries``, asked from an event loop, in PostgreSQL's own SQL.

They find what ``queries`` finds. Lists come as rows in which UUIDs and instants are text, for those
who only write them out again; people come with them, as everyone may see them: whoever shows them
hides what is not for the viewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

import psycopg

from parley.accounts.express import PERSON
from parley.conversations.events import Event, Type, tell_committed
from parley.conversations.operations import ConversationNotFound
from parley.conversations.queries import MOST_NESTED
from parley.kernel.async_database import answer, database
from parley.kernel.errors import Unavailable
from parley.kernel.paging import Page, Position
from parley.kernel.questions import Question, array
from parley.kernel.times import from_micros, micros
from parley.messaging.models import Flag
from parley.messaging.operations.reading import FURTHEST
from parley.messaging.refusals import MessageNotFound
from parley.messaging.seen import MESSAGE, REVISION, SAID, SEQ, ReadState, UnreadTotal
from parley.messaging.unread import CAP, CHUNK, KEPT_FLAGS, LIST_CAP, SCAN, UNREAD_FLAGS

LAST = 2**63 - 1

Row = tuple[Any, ...]

# --- messages -------------------------------------------------------------------------------------

WIDTH = len(SAID)
NOT_REMOVED = f"COALESCE(k.flags, 0) & {Flag.REMOVED:d} = 0"
# Someone's mark on message m, by its key. Of the indexes that begin alike, any would do in the eyes
# of a plan for all values, and some read all of one's marks in a conversation; in this order comes
# the key alone.
MARK = """LEFT JOIN LATERAL (
    SELECT k.flags FROM messaging_mark k
     WHERE k.user_id = {viewer} AND k.conversation_id = m.conversation_id
       AND k.seq BETWEEN m.seq AND m.seq ORDER BY k.seq LIMIT 1) AS k ON true"""

# A row is a message, its flags, the viewer's watermark, and at its first message each sender.
HISTORY = """
SELECT page.*, {person}
  FROM (SELECT {message}, m.flags, mine.watermark,
               row_number() OVER (PARTITION BY m.sender_id ORDER BY m.{name} {order}) AS nth
          FROM (SELECT p.watermark, GREATEST(p.visible_after, c.purged_seq) AS hidden
                  FROM conversations_participant p
                  JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
                 WHERE p.user_id = %s AND p.conversation_id = %s AND p.left_at IS NULL) AS mine
          LEFT JOIN LATERAL (
               SELECT m.*, k.flags FROM messaging_message m
                 {mark}
                WHERE m.conversation_id = %s AND m.seq > mine.hidden
                  AND m.{name} > %s AND m.{name} < %s AND {not_removed}
                ORDER BY m.{name} {order} LIMIT %s) AS m ON true) AS page
  LEFT JOIN accounts_user u ON u.user_id = CASE WHEN page.nth = 1 THEN page.sender_id END
 ORDER BY page.{name} {order}
"""
HISTORIES = {
    (name, up): HISTORY.format(
        message=MESSAGE,
        person=PERSON,
        name=name,
        order="ASC" if up else "DESC",
        mark=MARK.format(viewer="%s"),
        not_removed=NOT_REMOVED,
    )
    for name in ("seq", "revision")
    for up in (False, True)
}


SEEN = f"""
SELECT {MESSAGE}, k.flags, p.watermark, {PERSON}
  FROM messaging_message m
  JOIN conversations_participant p
    ON p.user_id = %s AND p.conversation_id = m.conversation_id AND p.left_at IS NULL
  JOIN conversations_conversation c ON c.conversation_id = m.conversation_id
  {MARK.format(viewer="p.user_id")}
  JOIN accounts_user u ON u.user_id = m.sender_id
 WHERE m.message_id = %s AND m.seq > GREATEST(p.visible_after, c.purged_seq) AND {NOT_REMOVED}
"""  # noqa: S608 - the parts are ours


async def get_message(*, viewer_id: UUID, message_id: UUID) -> Row:
    """Return one message as lists have it, as ``queries.get_message`` does.

    :raises MessageNotFound: there is none, or it is not the viewer's to see.
    """
    found = await database().rows(SEEN, [viewer_id, message_id], as_text=True)
    if not found:
        raise MessageNotFound
    return found[0]


async def list_history(
    *,
    viewer_id: UUID,
    conversation_id: UUID,
    before: int | None = None,
    after: int | None = None,
    changed_after: int | None = None,
    position: Position | None = None,
    size: int,
) -> Page[Row]:
    """Return one page of a conversation, as ``queries.list_history`` does.

    :raises ConversationNotFound: the viewer is not in it.
    """
    name = "seq" if changed_after is None else "revision"
    rising = after is not None or changed_after is not None
    low = after if changed_after is None else changed_after
    bounds = [-1 if low is None else low, LAST if before is None else before]
    up = rising
    if position is not None:
        up = rising != position.backward
        edge = int(position.key[0])
        bounds = [max(bounds[0], edge), bounds[1]] if up else [bounds[0], min(bounds[1], edge)]
    asked = [viewer_id, conversation_id, viewer_id, conversation_id, *bounds, size + 1]
    found = await database().rows(HISTORIES[name, up], asked, as_text=True)
    if not found:
        raise ConversationNotFound
    said = [row for row in found if row[0] is not None]
    return Page.cut(said, size=size, position=position, key=_seq if name == "seq" else _revision)


def _seq(row: Row) -> tuple[int]:
    return (row[SEQ],)


def _revision(row: Row) -> tuple[int]:
    return (row[REVISION],)


# --- conversations --------------------------------------------------------------------------------

START = "GREATEST(p.watermark, p.visible_after, c.purged_seq)"


def unread(cap: int) -> str:
    """Return what counts what is unread in the conversation of ``p`` and ``c``, looking at no more
    messages than ``cap`` needs: those of others after the watermark, without those whose marks say
    otherwise, and those before it that are kept unread.
    """
    further = f"{START} + {SCAN * cap}"
    # Each mark's message is looked up by itself: beside few marks and a long conversation, a plan
    # for all values might walk all of that for each of them.
    said = "SELECT true FROM messaging_message n WHERE n.conversation_id = p.conversation_id"
    return f"""
(SELECT COUNT(*) FROM messaging_message n
  WHERE n.conversation_id = p.conversation_id AND n.seq > {START} AND n.seq <= {further}
    AND n.sender_id <> p.user_id AND n.retracted_at IS NULL)
- (SELECT COUNT(*) FROM (
       SELECT k.seq FROM messaging_mark k
        WHERE k.user_id = p.user_id AND k.conversation_id = p.conversation_id
          AND k.seq > {START} AND k.seq <= {further} AND k.flags NOT IN ({UNREAD_FLAGS})
        ORDER BY k.seq LIMIT {SCAN * cap}) AS k
    CROSS JOIN LATERAL (
       {said} AND n.seq = k.seq AND n.sender_id <> p.user_id AND n.retracted_at IS NULL
        LIMIT 1) AS n)
+ (SELECT COUNT(*) FROM messaging_mark k
    CROSS JOIN LATERAL ({said} AND n.seq = k.seq AND n.retracted_at IS NULL LIMIT 1) AS n
    WHERE k.user_id = p.user_id AND k.conversation_id = p.conversation_id
      AND k.flags IN ({KEPT_FLAGS}) AND k.seq > p.visible_after AND k.seq > c.purged_seq)
"""  # noqa: S608 - the parts are ours


CONVERSATION = (
    "c.conversation_id, c.kind, c.title, c.created_at, c.changed_at, c.last_seq, c.revision,"
    " c.member_count, c.active_gen, c.active_at"
)
MINE = (
    "p.member_role, p.read_seq, p.watermark, p.muted_until,"
    " CASE WHEN p.archived_seq >= c.last_seq THEN p.archived_at END AS archived_at, p.pinned_at"
)
# A row is one of the viewer's conversations and, newest first, one of its messages, if it has any.
SHOWN = """
WITH page AS MATERIALIZED (
    SELECT {conversation}, {mine}, {start} AS start, {unread} AS unread,
           GREATEST(p.visible_after, c.purged_seq) AS hidden, p.user_id
      FROM conversations_participant p
      JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
     WHERE p.user_id = %s AND p.left_at IS NULL AND {chosen})
SELECT page.*, {message}, m.flags, page.watermark, {person}
  FROM page
  LEFT JOIN LATERAL (
       SELECT m.*, k.flags FROM messaging_message m
         {mark}
        WHERE m.conversation_id = page.conversation_id AND m.seq > page.hidden AND {not_removed}
        ORDER BY m.seq DESC LIMIT {messages}) AS m ON true
  LEFT JOIN accounts_user u ON u.user_id = m.sender_id
 ORDER BY {order}
"""


def _shown(chosen: str, order: str, *, cap: int, messages: str) -> str:
    return SHOWN.format(
        conversation=CONVERSATION,
        mine=MINE,
        start=START,
        unread=unread(cap),
        message=MESSAGE,
        person=PERSON,
        mark=MARK.format(viewer="page.user_id"),
        not_removed=NOT_REMOVED,
        chosen=chosen,
        order=order,
        messages=messages,
    )


def _inbox(chosen: str, order: str) -> str:
    return _shown(
        f"(p.archived_seq IS NULL OR p.archived_seq < c.last_seq) AND {chosen.format(order=order)}",
        f"page.active_gen {order}, page.active_at {order}, page.conversation_id {order}",
        cap=LIST_CAP,
        messages="1",
    )


PAST = """(c.active_gen, c.active_at, c.conversation_id) {word} (%s, %s, %s)
     ORDER BY c.active_gen {{order}}, c.active_at {{order}}, c.conversation_id {{order}}
     LIMIT %s"""
INBOXES = {False: _inbox(PAST.format(word="<"), "DESC"), True: _inbox(PAST.format(word=">"), "ASC")}
OF_INBOX = Question(
    _inbox("p.conversation_id = %s", "DESC"),
    as_text=True,
    viewer_id="uuid",
    conversation_id="uuid",
)
ONE = _shown("p.conversation_id = %s", "m.seq DESC", cap=CAP, messages="%s")
PAGE_WIDTH = 20
WATERMARK_OF_PAGE = 12
# Hiding a direct conversation does not leave it.
MEMBERS = """
SELECT p.conversation_id, p.user_id, p.member_role, p.read_seq, p.delivered_seq, p.joined_at,
       {person}
  FROM {wanted}
 CROSS JOIN LATERAL (
       (SELECT p.* FROM conversations_participant p
         WHERE NOT wanted.is_direct AND p.conversation_id = wanted.conversation_id
           AND p.left_at IS NULL
         ORDER BY p.joined_at, p.user_id LIMIT {most})
        UNION ALL
       (SELECT p.* FROM conversations_participant p
         WHERE wanted.is_direct AND p.conversation_id = wanted.conversation_id
         ORDER BY p.joined_at, p.user_id LIMIT {most})) AS p
  JOIN accounts_user u ON u.user_id = p.user_id
 ORDER BY p.joined_at, p.user_id
"""


def _members(wanted: str) -> str:
    return MEMBERS.format(wanted=wanted, person=PERSON, most=MOST_NESTED)


MEMBERS_OF_MANY = _members(
    "unnest(%s::uuid[], %s::boolean[]) AS wanted (conversation_id, is_direct)"
)
MEMBERS_OF_ONE = _members("""
    (SELECT c.conversation_id, c.kind = 'direct' AS is_direct FROM conversations_conversation c
      WHERE c.conversation_id = %s) AS wanted
""")
MEMBERS_OF = Question(
    _members("(SELECT asked.conversation_id, asked.is_direct) AS wanted"),
    as_text=True,
    conversation_id="uuid",
    is_direct="boolean",
)
NEWEST_EDGE = (LAST, from_micros(2**57), UUID(int=2**128 - 1))


async def list_conversations(
    *, viewer_id: UUID, position: Position | None, size: int
) -> tuple[Page[Row], list[Row]]:
    """Return one page of the viewer's inbox, each with its newest message, and their members."""
    backward = position is not None and position.backward
    asked = [viewer_id, *_edge(position), size + 1]
    found = await database().rows(INBOXES[backward], asked, as_text=True)
    page = Page.cut(found, size=size, position=position, key=_activity)
    return page, await _members_of(page.items)


async def find_conversations(
    *, viewer_id: UUID, conversation_ids: Iterable[UUID]
) -> tuple[dict[str, Row], list[Row]]:
    """Return those of these conversations that are in the viewer's inbox, by their ids, and their
    members; rows as ``list_conversations`` has them.
    """
    keys = [(viewer_id, conversation_id) for conversation_id in conversation_ids]
    found = list(chain.from_iterable(await database().each(OF_INBOX, keys)))
    members = await database().each(MEMBERS_OF, _kinds(found))
    return {row[0]: row for row in found}, list(chain.from_iterable(members))


async def get_conversation(
    *, viewer_id: UUID, conversation_id: UUID, messages: int
) -> tuple[list[Row], list[Row]]:
    """Return one conversation as ``list_conversations`` has it, by a row for each of its newest
    ``messages``, or else one; and its members.

    :raises ConversationNotFound: the viewer is not in it.
    """
    asked = [viewer_id, conversation_id, messages]
    found, members = await asyncio.gather(
        database().rows(ONE, asked, as_text=True),
        database().rows(MEMBERS_OF_ONE, [conversation_id], as_text=True),
    )
    if not found:
        raise ConversationNotFound
    return found, members


async def _members_of(found: Sequence[Row]) -> list[Row]:
    if not found:
        return []
    asked = [array(column) for column in zip(*_kinds(found), strict=True)]
    return await database().rows(MEMBERS_OF_MANY, asked, as_text=True)


def _kinds(found: Iterable[Row]) -> list[tuple[str, bool]]:
    """Return the conversations of rows, and whether each is direct."""
    return [(row[0], row[1] == "direct") for row in found]


def _edge(position: Position | None) -> tuple[Any, ...]:
    if position is None:
        return NEWEST_EDGE
    gen, at, conversation_id = position.key
    return int(gen), from_micros(int(at)), UUID(str(conversation_id))


def _activity(row: Row) -> tuple[int, int, str]:
    return row[8], micros(datetime.fromisoformat(row[9])), str(row[0])


# --- how much is unread ---------------------------------------------------------------------------

# A condition by EXISTS might be answered by reading everyone's marks once.
TOTAL = Question(
    f"""
SELECT {unread(CAP)}, c.last_seq > {START} + {SCAN * CAP}
  FROM conversations_participant p
  JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
 WHERE p.user_id = %s AND p.left_at IS NULL
   AND (c.last_seq > {START} OR (
        SELECT true FROM messaging_mark k
         WHERE k.user_id = p.user_id AND k.conversation_id = p.conversation_id
           AND k.flags IN ({KEPT_FLAGS}) LIMIT 1))
 LIMIT {CHUNK + 1}
""",  # noqa: S608
    viewer_id="uuid",
)


async def count_unread(*, viewer_id: UUID) -> UnreadTotal | None:
    """Return how much is unread in all; None where that takes more than one look."""
    found = await answer(TOTAL, viewer_id)
    if len(found) > CHUNK:
        return None
    counts = [min(count, CAP) for count, _ in found]
    messages, capped = sum(counts), any(count >= CAP or is_cut for count, is_cut in found)
    return UnreadTotal(
        min(messages, CAP), sum(1 for count in counts if count), capped=capped or messages >= CAP
    )


# --- what one person does with messages -----------------------------------------------------------

READ = "SELECT * FROM parley_read(%s, %s, %s, %s, %s)"
STAR = f"""
SELECT {MESSAGE}, star.flags, star.watermark, star.has_changed, {PERSON}
  FROM parley_star(%s, %s, %s) AS star
 CROSS JOIN LATERAL (SELECT (star.said).*) AS m
  JOIN accounts_user u ON u.user_id = m.sender_id
"""  # noqa: S608
PLACE, HAS_CHANGED = 1, WIDTH + 2


async def read_up_to(*, viewer_id: UUID, conversation_id: UUID, seq: int | None) -> ReadState:
    """Read everything up to ``seq``, as ``operations.read_up_to`` does, and tell.

    :raises ConversationNotFound: the viewer is not in it.
    :raises Unavailable: another device holds the viewer's row too long.
    """
    found = await _mark(READ, [viewer_id, conversation_id, seq, FURTHEST, CAP])
    if not found:
        raise ConversationNotFound
    [(read_seq, watermark, unread, has_changed, receipt_rose)] = found
    own = Event(Type.OWN, conversation_id, user_ids=(viewer_id,))
    receipt = Event(Type.READ, conversation_id, user_ids=(viewer_id,), seq=read_seq)
    tell_committed(*[own] * has_changed, *[receipt] * receipt_rose)
    return ReadState(read_seq, watermark, unread)


async def set_message_starred(*, viewer_id: UUID, message_id: UUID, starred: bool) -> Row:
    """Star a message or take the star away, as ``operations.set_message_starred`` does, and tell;
    return it as lists have messages.

    :raises MessageNotFound: it is not the viewer's to see.
    :raises Unavailable: another device holds the viewer's row too long.
    """
    found = await _mark(STAR, [viewer_id, message_id, starred], as_text=True)
    if not found:
        raise MessageNotFound
    [row] = found
    own = Event(Type.OWN, UUID(row[PLACE]), user_ids=(viewer_id,))
    tell_committed(*[own] * row[HAS_CHANGED])
    return row


async def _mark(sql: str, asked: Sequence[Any], *, as_text: bool = False) -> list[Row]:
    """Return what a function gives that marks messages. Repeating it is harmless: the same twice
    changes nothing.
    """
    try:
        return await database().rows(sql, asked, as_text=as_text, alone=True)
    except psycopg.errors.LockNotAvailable as error:
        raise Unavailable from error
