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
    or_fail,
    rows,
    rows_at_once,
    text_parameter,
    uuid_key,
)
from parley.kernel.errors import Refusal
from parley.messaging.drafts import Draft
from parley.messaging.models import Flag, Message
from parley.messaging.operations.answers import answers, fresh
from parley.messaging.refusals import ClientIdReused, UnknownReply
from parley.messaging.seen import SeenMessage, Sent
from parley.messaging.sight import flags_of, seen_as

INSTANT = timedelta(microseconds=1)

TALK = ("conversation_id", "kind", "last_seq", "revision", "gen", "active_at")
LOCK_SQL = """
FROM conversations_conversation WHERE {chosen} ORDER BY conversation_id {locking}
"""
STORED_SQL = "SELECT * FROM messaging_message WHERE {chosen}"
MEMBER = ("conversation_id", "user_id", "left_at", "visible_after")
MEMBERS_SQL = "FROM conversations_participant WHERE {chosen}"
BLOCKS_SQL = """
SELECT blocker_id, blocked_id FROM conversations_block WHERE {blocker} AND {blocked}
"""
REPLIES_SQL = "SELECT message_id, conversation_id, seq FROM messaging_message WHERE {chosen}"
COLUMNS = (
    *("message_id", "conversation_id", "sender_id", "seq", "revision", "gen", "subject"),
    *("message_body", "sent_at", "client_id", "fingerprint", "reply_to"),
)
ROW = f"({', '.join(['%s'] * len(COLUMNS))})"
INSERT_SQL = f"""
INSERT {{or_fail}} INTO messaging_message ({", ".join(COLUMNS)}) VALUES {{rows}}
"""  # noqa: S608 - names of ours
MOVE_SQL = """
UPDATE {or_fail} conversations_conversation
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

    where: Any
    is_direct: bool
    last_seq: int
    revision: int
    gen: int
    active_at: datetime
    added: int = 0
    # Those on whom it depends what may be sent: the batch's senders, in a direct one both people.
    members: dict[Any, Member] = field(default_factory=dict)

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


class Stored(NamedTuple):
    """A message that a draft may meet again, and what tells it from other content."""

    message: SeenMessage
    fingerprint: bytes | None


@dataclass(slots=True)
class Batch:
    """One transaction's drafts: first the locks, then what they protect is read, then written.

    Ids are kept as the driver gives them (``uuid_key``): Python takes longer to make UUIDs of
    them, and to find those in a dictionary, than the database to look the rows up.
    """

    entered: Entered
    drafts: Sequence[Draft]
    conversation_ids: dict[int, UUID] = field(default_factory=dict)
    message_keys: list[Any] = field(init=False)
    senders: list[Any] = field(init=False)
    wheres: dict[int, Any] = field(init=False)
    refused: dict[int, Refusal] = field(default_factory=dict)
    talks: dict[Any, Talk] = field(default_factory=dict)
    blocks: set[tuple[Any, Any]] = field(default_factory=set)
    replies: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    by_client_id: dict[tuple[Any, Any, str], Stored] = field(default_factory=dict)
    by_message_id: dict[Any, SeenMessage] = field(default_factory=dict)
    stored: dict[int, SeenMessage] = field(default_factory=dict)
    new: list[SeenMessage] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)

    def settle(self) -> None:
        """Settle what becomes of each draft; what is new is still to be written."""
        key = uuid_key()
        self.message_keys = [key(draft.message_id) for draft in self.drafts]
        self.senders = [key(draft.sender_id) for draft in self.drafts]
        self._find_conversations()
        self.wheres = {place: key(found) for place, found in self.conversation_ids.items()}
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
        self._lock(set(self.wheres.values()))
        self._look_up_stored()
        self._look_up_members()
        self._look_up_blocks()
        self._look_up_replies()

    def _lock(self, wanted: Collection[Any]) -> None:
        """Lock the conversations, in the database's order of keys."""
        if not wanted:
            return
        chosen, parameters = among("conversation_id", wanted)
        sql = LOCK_SQL.format(chosen=chosen, locking=locking_sql())
        found = rows_at_once(TALK, sql, parameters)
        for where, kind, last_seq, revision, gen, active_at in found:
            at = instant_value(active_at)
            self.talks[where] = Talk(where, kind == Kind.DIRECT, last_seq, revision, gen, at)

    def _look_up_stored(self) -> None:
        """Look up what retries meet: by the message's own id, and by what its sender called it."""
        self._read_stored(*among("message_id", self.message_keys))
        named = [
            (where, self.senders[place], text_parameter(client_id))
            for place, where in self.wheres.items()
            if (client_id := self.drafts[place].client_id) is not None
        ]
        if named:
            self._read_stored(*among_rows(("conversation_id", "sender_id", "client_id"), named))

    def _read_stored(self, chosen: str, parameters: Sequence[Any]) -> None:
        found = instances(Message, STORED_SQL.format(chosen=chosen), parameters)
        seqs: dict[tuple[UUID, UUID], list[int]] = {}
        for message in found:
            seqs.setdefault((message.sender_id, message.conversation_id), []).append(message.seq)
        flags, key = flags_of(seqs), uuid_key()
        for message in found:
            its = flags.get((message.sender_id, message.conversation_id, message.seq), 0)
            seen = seen_as(message, read=True, starred=bool(its & Flag.STARRED))
            self.by_message_id[key(seen.message_id)] = seen
            if seen.client_id is not None:
                named = key(seen.conversation_id), key(seen.sender_id), seen.client_id
                self.by_client_id[named] = Stored(seen, bytes(message.fingerprint or b""))

    def _look_up_members(self) -> None:
        directs = [talk.where for talk in self.talks.values() if talk.is_direct]
        if directs:
            self._read_members(*among("conversation_id", directs))
        senders = {
            (self.senders[place], where)
            for place, where in self.wheres.items()
            if where in self.talks and not self.talks[where].is_direct
        }
        if senders:
            chosen, parameters = among_rows(("user_id", "conversation_id"), senders)
            self._read_members(f"{chosen} AND left_at IS NULL", parameters)

    def _read_members(self, chosen: str, parameters: Sequence[Any]) -> None:
        found = rows_at_once(MEMBER, MEMBERS_SQL.format(chosen=chosen), parameters)
        for where, who, left_at, visible_after in found:
            self.talks[where].members[who] = Member(left_at, visible_after)

    def _look_up_blocks(self) -> None:
        people = {who for talk in self.talks.values() if talk.is_direct for who in talk.members}
        if len(people) > 1:
            blocker, blockers = among("blocker_id", people)
            blocked, senders = among("blocked_id", set(self.senders))
            sql = BLOCKS_SQL.format(blocker=blocker, blocked=blocked)
            self.blocks.update(rows(sql, [*blockers, *senders]))

    def _look_up_replies(self) -> None:
        wanted = {draft.reply_to for draft in self.drafts if draft.reply_to}
        if wanted:
            chosen, parameters = among("message_id", wanted)
            for message_id, where, seq in rows(REPLIES_SQL.format(chosen=chosen), parameters):
                self.replies[message_id] = where, seq

    # --- one draft

    def _decide(self, place: int, draft: Draft) -> None:
        """Settle what becomes of one draft: stored before, refused, or numbered as a new one."""
        try:
            self.stored[place] = self._known(place, draft) or self._add(place, draft)
        except Refusal as refusal:
            self.refused[place] = refusal

    def _known(self, place: int, draft: Draft) -> SeenMessage | None:
        again = self.by_message_id.get(self.message_keys[place])
        if again is not None or draft.client_id is None:
            return again
        found = self.by_client_id.get((self.wheres[place], self.senders[place], draft.client_id))
        if found is None:
            return None
        if found.fingerprint != draft.fingerprint(self.conversation_ids[place]):
            raise ClientIdReused(attr="client_id")
        return found.message

    def _add(self, place: int, draft: Draft) -> SeenMessage:
        """Number a draft whose sender may write here as a new message."""
        talk = self.talks.get(self.wheres[place])
        if talk is None:
            raise ConversationNotFound(attr="conversation")
        self._admit(draft, self.senders[place], talk)
        talk.add(self.entered)
        return self._number(place, draft, talk)

    def _admit(self, draft: Draft, sender: Any, talk: Talk) -> None:
        """Refuse who may not write here; whoever writes to a person finds what they had hidden."""
        mine = talk.members.get(sender)
        if mine is None or (mine.left_at is not None and draft.conversation_id is not None):
            raise ConversationNotFound(attr="conversation")
        if talk.is_direct and any((who, sender) in self.blocks for who in talk.members):
            raise Blocked
        if draft.reply_to is not None:
            where, seq = self.replies.get(uuid_key()(draft.reply_to), (None, 0))
            if where != talk.where or seq <= mine.visible_after:
                raise UnknownReply(attr="reply_to")

    def _number(self, place: int, draft: Draft, talk: Talk) -> SeenMessage:
        where = self.conversation_ids[place]
        message = fresh(draft, where, talk.last_seq, talk.revision, talk.active_at)
        client_id = fingerprint = None
        if draft.client_id is not None:
            client_id, fingerprint = text_parameter(draft.client_id), draft.fingerprint(where)
            named = talk.where, self.senders[place], draft.client_id
            self.by_client_id[named] = Stored(message, fingerprint)
        self.new.append(message)
        self.rows += (
            *(self.message_keys[place], talk.where, self.senders[place]),
            *(message.seq, message.revision, talk.gen, message.subject, message.message_body),
            *(message.sent_at, client_id, fingerprint, message.reply_to),
        )
        return message

    # --- writing

    def write(self) -> None:
        """Write the new messages, and what they change of their conversations."""
        with connection.cursor() as cursor:
            sql = INSERT_SQL.format(or_fail=or_fail(), rows=", ".join([ROW] * len(self.new)))
            cursor.execute(sql, adapted(self.rows))
            # Nearly all conversations of a batch move on alike: by one message, to its instant.
            alike: dict[tuple[Any, ...], list[Any]] = {}
            for talk in self.talks.values():
                if talk.added:
                    alike.setdefault(talk.move, []).append(talk.where)
            for move, moved in alike.items():
                chosen, parameters = among("conversation_id", moved)
                sql = MOVE_SQL.format(or_fail=or_fail(), chosen=chosen)
                cursor.execute(sql, adapted([*move, *parameters]))
        self._bring_back_hidden()

    def _bring_back_hidden(self) -> None:
        """Show the direct conversations that were written to again, to whoever had hidden them."""
        written_to = [
            talk.where
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
