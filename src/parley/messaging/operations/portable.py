"""Sending in statements that every database has: locks, then look-ups, then what is written.

Written out, for they are asked with every message and the ORM takes longer than the database. Each
is asked once for a whole batch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from parley.conversations import operations as conversations
from parley.conversations.fence import Entered
from parley.conversations.models import Conversation, Kind, Participant
from parley.conversations.operations import Blocked, ConversationNotFound
from parley.kernel.database import (
    adapted,
    among,
    among_rows,
    instances,
    instant_value,
    locked,
    locking_sql,
    rows,
    text_parameter,
    uuid_value,
)
from parley.kernel.errors import Refusal
from parley.messaging.drafts import Draft
from parley.messaging.models import Flag, Message
from parley.messaging.operations.answers import answers, fresh
from parley.messaging.refusals import ClientIdReused, UnknownReply
from parley.messaging.seen import SeenMessage, Sent
from parley.messaging.sight import flags_of, seen_as

INSTANT = timedelta(microseconds=1)

LOCK_SQL = """
SELECT conversation_id, kind, last_seq, revision, gen, active_at FROM conversations_conversation
 WHERE {chosen} ORDER BY conversation_id {locking}
"""
STORED_SQL = "SELECT * FROM messaging_message WHERE {chosen}"
MEMBERS_SQL = """
SELECT conversation_id, user_id, left_at, visible_after FROM conversations_participant
 WHERE {chosen}
"""
BLOCKS_SQL = """
SELECT blocker_id, blocked_id FROM conversations_block WHERE {blocker} AND {blocked}
"""
REPLIES_SQL = "SELECT message_id, conversation_id, seq FROM messaging_message WHERE {chosen}"
COLUMNS = (
    *("message_id", "conversation_id", "sender_id", "seq", "revision", "gen", "subject"),
    *("message_body", "sent_at", "client_id", "fingerprint", "reply_to"),
)
INSERT_SQL = f"""
INSERT INTO messaging_message ({", ".join(COLUMNS)}) VALUES ({", ".join(["%s"] * len(COLUMNS))})
"""  # noqa: S608 - names of ours
MOVE_SQL = """
UPDATE conversations_conversation
   SET last_seq = last_seq + %s, revision = revision + %s, gen = %s, active_gen = %s,
       active_at = %s, changed_at = %s
 WHERE {chosen}
"""


class Member(NamedTuple):
    """What decides of a participant whether they may write, and what they may reply to."""

    left_at: Any
    visible_after: int


@dataclass(slots=True)
class Talk:
    """A locked conversation, where its last message stands, and how many the batch adds."""

    conversation_id: UUID
    is_direct: bool
    last_seq: int
    revision: int
    gen: int
    active_at: datetime
    added: int = 0
    # Those on whom it depends what may be sent: the batch's senders, in a direct one both people.
    members: dict[UUID, Member] = field(default_factory=dict)

    def add(self, entered: Entered) -> None:
        """Move on by one message. It is always after the one before, for clocks jump."""
        self.added += 1
        self.last_seq += 1
        self.revision += 1
        self.gen = max(self.gen, entered.g)
        self.active_at = max(entered.now, self.active_at + INSTANT)

    @property
    def move(self) -> tuple[Any, ...]:
        """What ``MOVE_SQL`` writes of it."""
        return self.added, self.added, self.gen, self.gen, self.active_at, self.active_at


@dataclass(slots=True)
class Batch:
    """One transaction's drafts: first the locks, then what they protect is read, then written."""

    entered: Entered
    drafts: Sequence[Draft]
    conversation_ids: dict[int, UUID] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    talks: dict[UUID, Talk] = field(default_factory=dict)
    blocks: set[tuple[UUID, UUID]] = field(default_factory=set)
    replies: dict[UUID, tuple[UUID, int]] = field(default_factory=dict)
    by_client_id: dict[tuple[UUID, UUID, str], SeenMessage] = field(default_factory=dict)
    by_message_id: dict[UUID, SeenMessage] = field(default_factory=dict)
    fingerprints: dict[UUID, bytes] = field(default_factory=dict)
    stored: dict[int, SeenMessage] = field(default_factory=dict)
    new: list[SeenMessage] = field(default_factory=list)

    def settle(self) -> None:
        """Settle what becomes of each draft; what is new is still to be written."""
        self._find_conversations()
        self._lock_and_look_up()
        for place, draft in enumerate(self.drafts):
            if place not in self.refused:
                self._decide(place, draft)

    # --- before the locks

    def _find_conversations(self) -> None:
        """Settle where each draft goes; new pairs and groups are made here, in the pairs' order."""
        by_people: list[tuple[bytes, int]] = []
        for place, draft in enumerate(self.drafts):
            if draft.conversation_id is not None:
                self.conversation_ids[place] = draft.conversation_id
            else:
                order = draft.new_group_id.bytes if draft.new_group_id else draft.direct_key
                by_people.append((order, place))
        pairs = [key for key, place in by_people if not self.drafts[place].new_group_id]
        standing = conversations.find_directs(pairs)
        for order, place in sorted(by_people):
            try:
                if order not in standing:
                    standing[order] = self._conversation_of(self.drafts[place])
                self.conversation_ids[place] = standing[order]
            except Refusal as refusal:
                self.refused[place] = refusal

    def _conversation_of(self, draft: Draft) -> UUID:
        """Return where a draft to people goes whose conversation is not known to stand."""
        if draft.new_group_id is not None:
            return self._group_of(draft, draft.new_group_id)
        if draft.reply_to is not None:  # there is nothing in it to reply to: create nothing
            raise UnknownReply(attr="reply_to")
        other = draft.others[0] if draft.others else draft.sender_id
        found, _ = conversations.ensure_direct(draft.sender_id, other, entered=self.entered)
        return found

    def _group_of(self, draft: Draft, group_id: UUID) -> UUID:
        if Conversation.objects.filter(conversation_id=group_id).exists():
            return group_id
        if draft.reply_to is not None:
            raise UnknownReply(attr="reply_to")
        try:
            with transaction.atomic():
                conversations.add_group(
                    group_id, draft.sender_id, draft.others, entered=self.entered
                )
        except IntegrityError:  # a twin of this draft was first
            if not Conversation.objects.filter(conversation_id=group_id).exists():
                raise
        return group_id

    # --- the locks, and what they protect

    def _lock_and_look_up(self) -> None:
        self._lock(set(self.conversation_ids.values()))
        self._look_up_stored()
        self._look_up_members()
        self._look_up_blocks()
        self._look_up_replies()

    def _lock(self, wanted: Collection[UUID]) -> None:
        """Lock the conversations, in the database's order of keys."""
        if not wanted:
            return
        chosen, parameters = among("conversation_id", wanted)
        found = rows(LOCK_SQL.format(chosen=chosen, locking=locking_sql()), parameters)
        for raw_id, kind, last_seq, revision, gen, active_at in found:
            talk_id, is_direct = uuid_value(raw_id), kind == Kind.DIRECT
            at = instant_value(active_at)
            self.talks[talk_id] = Talk(talk_id, is_direct, last_seq, revision, gen, at)

    def _look_up_stored(self) -> None:
        """Look up what retries meet: by the message's own id, and by what its sender called it."""
        self._read_stored(*among("message_id", [draft.message_id for draft in self.drafts]))
        named = [
            (where, self.drafts[place].sender_id, text_parameter(client_id))
            for place, where in self.conversation_ids.items()
            if (client_id := self.drafts[place].client_id) is not None
        ]
        if named:
            self._read_stored(*among_rows(("conversation_id", "sender_id", "client_id"), named))

    def _read_stored(self, chosen: str, parameters: Sequence[Any]) -> None:
        found = instances(Message, STORED_SQL.format(chosen=chosen), parameters)
        seqs: dict[tuple[UUID, UUID], list[int]] = {}
        for message in found:
            seqs.setdefault((message.sender_id, message.conversation_id), []).append(message.seq)
        flags = flags_of(seqs)
        for message in found:
            its = flags.get((message.sender_id, message.conversation_id, message.seq), 0)
            seen = seen_as(message, read=True, starred=bool(its & Flag.STARRED))
            self._remember(seen, bytes(message.fingerprint or b""))

    def _remember(self, message: SeenMessage, fingerprint: bytes) -> None:
        self.by_message_id[message.message_id] = message
        if message.client_id is not None:
            key = (message.conversation_id, message.sender_id, message.client_id)
            self.by_client_id[key] = message
            self.fingerprints[message.message_id] = fingerprint

    def _look_up_members(self) -> None:
        directs = [talk.conversation_id for talk in self.talks.values() if talk.is_direct]
        if directs:
            self._read_members(*among("conversation_id", directs))
        senders = {
            (self.drafts[place].sender_id, where)
            for place, where in self.conversation_ids.items()
            if where in self.talks and not self.talks[where].is_direct
        }
        if senders:
            chosen, parameters = among_rows(("user_id", "conversation_id"), senders)
            self._read_members(f"{chosen} AND left_at IS NULL", parameters)

    def _read_members(self, chosen: str, parameters: Sequence[Any]) -> None:
        for where, who, *rest in rows(MEMBERS_SQL.format(chosen=chosen), parameters):
            self.talks[uuid_value(where)].members[uuid_value(who)] = Member(*rest)

    def _look_up_blocks(self) -> None:
        people = {who for talk in self.talks.values() if talk.is_direct for who in talk.members}
        if len(people) > 1:
            blocker, blockers = among("blocker_id", people)
            blocked, senders = among("blocked_id", {draft.sender_id for draft in self.drafts})
            sql = BLOCKS_SQL.format(blocker=blocker, blocked=blocked)
            found = rows(sql, [*blockers, *senders])
            self.blocks = {(uuid_value(one), uuid_value(other)) for one, other in found}

    def _look_up_replies(self) -> None:
        wanted = {draft.reply_to for draft in self.drafts if draft.reply_to}
        if wanted:
            chosen, parameters = among("message_id", wanted)
            for message_id, where, seq in rows(REPLIES_SQL.format(chosen=chosen), parameters):
                self.replies[uuid_value(message_id)] = uuid_value(where), seq

    # --- one draft

    def _decide(self, place: int, draft: Draft) -> None:
        """Settle what becomes of one draft: stored before, refused, or numbered as a new one."""
        conversation_id = self.conversation_ids[place]
        try:
            known = self._known(draft, conversation_id)
            if known is None:
                talk = self.talks.get(conversation_id)
                if talk is None:
                    raise ConversationNotFound(attr="conversation")
                self._admit(draft, talk)
                known = self._number(draft, talk)
            self.stored[place] = known
        except Refusal as refusal:
            self.refused[place] = refusal

    def _known(self, draft: Draft, conversation_id: UUID) -> SeenMessage | None:
        again = self.by_message_id.get(draft.message_id)
        if again is not None or draft.client_id is None:
            return again
        found = self.by_client_id.get((conversation_id, draft.sender_id, draft.client_id))
        if found is None:
            return None
        if self.fingerprints[found.message_id] != draft.fingerprint(conversation_id):
            raise ClientIdReused(attr="client_id")
        return found

    def _admit(self, draft: Draft, talk: Talk) -> None:
        """Refuse who may not write here; whoever writes to a person finds what they had hidden."""
        mine = talk.members.get(draft.sender_id)
        if mine is None or (mine.left_at is not None and draft.conversation_id is not None):
            raise ConversationNotFound(attr="conversation")
        if talk.is_direct and any((who, draft.sender_id) in self.blocks for who in talk.members):
            raise Blocked
        if draft.reply_to is not None:
            where, seq = self.replies.get(draft.reply_to, (None, 0))
            if where != talk.conversation_id or seq <= mine.visible_after:
                raise UnknownReply(attr="reply_to")

    def _number(self, draft: Draft, talk: Talk) -> SeenMessage:
        talk.add(self.entered)
        where = talk.conversation_id
        message = fresh(draft, where, talk.last_seq, talk.revision, talk.active_at)
        self.new.append(message)
        self._remember(message, draft.fingerprint(where) if draft.client_id else b"")
        return message

    # --- writing

    def write(self) -> None:
        """Write the new messages, and what they change of their conversations."""
        with connection.cursor() as cursor:
            cursor.executemany(INSERT_SQL, [adapted(self._row(message)) for message in self.new])
            # Nearly all conversations of a batch move on alike: by one message, to its instant.
            alike: dict[tuple[Any, ...], list[UUID]] = {}
            for talk in self.talks.values():
                if talk.added:
                    alike.setdefault(talk.move, []).append(talk.conversation_id)
            for move, moved in alike.items():
                chosen, parameters = among("conversation_id", moved)
                cursor.execute(MOVE_SQL.format(chosen=chosen), adapted([*move, *parameters]))
        self._bring_back_hidden()

    def _row(self, message: SeenMessage) -> list[Any]:
        """Return what ``INSERT_SQL`` writes of a message."""
        client_id = None if message.client_id is None else text_parameter(message.client_id)
        return [
            *(message.message_id, message.conversation_id, message.sender_id),
            *(message.seq, message.revision, self.talks[message.conversation_id].gen),
            *(message.subject, message.message_body, message.sent_at, client_id),
            *(self.fingerprints.get(message.message_id), message.reply_to),
        ]

    def _bring_back_hidden(self) -> None:
        """Show the direct conversations that were written to again, to whoever had hidden them."""
        written_to = [
            talk.conversation_id
            for talk in self.talks.values()
            if talk.is_direct
            and talk.added
            and any(member.left_at is not None for member in talk.members.values())
        ]
        if not written_to:
            return
        hidden = Participant.objects.filter(conversation_id__in=written_to).exclude(left_at=None)
        for participant in locked(hidden):
            conversations.bring_back(participant, participant.conversation, self.entered)

    def answers(self) -> list[Sent | Refusal]:
        """Return what became of each draft, in its place."""
        sent = answers(self.drafts, self.stored)
        return [
            self.refused[place] if place in self.refused else sent[place]
            for place in range(len(self.drafts))
        ]
