"""Sending in statements that every database has: locks, then look-ups, then what is written.

Written out, for they are asked with every message and the ORM takes longer than the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from parley.conversations import operations as conversations
from parley.conversations.fence import Entered
from parley.conversations.models import Conversation, Kind, Participant
from parley.conversations.operations import Blocked, ConversationNotFound
from parley.kernel.bulk import in_batches
from parley.kernel.database import (
    adapted,
    among,
    instances,
    locked,
    rows,
    text_parameter,
    uuid_value,
)
from parley.kernel.errors import Refusal
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.refusals import ClientIdReused, UnknownReply
from parley.messaging.seen import SeenMessage, Sent
from parley.messaging.sight import see

INSTANT = timedelta(microseconds=1)
ROWS = 500  # are inserted by one statement

STORED_SQL = "SELECT * FROM messaging_message WHERE {chosen}"
MEMBERS_SQL = """
SELECT conversation_id, user_id, left_at, visible_after
  FROM conversations_participant
 WHERE {chosen}
"""
BLOCKS_SQL = """
SELECT blocker_id, blocked_id FROM conversations_block WHERE {blocker} AND {blocked}
"""
COLUMNS = (
    *("message_id", "conversation_id", "sender_id", "seq", "revision", "gen", "subject"),
    *("message_body", "sent_at", "client_id", "fingerprint", "reply_to"),
)
PLACE = f"({', '.join(['%s'] * len(COLUMNS))})"
INSERT_SQL = f"INSERT INTO messaging_message ({', '.join(COLUMNS)}) VALUES {{places}}"  # noqa: S608
MOVED = ("last_seq", "revision", "gen", "active_gen", "active_at", "changed_at")
MOVE_SQL = f"""
UPDATE conversations_conversation SET {", ".join(f"{name} = %s" for name in MOVED)}
 WHERE conversation_id = %s
"""  # noqa: S608 - names of ours


class Member(NamedTuple):
    """What decides of a participant whether they may write, and what they may reply to."""

    conversation_id: UUID
    user_id: UUID
    left_at: Any
    visible_after: int


@dataclass(slots=True)
class Batch:
    """One transaction's drafts: first the locks, then what they protect is read, then written."""

    entered: Entered
    drafts: Sequence[Draft]
    conversation_ids: dict[int, UUID] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    conversations: dict[UUID, Conversation] = field(default_factory=dict)
    participants: dict[tuple[UUID, UUID], Member] = field(default_factory=dict)
    blocks: set[tuple[UUID, UUID]] = field(default_factory=set)
    repliable: set[tuple[UUID, UUID, UUID]] = field(default_factory=set)
    by_client_id: dict[tuple[UUID, UUID, str], Message] = field(default_factory=dict)
    by_message_id: dict[UUID, Message] = field(default_factory=dict)
    stored: dict[int, Message] = field(default_factory=dict)
    new: list[Message] = field(default_factory=list)

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
        for _, place in sorted(by_people):
            try:
                self.conversation_ids[place] = self._conversation_of(self.drafts[place])
            except Refusal as refusal:
                self.refused[place] = refusal

    def _conversation_of(self, draft: Draft) -> UUID:
        if draft.new_group_id is not None:
            return self._group_of(draft, draft.new_group_id)
        standing = conversations.find_direct(draft.direct_key)
        if standing is not None:
            return standing
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
        wanted = set(self.conversation_ids.values())
        self.conversations = conversations.lock_conversations(wanted)
        direct = [c for c, found in self.conversations.items() if found.kind == Kind.DIRECT]
        self._look_up_stored()
        self._look_up_participants(direct)
        self._look_up_blocks(direct)
        self._look_up_replies()

    def _look_up_stored(self) -> None:
        chosen, parameters = among("message_id", [draft.message_id for draft in self.drafts])
        terms = [chosen]
        for place, conversation_id in self.conversation_ids.items():
            draft = self.drafts[place]
            if draft.client_id is not None:
                terms.append("(conversation_id = %s AND sender_id = %s AND client_id = %s)")
                parameters += conversation_id, draft.sender_id, text_parameter(draft.client_id)
        for message in instances(Message, STORED_SQL.format(chosen=" OR ".join(terms)), parameters):
            self._remember(message)

    def _remember(self, message: Message) -> None:
        self.by_message_id[message.message_id] = message
        if message.client_id is not None:
            key = (message.conversation_id, message.sender_id, message.client_id)
            self.by_client_id[key] = message

    def _look_up_participants(self, direct: list[UUID]) -> None:
        senders = {draft.sender_id for draft in self.drafts}
        groups = self.conversations.keys() - set(direct)
        terms: list[str] = []
        parameters: list[Any] = []
        if direct:
            chosen, parameters = among("conversation_id", direct)
            terms.append(chosen)
        if groups:
            where, of_groups = among("conversation_id", groups)
            who, of_senders = among("user_id", senders)
            terms.append(f"({where} AND {who} AND left_at IS NULL)")
            parameters = [*parameters, *of_groups, *of_senders]
        found = rows(MEMBERS_SQL.format(chosen=" OR ".join(terms)), parameters) if terms else []
        for conversation_id, user_id, left_at, visible_after in found:
            member = Member(
                uuid_value(conversation_id), uuid_value(user_id), left_at, visible_after
            )
            self.participants[member.conversation_id, member.user_id] = member

    def _look_up_blocks(self, direct: list[UUID]) -> None:
        people = {p.user_id for p in self.participants.values() if p.conversation_id in direct}
        if len(people) > 1:
            blocker, blockers = among("blocker_id", people)
            blocked, senders = among("blocked_id", {draft.sender_id for draft in self.drafts})
            sql = BLOCKS_SQL.format(blocker=blocker, blocked=blocked)
            found = rows(sql, [*blockers, *senders])
            self.blocks = {(uuid_value(one), uuid_value(other)) for one, other in found}

    def _look_up_replies(self) -> None:
        wanted = {draft.reply_to for draft in self.drafts if draft.reply_to}
        if wanted:
            found = Message.objects.filter(message_id__in=wanted)
            for message_id, conversation_id, seq in found.values_list(
                "message_id", "conversation_id", "seq"
            ):
                for (where, who), participant in self.participants.items():
                    if where == conversation_id and seq > participant.visible_after:
                        self.repliable.add((where, who, message_id))

    # --- one draft

    def _decide(self, place: int, draft: Draft) -> None:
        """Settle what becomes of one draft: stored before, refused, or numbered as a new one."""
        conversation_id = self.conversation_ids[place]
        try:
            known = self._known(draft, conversation_id)
            if known is not None:
                self.stored[place] = known
                return
            conversation = self.conversations.get(conversation_id)
            if conversation is None:
                raise ConversationNotFound(attr="conversation")
            self._admit(draft, conversation)
            self.stored[place] = self._number(draft, conversation)
        except Refusal as refusal:
            self.refused[place] = refusal

    def _known(self, draft: Draft, conversation_id: UUID) -> Message | None:
        again = self.by_message_id.get(draft.message_id)
        if again is not None or draft.client_id is None:
            return again
        found = self.by_client_id.get((conversation_id, draft.sender_id, draft.client_id))
        if found is not None and bytes(found.fingerprint or b"") != draft.fingerprint(
            conversation_id
        ):
            raise ClientIdReused(attr="client_id")
        return found

    def _admit(self, draft: Draft, conversation: Conversation) -> None:
        """Refuse who may not write here; whoever writes to a person finds what they had hidden."""
        mine = self.participants.get((conversation.conversation_id, draft.sender_id))
        hidden = mine is not None and mine.left_at is not None and draft.conversation_id is not None
        if mine is None or hidden:
            raise ConversationNotFound(attr="conversation")
        if conversation.kind == Kind.DIRECT:
            for where, who in self.participants:
                if where == conversation.conversation_id and (who, draft.sender_id) in self.blocks:
                    raise Blocked
        if draft.reply_to is not None:
            reply = (conversation.conversation_id, draft.sender_id, draft.reply_to)
            if reply not in self.repliable:
                raise UnknownReply(attr="reply_to")

    def _number(self, draft: Draft, conversation: Conversation) -> Message:
        conversation.last_seq += 1
        conversation.revision += 1
        conversation.gen = conversation.active_gen = max(conversation.gen, self.entered.g)
        conversation.active_at = _next_instant(self.entered.now, conversation.active_at)
        conversation.changed_at = conversation.active_at
        message = Message(
            message_id=draft.message_id,
            conversation=conversation,
            sender_id=draft.sender_id,
            seq=conversation.last_seq,
            revision=conversation.revision,
            gen=conversation.gen,
            subject=draft.subject,
            message_body=draft.message_body,
            sent_at=conversation.active_at,
            client_id=draft.client_id,
            fingerprint=draft.fingerprint(conversation.conversation_id)
            if draft.client_id
            else None,
            reply_to=draft.reply_to,
        )
        self.new.append(message)
        self._remember(message)
        return message

    # --- writing

    def write(self) -> None:
        """Write the new messages, and what they change of their conversations."""
        changed = {message.conversation_id for message in self.new}
        self._bring_back_hidden(changed)
        for some in in_batches(self.new, ROWS):
            _run(INSERT_SQL.format(places=", ".join([PLACE] * len(some))), *map(_row, some))
        for conversation_id in changed:
            found = self.conversations[conversation_id]
            _run(MOVE_SQL, [getattr(found, name) for name in MOVED], [conversation_id])

    def _bring_back_hidden(self, changed: set[UUID]) -> None:
        hidden = [
            participant.user_id
            for (where, _), participant in self.participants.items()
            if participant.left_at is not None and where in changed
        ]
        if not hidden:
            return
        rows = Participant.objects.filter(conversation_id__in=changed, user_id__in=hidden)
        for participant in locked(rows.exclude(left_at=None)):
            conversation = self.conversations[participant.conversation_id]
            if conversation.kind == Kind.DIRECT:
                conversations.bring_back(participant, conversation, self.entered)

    def answers(self) -> list[Sent | Refusal]:
        seen = self._seen()
        new = {message.message_id for message in self.new} | {d.message_id for d in self.drafts}
        told: set[UUID] = set()
        answers: list[Sent | Refusal] = []
        for place, _ in enumerate(self.drafts):
            if place in self.refused:
                answers.append(self.refused[place])
                continue
            message_id = self.stored[place].message_id
            is_new = message_id in new and message_id not in told
            told.add(message_id)
            answers.append(Sent(seen[self.drafts[place].sender_id, message_id], is_new))
        return answers

    def _seen(self) -> dict[tuple[UUID, UUID], SeenMessage]:
        by_sender: dict[UUID, dict[UUID, Message]] = defaultdict(dict)
        for place, message in self.stored.items():
            by_sender[self.drafts[place].sender_id][message.message_id] = message
        fresh = {message.message_id for message in self.new}
        return {
            (sender_id, seen.message_id): seen
            for sender_id, messages in by_sender.items()
            for seen in see(sender_id, messages.values(), unmarked=fresh)
        }


def _next_instant(now: datetime, previous: datetime) -> datetime:
    """Return the database's clock, but always after the previous message, for clocks jump."""
    return max(now, previous + INSTANT)


def _row(message: Message) -> list[Any]:
    row = {name: getattr(message, name) for name in COLUMNS}
    if message.client_id is not None:
        row["client_id"] = text_parameter(message.client_id)
    return list(row.values())


def _run(sql: str, *parameters: Sequence[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, adapted([each for some in parameters for each in some]))
