"""Writing whole conversations at once, with their history: for samples and measurements.

What comes out is what sending, reading and marking one by one would have left: numbers without
a gap, receipts that cover what was read, marks only where a mark may stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from parley.conversations import fence
from parley.conversations.fence import Entered
from parley.conversations.models import Conversation, Kind, MemberRole, Participant
from parley.kernel import ids
from parley.kernel.bulk import write_rows
from parley.kernel.database import in_transaction
from parley.messaging.models import Flag, Mark, Message

SOON = timedelta(microseconds=1)  # how long after it was sent a loaded message was changed


@dataclass(frozen=True, slots=True)
class Said:
    """One message, and what single people did with it. They come in the order of ``sent_at``."""

    sender_id: UUID
    message_body: str
    sent_at: datetime
    subject: str = ""
    is_reply: bool = False  # to the message before it
    is_edited: bool = False
    is_retracted: bool = False
    marks: Sequence[tuple[UUID, Flag]] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """Someone in a conversation, and how far they have read.

    Whoever ``is_gone`` has left the group, or hidden the direct conversation.
    """

    user_id: UUID
    member_role: str = MemberRole.MEMBER
    read_seq: int = 0
    is_gone: bool = False
    is_archived: bool = False
    muted_until: datetime | None = None
    pinned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class History:
    """A conversation that exists nowhere yet, with everything that was said in it."""

    kind: str
    created_at: datetime
    members: Sequence[Member]
    said: Iterable[Said] = ()
    title: str = ""


@in_transaction
def load_histories(histories: Iterable[History]) -> None:
    """Store conversations with their members, messages and marks.

    Nothing is checked, and nobody is told.

    :raises IntegrityError: a direct conversation of one of the pairs exists.
    """
    entered = fence.enter()
    done: list[_Telling] = []
    write_rows(Message, MESSAGE, _messages(histories, entered, done))
    write_rows(Conversation, CONVERSATION, (telling.conversation() for telling in done))
    write_rows(
        Participant, PARTICIPANT, (row for telling in done for row in telling.participants())
    )
    write_rows(Mark, MARK, (row for telling in done for row in telling.marks))


MESSAGE = (
    "message_id",
    "conversation",
    "sender",
    "seq",
    "revision",
    "gen",
    "subject",
    "message_body",
    "sent_at",
    "reply_to",
    "edited_at",
    "retracted_at",
)
CONVERSATION = (
    "conversation_id",
    "kind",
    "title",
    "direct_key",
    "created_at",
    "changed_at",
    "last_seq",
    "revision",
    "gen",
    "active_gen",
    "active_at",
    "members_rev",
    "member_count",
    "purged_seq",
)
PARTICIPANT = (
    "conversation",
    "user",
    "member_role",
    "joined_at",
    "left_at",
    "changed_at",
    "gen",
    "version",
    "joined_gen",
    "joined_revision",
    "visible_after",
    "read_seq",
    "watermark",
    "delivered_seq",
    "muted_until",
    "archived_at",
    "archived_seq",
    "pinned_at",
)
MARK = ("user", "conversation", "seq", "message_id", "flags", "version", "gen", "starred_sent_at")


def _messages(
    histories: Iterable[History], entered: Entered, done: list[_Telling]
) -> Iterator[tuple[Any, ...]]:
    """Number the messages of one history after the other; ``done`` keeps what they add up to."""
    for history in histories:
        telling = _Telling(history, entered)
        for said in history.said:
            yield telling.message(said)
        done.append(telling)


@dataclass(slots=True)
class _Telling:
    """One history on its way into the tables."""

    history: History
    entered: Entered
    conversation_id: UUID = field(init=False)
    direct_key: bytes | None = None
    seq: int = 0
    revision: int = 0
    active_at: datetime = field(init=False)
    last_id: UUID | None = None
    read: dict[UUID, int] = field(init=False)
    versions: dict[UUID, int] = field(default_factory=dict)
    marks: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        history = self.history
        self.active_at = history.created_at
        self.read = {member.user_id: member.read_seq for member in history.members}
        if history.kind == Kind.DIRECT:
            pair = list(self.read)
            self.direct_key = ids.direct_key(pair[0], pair[-1])
        shard = ids.direct_shard(self.direct_key) if self.direct_key else None
        self.conversation_id = ids.new_id(shard=shard, at=history.created_at)

    def message(self, said: Said) -> tuple[Any, ...]:
        self.seq += 1
        is_changed = said.is_edited or said.is_retracted
        self.revision += 2 if is_changed else 1  # each change takes one more
        self.active_at = max(said.sent_at, self.active_at + SOON)
        changed_at = self.active_at + SOON
        reply_to = self.last_id if said.is_reply else None
        shard = ids.shard_of(self.conversation_id)
        self.last_id = ids.new_id(shard=shard, at=self.active_at)
        for user_id, flag in said.marks:
            self._mark(user_id, flag, said)
        return (
            self.last_id,
            self.conversation_id,
            said.sender_id,
            self.seq,
            self.revision,
            self.entered.g,
            "" if said.is_retracted else said.subject,
            "" if said.is_retracted else said.message_body,
            self.active_at,
            reply_to,
            changed_at if said.is_edited and not said.is_retracted else None,
            changed_at if said.is_retracted else None,
        )

    def _mark(self, user_id: UUID, flag: Flag, said: Said) -> None:
        """Note a mark of a member, unless the rule of the watermark has no place for it here."""
        is_read = self.seq <= self.read[user_id]
        out_of_place = {Flag.READ: is_read, Flag.KEPT: not is_read}.get(flag, False)
        if out_of_place or (said.sender_id == user_id and flag in (Flag.READ, Flag.KEPT)):
            return
        version = self.versions[user_id] = self.versions.get(user_id, 0) + 1
        starred_sent_at = self.active_at if flag == Flag.STARRED else None
        self.marks.append(
            (
                user_id,
                self.conversation_id,
                self.seq,
                self.last_id,
                int(flag),
                version,
                self.entered.g,
                starred_sent_at,
            )
        )

    def conversation(self) -> tuple[Any, ...]:
        history, g = self.history, self.entered.g
        gone = [m for m in history.members if m.is_gone and history.kind == Kind.GROUP]
        return (
            self.conversation_id,
            history.kind,
            history.title,
            self.direct_key.hex() if self.direct_key else None,
            history.created_at,
            self.active_at + SOON,
            self.seq,
            self.revision + len(gone),
            g,
            g,
            self.active_at,
            len(gone),
            len(history.members) - len(gone),
            0,
        )

    def participants(self) -> Iterator[tuple[Any, ...]]:
        for member in self.history.members:
            yield self._participant(member)

    def _participant(self, member: Member) -> tuple[Any, ...]:
        hid = member.is_gone and self.history.kind == Kind.DIRECT
        read_seq = self.seq if hid else min(member.read_seq, self.seq)
        later = self.active_at + SOON
        return (
            self.conversation_id,
            member.user_id,
            member.member_role,
            self.history.created_at,
            later if member.is_gone else None,
            later,
            self.entered.g,
            self.versions.get(member.user_id, 0) + 1,
            self.entered.g,
            0,
            self.seq if hid else 0,
            read_seq,
            read_seq,
            read_seq,
            member.muted_until,
            later if member.is_archived else None,
            self.seq if member.is_archived else None,
            member.pinned_at,
        )
