"""The questions of ``listening`` about messages, asked from an event loop, on PostgreSQL.

They are asked with every batch of sends, while the loop is at its busiest: a thread would wait for
the interpreter after each statement.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from parley.kernel.async_database import database
from parley.kernel.database import uuid_value
from parley.kernel.questions import array
from parley.messaging.listening import AUDIENCE_SQL, Audience, Standing, read_audiences
from parley.messaging.seen import MESSAGE, SeenMessage
from parley.messaging.sight import seen_row

MOST_MESSAGES = 50  # of one conversation

CHANGED = f"""
SELECT {", ".join(f"c.{name}" for name in Standing._fields)}, {MESSAGE}
  FROM unnest(%s::uuid[], %s::bigint[]) AS has (conversation_id, revision)
  JOIN conversations_conversation c ON c.conversation_id = has.conversation_id
  LEFT JOIN LATERAL (
       SELECT m.* FROM messaging_message m
        WHERE m.conversation_id = has.conversation_id AND m.revision > has.revision
        ORDER BY m.revision LIMIT {MOST_MESSAGES}) AS m ON true
 ORDER BY m.revision
"""  # noqa: S608 - the parts are ours
AUDIENCES = AUDIENCE_SQL.format(chosen="c.conversation_id = ANY(%s::uuid[])")
MARKS = """
SELECT k.user_id, k.message_id, k.flags
  FROM unnest(%s::uuid[], %s::bigint[]) AS said (conversation_id, seq)
  JOIN conversations_participant p
    ON p.conversation_id = said.conversation_id AND p.left_at IS NULL
  JOIN messaging_mark k
    ON k.user_id = p.user_id AND k.conversation_id = said.conversation_id AND k.seq = said.seq
 WHERE k.flags <> 0
"""
MESSAGE_AT = len(Standing._fields)


@dataclass(slots=True)
class Said:
    """How far a conversation has come, and the messages that changed in it since a revision."""

    standing: Standing
    messages: list[SeenMessage] = field(default_factory=list)

    def is_all(self, revision: int) -> bool:
        """Whether these messages are all that is new after a revision."""
        revisions = [message.revision for message in self.messages]
        return revisions == list(range(revision + 1, self.standing.revision + 1))


async def list_said(since: Mapping[UUID, int]) -> dict[UUID, Said]:
    """Return what was said in conversations after these revisions.

    Those of which more is new than a few messages are left out.

    :raises psycopg.Error: the database refuses it, or does not answer.
    """
    said: dict[UUID, Said] = {}
    for row in await database().rows(CHANGED, [array(since), array(since.values())]):
        where = row[0]
        if where not in said:
            said[where] = Said(Standing(*row[:MESSAGE_AT]))
        if row[MESSAGE_AT] is not None:
            said[where].messages.append(seen_row(row[MESSAGE_AT:], uuid_value))
    return {where: each for where, each in said.items() if each.is_all(since[where])}


async def list_marks(messages: Sequence[SeenMessage]) -> dict[tuple[UUID, UUID], int]:
    """Return the flags that people have set on messages, by (person, message).

    :raises psycopg.Error: as above.
    """
    wheres, seqs = (array(m.conversation_id for m in messages), array(m.seq for m in messages))
    found = await database().rows(MARKS, [wheres, seqs]) if messages else []
    return {(who, what): flags for who, what, flags in found}


async def find_audiences(conversation_ids: Collection[UUID]) -> dict[UUID, Audience]:
    """Return who is in each of these conversations, as ``listening.find_audiences``.

    :raises psycopg.Error: as above.
    """
    return read_audiences(await database().rows(AUDIENCES, [array(conversation_ids)]))
