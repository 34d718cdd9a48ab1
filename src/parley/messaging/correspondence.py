"""Messages as mail: to whom each one was, and whether that person has read it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from parley.accounts.models import User
from parley.kernel.database import among, rows, uuid_value
from parley.messaging.models import Flag, Message
from parley.messaging.seen import SeenMessage
from parley.messaging.sight import flags_of

OTHERS_SQL = """
SELECT o.conversation_id, o.user_id, o.read_seq
  FROM conversations_conversation c
  JOIN conversations_participant o
    ON o.conversation_id = c.conversation_id
   AND o.user_id = COALESCE(
           (SELECT p.user_id FROM conversations_participant p
             WHERE p.conversation_id = c.conversation_id AND p.left_at IS NULL AND p.user_id <> %s
             ORDER BY p.joined_at, p.user_id LIMIT 1),
           (SELECT p.user_id FROM conversations_participant p
             WHERE p.conversation_id = c.conversation_id AND p.user_id <> %s
             ORDER BY p.joined_at, p.user_id LIMIT 1))
 WHERE {chosen}
"""


class Addressee(NamedTuple):
    """Whom a message was for, and whether they have read it."""

    user_id: UUID
    read: bool


class _Other(NamedTuple):
    user_id: UUID
    read_seq: int


def addressees(*, viewer: User, messages: Sequence[SeenMessage]) -> list[Addressee]:
    """Return the addressees of the viewer's messages, in their order.

    Of a message from someone else that is the viewer. Of one's own it is the other of a direct
    conversation, in a group the first other participant, and oneself where there is nobody else.
    Read is what another's receipt shows, and for the viewer their own state; what was retracted
    asks for no reading.
    """
    own = [m for m in messages if m.sender_id == viewer.user_id]
    others = _first_others(viewer.user_id, {m.conversation_id for m in own})
    marked = _marked_read(own, others)
    found: list[Addressee] = []
    for message in messages:
        other = others.get(message.conversation_id) if message.sender_id == viewer.user_id else None
        if other is None:
            found.append(Addressee(viewer.user_id, _is_read(message)))
        else:
            read = message.seq <= other.read_seq or message.message_id in marked
            found.append(Addressee(other.user_id, read))
    return found


def _is_read(message: SeenMessage) -> bool:
    return message.read or message.retracted_at is not None


def _first_others(viewer_id: UUID, conversation_ids: Collection[UUID]) -> dict[UUID, _Other]:
    """Return the longest-standing other participant; where all others left, one of those."""
    if not conversation_ids:
        return {}
    chosen, parameters = among("c.conversation_id", conversation_ids)
    found = rows(OTHERS_SQL.format(chosen=chosen), [viewer_id, viewer_id, *parameters])
    return {uuid_value(where): _Other(uuid_value(who), read_seq) for where, who, read_seq in found}


def _marked_read(own: Sequence[SeenMessage], others: dict[UUID, _Other]) -> set[UUID]:
    """Return those of the messages that their addressee has read out of order."""
    open_: dict[tuple[UUID, UUID, int], UUID] = {}
    wanted: dict[tuple[UUID, UUID], list[int]] = {}
    for message in own:
        other = others.get(message.conversation_id)
        if other is not None and message.seq > other.read_seq:
            open_[other.user_id, message.conversation_id, message.seq] = message.message_id
            wanted.setdefault((other.user_id, message.conversation_id), []).append(message.seq)
    flags = flags_of(wanted)  # and those of some neighbours
    return {message_id for key, message_id in open_.items() if flags.get(key, 0) & Flag.READ}


# --- the operator's walk over everything; nobody is shown it


def count_everything() -> int:
    """Return how many messages there are."""
    return Message.objects.count()


def list_everything(*, after: UUID | None, size: int) -> list[Message]:
    """Return the next messages in the order of their ids, which to a moment is that of creation."""
    found = Message.objects.order_by("message_id").only("message_id", "sent_at", "seq")
    if after is not None:
        found = found.filter(message_id__gt=after)
    return list(found[:size])
