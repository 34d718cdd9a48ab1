"""Editing and retracting: what becomes of a message for everybody."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from parley.accounts import audit
from parley.accounts.models import Role, User
from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, tell
from parley.conversations.fence import Entered
from parley.conversations.models import Conversation, MemberRole
from parley.kernel.database import in_transaction
from parley.kernel.text import check_text
from parley.messaging.models import Message
from parley.messaging.refusals import MayNotRetract, MessageNotFound, NotTheSender, Retracted
from parley.messaging.seen import SeenMessage
from parley.messaging.sight import find_message, get_message, seen_as


@in_transaction
def edit_message(*, editor: User, message_id: UUID, message_body: str) -> SeenMessage:
    """Change the words of a message; the same words again change nothing.

    :raises MessageNotFound: it is not the editor's to see.
    :raises NotTheSender: someone else sent it.
    :raises Retracted: there is nothing left to edit.
    """
    check_text(message_body, attr="message_body", longest=settings.PARLEY.message_length)
    entered = fence.enter()
    found = get_message(viewer=editor, message_id=message_id)
    if found.sender_id != editor.user_id:
        raise NotTheSender
    conversation, message = _lock(found.conversation_id, message_id)
    if message.retracted_at is not None:
        raise Retracted
    if message.message_body != message_body:
        message.message_body = message_body
        message.edited_at = max(entered.now, message.sent_at)
        _change(conversation, message, entered, "message_body", "edited_at")
    return seen_as(message, read=found.read, starred=found.starred)


@in_transaction
def retract_message(*, actor: User, message_id: UUID) -> None:
    """Empty a message for everybody; a tombstone with its ``seq`` stays. Twice is once.

    An admin may retract what they cannot see; it is recorded.

    :raises MessageNotFound: there is none, or it is not the actor's to see.
    :raises MayNotRetract: the actor is neither its sender, an owner of the group nor an admin.
    """
    entered = fence.enter()
    conversation, message = _lock(_place_to_retract(actor, message_id), message_id)
    if message.retracted_at is not None:
        return
    message.message_body = message.subject = ""
    message.retracted_at = max(entered.now, message.sent_at)
    _change(conversation, message, entered, "message_body", "subject", "retracted_at")
    if actor.user_id != message.sender_id:
        audit.record(
            actor=actor,
            action="message.retract",
            target_kind="message",
            target_id=message.message_id,
            at=entered.now,
            conversation=str(message.conversation_id),
            sender=str(message.sender_id),
        )


def _place_to_retract(actor: User, message_id: UUID) -> UUID:
    """Return the conversation of a message that the actor may retract."""
    if actor.role == Role.ADMIN:
        places = Message.objects.filter(message_id=message_id)
        place = places.values_list("conversation_id", flat=True).first()
        if place is None:
            raise MessageNotFound
        return place
    message, role = find_message(viewer=actor, message_id=message_id)
    if message.sender_id != actor.user_id and role != MemberRole.OWNER:
        raise MayNotRetract
    return message.conversation_id


def _lock(conversation_id: UUID, message_id: UUID) -> tuple[Conversation, Message]:
    """Lock a message's conversation, and read the message under that lock."""
    conversation = conversations.lock_one(conversation_id)
    return conversation, Message.objects.get(message_id=message_id)


def _change(conversation: Conversation, message: Message, entered: Entered, *fields: str) -> None:
    conversations.stamp(conversation, entered)
    message.revision = conversation.revision
    message.gen = conversation.gen
    message.save(update_fields=["revision", "gen", *fields])
    tell(
        Event(
            Type.MESSAGES,
            message.conversation_id,
            message.revision,
            message_id=message.message_id,
            seq=message.seq,
        )
    )
