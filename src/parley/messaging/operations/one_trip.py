"""Sending on PostgreSQL: one call of the database function ``parley_send``, whoever makes it.

What goes in and what its answer means; the connection is the caller's. Drafts to people whose
conversation is not there yet, or was hidden by one of them, are rare: they are left to the portable
way, and so is their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from parley.conversations.operations import Blocked, ConversationNotFound
from parley.kernel.errors import Refusal
from parley.messaging.drafts import Draft
from parley.messaging.models import Flag
from parley.messaging.operations.answers import answers, fresh
from parley.messaging.refusals import ClientIdReused, UnknownReply
from parley.messaging.seen import SeenMessage, Sent

CALL = """
SELECT * FROM parley_send(
    %s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::uuid[],
    %s::bytea[], %s)
"""
TOGETHER = """
WITH sent AS MATERIALIZED ({call}), {parts}
SELECT * FROM sent
"""
REFUSALS: dict[str, Callable[[], Refusal]] = {
    "reused": lambda: ClientIdReused(attr="client_id"),
    "nowhere": lambda: ConversationNotFound(attr="conversation"),
    "blocked": Blocked,
    "no_reply": lambda: UnknownReply(attr="reply_to"),
}


class Row(NamedTuple):
    """What the function says of one draft; from ``sender_id`` on: of a message known before."""

    place: int
    outcome: str
    conversation_id: UUID
    seq: int
    revision: int
    sent_at: datetime
    gen: int
    fingerprint: bytes | None
    twin: int | None
    message_id: UUID
    sender_id: UUID
    subject: str
    message_body: str
    client_id: str | None
    reply_to: UUID | None
    edited_at: datetime | None
    retracted_at: datetime | None
    flags: int | None


@dataclass(slots=True)
class Outcome:
    """What became of a batch, by the places of its drafts."""

    results: dict[int, Sent | Refusal] = field(default_factory=dict)
    new: list[SeenMessage] = field(default_factory=list)
    # Left undone: their conversation is locked by someone else; or they are for the portable way.
    stuck: list[int] = field(default_factory=list)
    portable: list[int] = field(default_factory=list)


def together(statements: Sequence[str]) -> str:
    """Return ``CALL`` with statements that go with it, reading what it says from ``sent``."""
    if not statements:
        return CALL
    parts = ", ".join(f"part{n} AS ({statement})" for n, statement in enumerate(statements))
    return TOGETHER.format(call=CALL, parts=parts)


def parameters(drafts: Sequence[Draft], *, waiting: bool) -> list[Any]:
    """Return what ``CALL`` takes; ``waiting`` for locked conversations, or passing them over."""
    wheres = [draft.conversation_id or draft.new_group_id for draft in drafts]
    return [
        [draft.message_id for draft in drafts],
        wheres,
        [
            draft.direct_key.hex() if not where else None
            for draft, where in zip(drafts, wheres, strict=True)
        ],
        [draft.sender_id for draft in drafts],
        [draft.subject for draft in drafts],
        [draft.message_body for draft in drafts],
        [draft.client_id for draft in drafts],
        [draft.reply_to for draft in drafts],
        [draft.named for draft in drafts],
        waiting,
    ]


def read(drafts: Sequence[Draft], rows: Iterable[Sequence[Any]]) -> Outcome:
    """Return what the function's rows say."""
    found = Outcome()
    groups = {draft.new_group_id for draft in drafts if draft.new_group_id}
    stored: dict[int, SeenMessage] = {}
    for row in sorted((Row(*each) for each in rows), key=lambda row: row.place):
        place, draft = row.place - 1, drafts[row.place - 1]
        if row.outcome == "new":
            stored[place] = fresh(draft, row.conversation_id, row.seq, row.revision, row.sent_at)
            found.new.append(stored[place])
        elif row.outcome == "known":
            stored[place] = _known(draft, row)
        elif row.outcome == "twin" and row.twin is not None:
            stored[place] = stored[row.twin - 1]
        elif row.outcome == "stuck":
            found.stuck.append(place)
        elif row.outcome == "hidden" or _may_be_made(draft, row, groups):
            found.portable.append(place)
        else:
            found.results[place] = REFUSALS[row.outcome]()
    found.results.update(answers(drafts, stored))
    return found


def _may_be_made(draft: Draft, row: Row, groups: set[UUID]) -> bool:
    """Whether the conversation that was not found is one that this batch brings into being."""
    made = draft.conversation_id is None or draft.conversation_id in groups
    return row.outcome == "nowhere" and made


def _known(draft: Draft, row: Row) -> SeenMessage:
    return SeenMessage(
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        sender_id=row.sender_id,
        seq=row.seq,
        revision=row.revision,
        subject=row.subject,
        message_body=row.message_body,
        sent_at=row.sent_at,
        client_id=row.client_id,
        reply_to=row.reply_to,
        edited_at=row.edited_at,
        retracted_at=row.retracted_at,
        read=row.sender_id == draft.sender_id,
        starred=bool((row.flags or 0) & Flag.STARRED),
    )
