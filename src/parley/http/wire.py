"""What the domain's values look like in JSON: the canonical shapes, their keys in order.

Plain functions from values to values that any JSON encoder writes as they are. Serializers, streams
and lanes all end here, so a shape is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from parley.accounts.people import Person
from parley.conversations.seen import Blocked, Me, SeenParticipant
from parley.messaging.seen import (
    News,
    ReadState,
    Receipt,
    SeenConversation,
    SeenMark,
    SeenMessage,
    UnreadTotal,
)

Json = dict[str, Any]


@lru_cache(maxsize=10_000)  # of people, of joining: the same ones again and again
def instant(at: datetime) -> str:
    """Return an instant in UTC as ISO 8601, always with microseconds and ``Z``."""
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def instant_or_none(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def id_or_none(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def person(shown: Person) -> Json:
    """Return a user object."""
    return {
        "user_id": str(shown.user_id),
        "username": shown.username,
        "first_name": shown.first_name,
        "last_name": shown.last_name,
        "email": shown.email,
        "phone_number": shown.phone_number,
        "role": shown.role,
        "created_at": instant(shown.created_at),
    }


@dataclass(frozen=True, slots=True)
class People:
    """The people named in one answer: written out where they are named, or once beside it
    (``?users=map``).
    """

    known: Mapping[UUID, Json]
    compact: bool = False

    @classmethod
    def of(cls, people: Mapping[UUID, Person], *, compact: bool = False) -> People:
        return cls({user_id: person(shown) for user_id, shown in people.items()}, compact)

    def user(self, user_id: UUID) -> Json | str:
        """Return what stands where a user is named."""
        return str(user_id) if self.compact else self.known[user_id]

    def member(self, user_id: UUID) -> Json:
        """Return what a participant begins with: the user's own fields, or the id alone."""
        return {"user": str(user_id)} if self.compact else self.known[user_id]

    def beside(self) -> Json:
        """Return what stands beside the answer: everyone by id, if not written out within."""
        if not self.compact:
            return {}
        return {"users": {str(user_id): self.known[user_id] for user_id in sorted(self.known)}}


def message(seen: SeenMessage, people: People) -> Json:
    """Return a message object."""
    return {
        "message_id": str(seen.message_id),
        "sender": people.user(seen.sender_id),
        "message_body": seen.message_body,
        "sent_at": instant(seen.sent_at),
        "conversation": str(seen.conversation_id),
        "subject": seen.subject,
        "seq": seen.seq,
        "revision": seen.revision,
        "client_id": seen.client_id,
        "reply_to": id_or_none(seen.reply_to),
        "edited_at": instant_or_none(seen.edited_at),
        "retracted_at": instant_or_none(seen.retracted_at),
        "read": seen.read,
        "starred": seen.starred,
    }


def participant(seen: SeenParticipant, people: People) -> Json:
    """Return a participant: a user with their place in the conversation."""
    return {
        **people.member(seen.user_id),
        "member_role": seen.member_role,
        "read_seq": seen.read_seq,
        "delivered_seq": seen.delivered_seq,
        "joined_at": instant(seen.joined_at),
    }


def me(seen: Me) -> Json:
    """Return the viewer's own side of a conversation."""
    return {
        "member_role": seen.member_role,
        "read_seq": seen.read_seq,
        "watermark": seen.watermark,
        "muted_until": instant_or_none(seen.muted_until),
        "archived_at": instant_or_none(seen.archived_at),
        "pinned_at": instant_or_none(seen.pinned_at),
    }


def conversation(seen: SeenConversation, people: People) -> Json:
    """Return a conversation object, with ``reset`` where a syncing client must take it as new."""
    last = seen.last_message
    shown: Json = {
        "conversation_id": str(seen.conversation_id),
        "participants": [participant(each, people) for each in seen.participants],
        "created_at": instant(seen.created_at),
        "messages": [message(each, people) for each in seen.messages],
        "kind": seen.kind,
        "title": seen.title,
        "last_seq": seen.last_seq,
        "revision": seen.revision,
        "changed_at": instant(seen.changed_at),
        "participant_count": seen.participant_count,
        "unread_count": seen.unread_count,
        "unread_capped": seen.unread_capped,
        "last_message": None if last is None else message(last, people),
        "me": me(seen.me),
    }
    return shown | {"reset": True} if seen.reset else shown


def receipt(seen: Receipt, people: People) -> Json:
    """Return what one participant has had of a message."""
    return {"user": people.user(seen.user_id), "delivered": seen.delivered, "read": seen.read}


def block(seen: Blocked, people: People) -> Json:
    """Return someone whom the viewer has blocked."""
    return {"user": people.user(seen.user_id), "created_at": instant(seen.created_at)}


def read_state(state: ReadState) -> Json:
    """Return how far the viewer has read."""
    return {
        "read_seq": state.read_seq,
        "watermark": state.watermark,
        "unread_count": state.unread_count,
    }


def unread_total(total: UnreadTotal) -> Json:
    """Return the viewer's unread total."""
    return {
        "messages": total.messages,
        "conversations": total.conversations,
        "capped": total.capped,
    }


def mark(seen: SeenMark) -> Json:
    """Return what the viewer did with one message."""
    return {
        "message_id": str(seen.message_id),
        "conversation": str(seen.conversation_id),
        "read": seen.read,
        "starred": seen.starred,
    }


def news(found: News, people: People) -> Json:
    """Return one answer of ``sync``."""
    return {
        "conversations": [conversation(each, people) for each in found.conversations],
        "marks": [mark(each) for each in found.marks],
        "removed": [
            {"conversation": str(conversation_id), "message_id": str(message_id)}
            for conversation_id, message_id in found.removed
        ],
        "left": [str(conversation_id) for conversation_id in found.left],
        "cursor": found.cursor,
        "more": found.more,
        **people.beside(),
    }


def page(results: Iterable[Json], *, following: str | None, previous: str | None) -> Json:
    """Return a page object; the links are full addresses."""
    return {"next": following, "previous": previous, "results": list(results)}
