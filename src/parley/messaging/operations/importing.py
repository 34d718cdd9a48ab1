"""Bringing messages over from another system: their times, order, and who has read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from parley.conversations import fence, importing
from parley.conversations import operations as conversations
from parley.conversations.fence import Entered
from parley.conversations.importing import OldConversation, Pair, ensure_pairs
from parley.conversations.models import Conversation, Kind, Participant
from parley.kernel.database import in_transaction, locked
from parley.messaging.models import Flag, Mark, Message
from parley.messaging.operations.sending import INSTANT

CONVERSATION_FIELDS = ("last_seq", "revision", "gen", "active_gen", "active_at", "changed_at")
OWN_FIELDS = ("read_seq", "watermark", "delivered_seq")


@dataclass(frozen=True, slots=True)
class OldMessage:
    """A message as another system kept it, in a conversation or in that of a pair.

    A ``recipient_id`` makes the pair. ``message_id`` is settled by the caller and free.
    """

    message_id: UUID
    sender_id: UUID
    subject: str
    message_body: str
    sent_at: datetime
    conversation_id: UUID | None = None
    recipient_id: UUID | None = None
    unread_by: frozenset[UUID] = field(default=frozenset())

    @property
    def pair(self) -> Pair:
        return self.sender_id, self.recipient_id or self.sender_id


@in_transaction
def import_conversations(old: Sequence[OldConversation]) -> dict[UUID, UUID]:
    """Create conversations, to be filled with messages; return the id of each by its old one.

    :raises IntegrityError: someone opened one of them meanwhile; the same again goes well.
    """
    return importing.import_conversations(old, entered=fence.enter())


def which_exist(message_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the ids that messages have."""
    found = Message.objects.filter(message_id__in=list(message_ids))
    return set(found.values_list("message_id", flat=True))


@in_transaction
def import_messages(old: Sequence[OldMessage]) -> list[Message]:
    """Store messages after those that their conversations have, in the order given; nobody is told.

    Each keeps its time, unless that is still to come, or the one before it has a later one: then
    it follows that by a microsecond.

    :raises IntegrityError: someone opened a conversation meanwhile; the same again goes well.
    """
    entered = fence.enter()
    where = _conversations_of(old, entered)
    found = conversations.lock_conversations(set(where))
    before = {conversation_id: c.last_seq for conversation_id, c in found.items()}
    new = [
        _number(each, found[conversation_id], entered)
        for each, conversation_id in zip(old, where, strict=True)
    ]
    Message.objects.bulk_create(new)
    _read(old, new, found, before, entered)
    for conversation in found.values():
        conversation.save(update_fields=CONVERSATION_FIELDS)
    return new


def _conversations_of(old: Sequence[OldMessage], entered: Entered) -> list[UUID]:
    began: dict[Pair, datetime] = {}
    for each in old:
        if each.conversation_id is None:
            began.setdefault(each.pair, each.sent_at)
    pairs = ensure_pairs(began, entered=entered)
    return [each.conversation_id or pairs[each.pair] for each in old]


def _number(each: OldMessage, conversation: Conversation, entered: Entered) -> Message:
    is_first = conversation.last_seq == 0
    conversation.last_seq += 1
    conversation.revision += 1
    conversation.gen = conversation.active_gen = max(conversation.gen, entered.g)
    earliest = conversation.active_at if is_first else conversation.active_at + INSTANT
    # A time to come would put everything that is said from now on after it.
    conversation.active_at = max(min(each.sent_at, entered.now), earliest)
    conversation.changed_at = max(conversation.changed_at, conversation.active_at)
    return Message(
        message_id=each.message_id,
        conversation=conversation,
        sender_id=each.sender_id,
        seq=conversation.last_seq,
        revision=conversation.revision,
        gen=conversation.gen,
        subject=each.subject,
        message_body=each.message_body,
        sent_at=conversation.active_at,
    )


# --- who has read them ----------------------------------------------------------------------------


def _read(
    old: Sequence[OldMessage],
    new: Sequence[Message],
    found: dict[UUID, Conversation],
    before: dict[UUID, int],
    entered: Entered,
) -> None:
    """Let everyone have read what they had read there."""
    by_conversation: dict[UUID, list[tuple[OldMessage, Message]]] = defaultdict(list)
    for each, message in zip(old, new, strict=True):
        by_conversation[message.conversation_id].append((each, message))
    marks: list[Mark] = []
    for mine in locked(Participant.objects.filter(conversation_id__in=list(found))):
        conversation = found[mine.conversation_id]
        if mine.left_at is not None:
            if conversation.kind != Kind.DIRECT:
                continue
            conversations.bring_back(mine, conversation, entered)
        arrived = by_conversation[mine.conversation_id]
        marks += _read_by(mine, arrived, conversation, before[mine.conversation_id], entered)
    Mark.objects.bulk_create(marks)


def _read_by(
    mine: Participant,
    arrived: Sequence[tuple[OldMessage, Message]],
    conversation: Conversation,
    before: int,
    entered: Entered,
) -> list[Mark]:
    """Move one person's watermark up to what they had not read; return marks for what is beyond."""
    unread = [m.seq for old, m in arrived if mine.user_id in old.unread_by]
    if mine.watermark >= before:
        mine.watermark = min(unread, default=conversation.last_seq + 1) - 1
    mine.read_seq = max(mine.read_seq, mine.watermark)
    mine.delivered_seq = max(mine.delivered_seq, mine.read_seq)
    conversations.stamp_own(mine, entered, *OWN_FIELDS)
    missed = set(unread)
    return [
        Mark(
            user_id=mine.user_id,
            conversation_id=mine.conversation_id,
            seq=message.seq,
            message_id=message.message_id,
            flags=Flag.READ,
            version=mine.version,
            gen=mine.gen,
        )
        for _, message in arrived
        if message.seq > mine.watermark
        and message.seq not in missed
        and message.sender_id != mine.user_id
    ]
