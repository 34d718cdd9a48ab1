"""Messages and conversations as one viewer sees them: plain values that every door can write out.

They name people by id; ``accounts.queries.people`` has their names, one query for a whole page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from parley.conversations.seen import Me, SeenParticipant


class SeenMessage(NamedTuple):
    message_id: UUID
    conversation_id: UUID
    sender_id: UUID
    seq: int
    revision: int
    subject: str
    message_body: str
    sent_at: datetime
    client_id: str | None
    reply_to: UUID | None
    edited_at: datetime | None
    retracted_at: datetime | None
    read: bool
    starred: bool

    def people(self) -> set[UUID]:
        """The ids of everyone named in it."""
        return {self.sender_id}


# What of it the table of messages holds; the rest is how someone sees it.
SAID = SeenMessage._fields[:-2]
SENDER, SEQ, REVISION = map(SAID.index, ("sender_id", "seq", "revision"))
MESSAGE = ", ".join(f"m.{column}" for column in SAID)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is stored, and whether this call stored it; a retry meets the first one."""

    message: SeenMessage
    is_new: bool


@dataclass(frozen=True, slots=True)
class SeenConversation:
    """``messages`` are the newest by ascending ``seq`` (in sync: the changed ones, by revision)."""

    conversation_id: UUID
    kind: str
    title: str
    created_at: datetime
    changed_at: datetime
    last_seq: int
    revision: int
    participant_count: int
    participants: list[SeenParticipant]
    messages: list[SeenMessage]
    last_message: SeenMessage | None
    unread_count: int
    unread_capped: bool
    me: Me
    reset: bool = False

    def people(self) -> set[UUID]:
        """The ids of everyone named in it."""
        found = {p.user_id for p in self.participants} | {m.sender_id for m in self.messages}
        return found | ({self.last_message.sender_id} if self.last_message else set())


@dataclass(frozen=True, slots=True)
class ReadState:
    read_seq: int
    watermark: int
    unread_count: int


@dataclass(frozen=True, slots=True)
class UnreadTotal:
    messages: int
    conversations: int
    capped: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one participant, other than the sender, has had of a message."""

    user_id: UUID
    delivered: bool
    read: bool


@dataclass(frozen=True, slots=True)
class SeenMark:
    message_id: UUID
    conversation_id: UUID
    read: bool
    starred: bool


@dataclass(frozen=True, slots=True)
class News:
    """One answer of ``sync``; ``removed`` holds (conversation, message), ``left`` conversations."""

    conversations: list[SeenConversation]
    marks: list[SeenMark]
    removed: list[tuple[UUID, UUID]]
    left: list[UUID]
    cursor: str
    more: bool
