"""The questions of ``listening`` about messages, asked from an event loop, on PostgreSQL.

They are asked with every batch of sends, while the loop is at its busiest: a thread would wait for
the interpreter after each statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from parley.accounts.express import PERSON
from parley.accounts.people import Person, read_person
from parley.kernel.async_database import database
from parley.kernel.database import uuid_value
from parley.messaging.express import array
from parley.messaging.listening import (
    AUDIENCE_SQL,
    LISTENERS_SQL,
    MOST_MEMBERS,
    Audience,
    Listener,
    Standing,
    read_audiences,
    read_listeners,
)
from parley.messaging.seen import MESSAGE, SAID, SENDER, SeenMessage
from parley.messaging.sight import seen_row

MOST_MESSAGES = 50  # of one conversation

CHANGED = f"""
SELECT {", ".join(f"c.{name}" for name in Standing._fields)}, {MESSAGE}, {PERSON}
  FROM unnest(%s::uuid[], %s::bigint[]) AS has (conversation_id, revision)
  JOIN conversations_conversation c ON c.conversation_id = has.conversation_id
  LEFT JOIN LATERAL (
       SELECT m.* FROM messaging_message m
        WHERE m.conversation_id = has.conversation_id AND m.revision > has.revision
        ORDER BY m.revision LIMIT {MOST_MESSAGES}) AS m ON true
  LEFT JOIN accounts_user u ON u.user_id = m.sender_id
 ORDER BY m.revision
"""  # noqa: S608 - the parts are ours
LISTENERS = LISTENERS_SQL.format(chosen="p.conversation_id = ANY(%s::uuid[])")
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
PERSON_AT = MESSAGE_AT + len(SAID)


@dataclass(slots=True)
class Said:
    """What was said in a conversation since a revision: its messages, and nothing else."""

    standing: Standing
    messages: list[SeenMessage] = field(default_factory=list)
    listeners: Mapping[UUID, Listener] = field(default_factory=dict)

    def is_all(self, revision: int) -> bool:
        """Whether these messages are all that is new after a revision."""
        revisions = [message.revision for message in self.messages]
        return revisions == list(range(revision + 1, self.standing.revision + 1))


@dataclass(slots=True)
class Heard:
    said: list[Said]
    marks: dict[tuple[UUID, UUID], int]
    people: dict[UUID, Person]


async def listen(since: Mapping[UUID, int], *, online: Collection[UUID]) -> Heard:
    """Return what was said after these revisions, for those of the people online who may hear it.

    Conversations of many, and those of which more is new than a few messages, are left out.

    :raises psycopg.Error: the database refuses it, or does not answer.
    """
    rows = await database().rows(CHANGED, [array(since), array(since.values())])
    people: dict[UUID, Person] = {}
    said: dict[UUID, Said] = {}
    for row in rows:
        _take(row, said, people)
    found = [
        each
        for where, each in said.items()
        if each.standing.member_count <= MOST_MEMBERS and each.is_all(since[where])
    ]
    listeners, marks = await _members(found)
    by_conversation = read_listeners(listeners, online)
    for each in found:
        each.listeners = by_conversation.get(each.standing.conversation_id, {})
    return Heard(found, {(who, what): flags for who, what, flags in marks}, people)


def _take(row: Sequence[Any], said: dict[UUID, Said], people: dict[UUID, Person]) -> None:
    where = row[0]
    if where not in said:
        said[where] = Said(Standing(*row[:MESSAGE_AT]))
    if row[MESSAGE_AT] is None:  # there is no message
        return
    said[where].messages.append(seen_row(row[MESSAGE_AT:PERSON_AT], uuid_value))
    sender_id = row[MESSAGE_AT + SENDER]
    if sender_id not in people:
        people[sender_id] = read_person(row[PERSON_AT:])


async def _members(found: Sequence[Said]) -> Sequence[Sequence[Sequence[Any]]]:
    places = [
        (each.standing.conversation_id, message.seq) for each in found for message in each.messages
    ]
    if not places:
        return [], []
    wheres, seqs = zip(*places, strict=True)
    return await asyncio.gather(
        database().rows(LISTENERS, [array(set(wheres))]),
        database().rows(MARKS, [array(wheres), array(seqs)]),
    )


async def find_audiences(conversation_ids: Collection[UUID]) -> dict[UUID, Audience]:
    """Return who is in each of these conversations, as ``listening.find_audiences``.

    :raises psycopg.Error: as above.
    """
    return read_audiences(await database().rows(AUDIENCES, [array(conversation_ids)]))
