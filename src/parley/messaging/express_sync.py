"""``sync`` from an event loop, on PostgreSQL: where one is, and what is new if it is a little.

It gives what ``sync`` gives, or says that it is for ``sync``: what takes a search, several pages or
more than messages. Which conversations changed is read first, and then what is in them: what comes
between the two is given now, and once more by the next call, which finds it past this one's cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from parley.accounts.express import PERSON
from parley.kernel.async_database import answer, database
from parley.kernel.questions import Question
from parley.messaging.cursors import LEFT, MOST_KNOWN, Cursor, Known
from parley.messaging.express import (
    MARK,
    WATERMARK_OF_PAGE,
    WIDTH,
    Row,
    find_conversations,
)
from parley.messaging.models import Flag
from parley.messaging.seen import MESSAGE

NONCE = (
    "(SELECT e.nonce FROM conversations_epoch e WHERE e.from_generation <= {}"
    " ORDER BY e.from_generation DESC LIMIT 1)"
)
GEN = "CASE WHEN p.left_at IS NULL THEN greatest(p.gen, c.gen) ELSE p.gen END"
# The state of the fence, and what changed for the viewer since a generation, in one snapshot.
STATE = """
SELECT f.current, f.settled, {nonces}, changed.*
  FROM conversations_fence f
  LEFT JOIN LATERAL (
       SELECT p.conversation_id, CASE WHEN p.left_at IS NULL THEN c.revision ELSE {left} END,
              p.version, {gen} AS gen, p.gen AS own_gen, p.joined_gen, p.joined_revision
         FROM conversations_participant p
         JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
        WHERE p.user_id = %s AND {gen} > {since}
        ORDER BY {gen}, p.conversation_id
        LIMIT {most}) AS changed ON true
 WHERE f.id = 1
"""
# Of a conversation its latest rows, as far as one page holds them; the bounds then cut them.
MESSAGES = Question(
    f"""
SELECT {MESSAGE}, k.flags, p.watermark, {PERSON}
  FROM conversations_participant p
  JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
 CROSS JOIN LATERAL (
       SELECT m.* FROM messaging_message m
        WHERE m.conversation_id = p.conversation_id AND m.revision > asked.revision
        ORDER BY m.revision DESC LIMIT asked.most) AS m
  {MARK.format(viewer="p.user_id")}
  JOIN accounts_user u ON u.user_id = m.sender_id
 WHERE p.user_id = asked.viewer_id AND p.conversation_id = asked.conversation_id
   AND m.gen > asked.gen AND m.seq > GREATEST(p.visible_after, c.purged_seq)
 ORDER BY m.revision
""",  # noqa: S608 - the parts are ours
    as_text=True,
    viewer_id="uuid",
    conversation_id="uuid",
    revision="bigint",
    gen="bigint",
    most="bigint",
)
FLAGS, WATERMARK = WIDTH, WIDTH + 1


def _state(*nonces: str, since: str) -> str:
    return STATE.format(
        nonces=", ".join(NONCE.format(each) for each in nonces),
        left=LEFT,
        gen=GEN,
        since=since,
        most=MOST_KNOWN + 1,
    )


NEWS = Question(
    _state("f.current", "%s", since="%s"), issued_gen="bigint", viewer_id="uuid", since="bigint"
)
HERE = Question(_state("f.current", since="f.settled"), viewer_id="uuid")


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed of one conversation: it reads as ``express`` has rows."""

    row: Row
    messages: list[Row]  # by revision


@dataclass(frozen=True, slots=True)
class Caught:
    """One answer of ``sync``; ``is_settled`` as there."""

    conversations: list[Changed]
    members: list[Row]
    cursor: str
    is_settled: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """A conversation that changed since the cursor."""

    conversation_id: UUID
    revision: int
    version: int
    gen: int
    own_gen: int
    joined_gen: int
    joined_revision: int

    @property
    def all(self) -> Known:
        return Known(self.revision, self.version)

    def bounds(self, has: Known | None, settled: int) -> tuple[int, int] | None:
        """Return past which revision and which generation its messages are new.

        None where more than messages may be: someone came back, or left, or marks changed.
        """
        if self.revision == LEFT:
            return None
        if has is None:
            is_more = max(self.joined_gen, self.own_gen) > settled
            return None if is_more else (-1, settled)
        is_more = has.revision == LEFT or self.joined_revision > has.revision
        return None if is_more or self.version != has.version else (has.revision, -1)


async def here(*, viewer_id: UUID) -> str | None:
    """Return the cursor of someone who has everything, as ``sync.here`` does; None where that takes
    more than one look.
    """
    found = await answer(HERE, viewer_id)
    if not found or found[0][2] is None or len(found) > MOST_KNOWN:
        return None
    current, settled, nonce = found[0][:3]
    known = {step.conversation_id: step.all for step in _steps(found, 3)}
    return Cursor(current, nonce, settled, known).write(viewer_id)


async def catch_up(*, viewer_id: UUID, cursor: str, limit: int) -> Caught | None:
    """Return what ``sync`` returns, or None where it is for ``sync``.

    :raises InvalidCursor: the cursor is broken, forged or someone else's.
    """
    held = Cursor.read(cursor, viewer_id)
    found = await answer(NEWS, held.issued_gen, viewer_id, held.settled)
    if not found or held.under_way is not None or len(found) > MOST_KNOWN:
        return None
    current, settled, nonce, issued_under = found[0][:4]
    if issued_under != held.nonce or held.issued_gen > current or nonce is None:
        return None
    steps = _steps(found, 4)
    new = [step for step in steps if held.known.get(step.conversation_id) != step.all]
    conversations, members = await _look(viewer_id, held, new, limit) if new else ([], [])
    if conversations is None:
        return None
    ahead = _ahead(held, steps, current, nonce, settled)
    written = cursor if ahead == held else ahead.write(viewer_id)
    return Caught(conversations, members, written, all(step.gen <= settled for step in steps))


def _steps(found: Sequence[Row], start: int) -> list[_Step]:
    return [_Step(*row[start:]) for row in found if row[start] is not None]


def _ahead(held: Cursor, steps: Sequence[_Step], current: int, nonce: str, settled: int) -> Cursor:
    """Return the cursor to go on from, as ``sync`` notes what its end does not cover."""
    covered, known = max(settled, held.settled), dict(held.known)
    for step in steps:
        known.pop(step.conversation_id, None)
        if step.gen > covered and len(known) < MOST_KNOWN:
            known[step.conversation_id] = step.all
    return Cursor(current, nonce, covered, known)


async def _look(
    viewer_id: UUID, held: Cursor, new: Sequence[_Step], limit: int
) -> tuple[list[Changed] | None, list[Row]]:
    """Return what is new in these conversations, and their members; None if more than one page of
    messages may be.
    """
    bounds = [step.bounds(held.known.get(step.conversation_id), held.settled) for step in new]
    past = [each for each in bounds if each is not None]
    if len(past) < len(new) or len(new) >= limit:
        return None, []
    ids = [step.conversation_id for step in new]
    asked = [(viewer_id, where, *bound, limit) for where, bound in zip(ids, past, strict=True)]
    found, (shown, members) = await asyncio.gather(
        database().each(MESSAGES, asked),
        find_conversations(viewer_id=viewer_id, conversation_ids=ids),
    )
    said = list(chain.from_iterable(found))
    names = [str(conversation_id) for conversation_id in ids]
    if len(said) >= limit or not shown.keys() >= set(names):
        return None, []
    # Read by one watermark, beside another, a message would never be put right.
    if any(row[WATERMARK] != shown[row[1]][WATERMARK_OF_PAGE] for row in said):
        return None, []
    return [
        Changed(shown[name], [row for row in rows if not (row[FLAGS] or 0) & Flag.REMOVED])
        for name, rows in zip(names, found, strict=True)
    ], members
