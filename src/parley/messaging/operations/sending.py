"""The one way a message comes into being."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import Q

from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, tell
from parley.conversations.fence import Entered
from parley.conversations.models import Block, Conversation, Kind, Participant
from parley.conversations.operations import Blocked, ConversationNotFound
from parley.kernel.database import ATTEMPTS, in_transaction, locked
from parley.kernel.errors import Invalid, Refusal, Unavailable
from parley.kernel.hooks import Hook
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.operations import one_trip
from parley.messaging.refusals import ClientIdReused, UnknownReply
from parley.messaging.seen import SeenMessage, Sent
from parley.messaging.sight import see

INSTANT = timedelta(microseconds=1)

# Called with the new messages in the transaction that writes them.
messages_sent: Hook[Sequence[Message]] = Hook()


def send(draft: Draft) -> Sent:
    """Send one message; once this returns it is on disk.

    :raises Refusal: as :func:`send_many` answers for it.
    """
    [result] = send_many([draft])
    if isinstance(result, Refusal):
        raise result
    return result


def send_many(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Send messages together, and answer for each draft in its place; a refused one harms no other.

    What decides, in this order: a known client id (the first message, or ``ClientIdReused``), a
    conversation that is unknown or not the sender's (``ConversationNotFound``), ``Blocked``,
    ``UnknownReply``. On PostgreSQL it is one call of a database function (``one_trip``).
    """
    results: dict[int, Sent | Refusal] = {}
    for place, draft in enumerate(drafts):
        try:
            draft.check(longest=settings.PARLEY.message_length)
        except Refusal as refusal:
            results[place] = refusal
    places = [place for place in range(len(drafts)) if place not in results]
    written = _write_surely([drafts[place] for place in places]) if places else []
    results.update(zip(places, written, strict=True))
    tell(*news_of(written))
    return [results[place] for place in range(len(drafts))]


def news_of(results: Iterable[Sent | Refusal]) -> list[Event]:
    """Return what is to be told of sends."""
    return [_told(each.message) for each in results if isinstance(each, Sent) and each.is_new]


def _told(message: SeenMessage) -> Event:
    return Event(
        Type.MESSAGES,
        message.conversation_id,
        message.revision,
        message_id=message.message_id,
        seq=message.seq,
    )


def find_sent(draft: Draft) -> Sent | None:
    """Return the message that the draft's client id names already, if there is one.

    For drafts that could not be sent any more, as to people who were deactivated since: a retry
    meets its first message all the same.

    :raises ClientIdReused: it names a message with other content.
    """
    where = (
        draft.conversation_id or draft.new_group_id or conversations.find_direct(draft.direct_key)
    )
    if where is None or draft.client_id is None:
        return None
    message = Message.objects.filter(
        conversation_id=where, sender_id=draft.sender_id, client_id=draft.client_id
    ).first()
    if message is None:
        return None
    if bytes(message.fingerprint or b"") != draft.fingerprint(message.conversation_id):
        raise ClientIdReused(attr="client_id")
    return Sent(see(draft.sender_id, [message])[0], is_new=False)


def _write_surely(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Write a batch; after an unknown outcome again, with the same ids on a fresh connection."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _write(drafts)
        except DataError as error:
            return _bisect(drafts, error)
        except (OperationalError, InterfaceError, IntegrityError) as error:
            if connection.in_atomic_block or attempt == ATTEMPTS:
                raise
            if not isinstance(error, IntegrityError):
                connection.close()
    raise Unavailable


def _bisect(drafts: Sequence[Draft], error: DataError) -> list[Sent | Refusal]:
    """Find the draft that the database cannot hold; the others go through."""
    if connection.in_atomic_block:
        raise error
    if len(drafts) == 1:
        return [Invalid()]
    middle = len(drafts) // 2
    return _write_surely(drafts[:middle]) + _write_surely(drafts[middle:])


def _write(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    if connection.vendor != "postgresql":
        return _write_portably(drafts)
    # One conversation that someone else has locked must not stall the others; alone, it may wait.
    unique = list({draft.message_id: draft for draft in drafts}.values())
    alone = len(unique) == 1 or connection.in_atomic_block
    answers = _write_in_one_trip(unique, waiting=alone)
    if len(unique) == len(drafts):
        return answers
    return _repeat(drafts, dict(zip((d.message_id for d in unique), answers, strict=True)))


def _repeat(drafts: Sequence[Draft], by_id: Mapping[UUID, Sent | Refusal]) -> list[Sent | Refusal]:
    """Answer for a draft that stands in a batch more than once; it is new the first time."""
    told: set[UUID] = set()
    answers: list[Sent | Refusal] = []
    for draft in drafts:
        answer = by_id[draft.message_id]
        if isinstance(answer, Sent) and draft.message_id in told:
            answer = Sent(answer.message, is_new=False)
        told.add(draft.message_id)
        answers.append(answer)
    return answers


# --- by the database's own function ---------------------------------------------------------------


def _write_in_one_trip(drafts: Sequence[Draft], *, waiting: bool) -> list[Sent | Refusal]:
    """Write a batch by the database function; what that leaves undone goes through by itself."""
    found = _call(drafts, waiting=waiting)
    if found.portable:
        left = _write_portably([drafts[place] for place in found.portable])
        found.results.update(zip(found.portable, left, strict=True))
    stuck: dict[object, list[int]] = {}
    for place in found.stuck:
        stuck.setdefault(drafts[place].where, []).append(place)
    for places in stuck.values():
        left = _wait_and_write([drafts[place] for place in places])
        found.results.update(zip(places, left, strict=True))
    return [found.results[place] for place in range(len(drafts))]


def _wait_and_write(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Write the drafts of one conversation once its lock is free; if it is not, say so for them."""
    try:
        return _write_in_one_trip(drafts, waiting=True)
    except Unavailable as busy:
        return [busy] * len(drafts)


@in_transaction
def _call(drafts: Sequence[Draft], *, waiting: bool) -> one_trip.Outcome:
    with connection.cursor() as cursor:
        cursor.execute(one_trip.CALL, one_trip.parameters(drafts, waiting=waiting))
        found = one_trip.read(drafts, cursor.fetchall(), want_new=messages_sent.is_joined)
    if found.new:
        messages_sent(found.new)
    return found


# --- by the ORM, on every database ----------------------------------------------------------------


@in_transaction
def _write_portably(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    entered = fence.enter()
    batch = _Batch(entered, drafts)
    batch.find_conversations()
    batch.lock_and_look_up()
    for place, draft in enumerate(drafts):
        if place not in batch.refused:
            batch.decide(place, draft)
    batch.write()
    return batch.answers()


@dataclass(slots=True)
class _Batch:
    """One transaction's drafts: first the locks, then what they protect is read, then written."""

    entered: Entered
    drafts: Sequence[Draft]
    conversation_ids: dict[int, UUID] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    conversations: dict[UUID, Conversation] = field(default_factory=dict)
    participants: dict[tuple[UUID, UUID], Participant] = field(default_factory=dict)
    blocks: set[tuple[UUID, UUID]] = field(default_factory=set)
    repliable: set[tuple[UUID, UUID, UUID]] = field(default_factory=set)
    by_client_id: dict[tuple[UUID, UUID, str], Message] = field(default_factory=dict)
    by_message_id: dict[UUID, Message] = field(default_factory=dict)
    stored: dict[int, Message] = field(default_factory=dict)
    new: list[Message] = field(default_factory=list)

    # --- before the locks

    def find_conversations(self) -> None:
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

    def lock_and_look_up(self) -> None:
        wanted = set(self.conversation_ids.values())
        self.conversations = conversations.lock_conversations(wanted)
        direct = [c for c, found in self.conversations.items() if found.kind == Kind.DIRECT]
        self._look_up_stored()
        self._look_up_participants(direct)
        self._look_up_blocks(direct)
        self._look_up_replies()

    def _look_up_stored(self) -> None:
        wanted = Q(message_id__in=[draft.message_id for draft in self.drafts])
        for place, conversation_id in self.conversation_ids.items():
            draft = self.drafts[place]
            if draft.client_id is not None:
                wanted |= Q(
                    conversation_id=conversation_id,
                    sender_id=draft.sender_id,
                    client_id=draft.client_id,
                )
        for message in Message.objects.filter(wanted):
            self._remember(message)

    def _remember(self, message: Message) -> None:
        self.by_message_id[message.message_id] = message
        if message.client_id is not None:
            key = (message.conversation_id, message.sender_id, message.client_id)
            self.by_client_id[key] = message

    def _look_up_participants(self, direct: list[UUID]) -> None:
        senders = {draft.sender_id for draft in self.drafts}
        groups = self.conversations.keys() - set(direct)
        wanted = Q(conversation_id__in=direct) | Q(
            conversation_id__in=groups, user_id__in=senders, left_at=None
        )
        for participant in Participant.objects.filter(wanted):
            self.participants[participant.conversation_id, participant.user_id] = participant

    def _look_up_blocks(self, direct: list[UUID]) -> None:
        people = {p.user_id for p in self.participants.values() if p.conversation_id in direct}
        senders = {draft.sender_id for draft in self.drafts}
        if len(people) > 1:
            found = Block.objects.filter(blocker_id__in=people, blocked_id__in=senders)
            self.blocks = set(found.values_list("blocker_id", "blocked_id"))

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

    def decide(self, place: int, draft: Draft) -> None:
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
        if not self.new:
            return
        changed = {message.conversation_id for message in self.new}
        self._bring_back_hidden(changed)
        Message.objects.bulk_create(self.new)
        fields = ["last_seq", "revision", "gen", "active_gen", "active_at", "changed_at"]
        for conversation_id in changed:
            self.conversations[conversation_id].save(update_fields=fields)
        messages_sent(self.new)

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
