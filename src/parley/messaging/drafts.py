"""What someone wants to send, before it is a message."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

from parley.kernel import ids
from parley.kernel.errors import Invalid
from parley.kernel.text import check_text

LONGEST_SUBJECT = 255
LONGEST_CLIENT_ID = 64


class EmptyClientId(Invalid):
    code = "blank"
    message = "A client id may not be empty."


@dataclass(frozen=True, slots=True)
class Draft:
    """One message to be sent into a conversation, or to people.

    With ``recipient_ids`` it goes into the one direct conversation of the pair (of nobody else:
    into the one with oneself), or, to two or more others, into a new group. Its ids are settled
    here, once, and stay the same over all attempts to store it: ``new_group_id`` and
    ``message_id``.
    """

    sender_id: UUID
    message_body: str
    subject: str = ""
    client_id: str | None = None
    reply_to: UUID | None = None
    conversation_id: UUID | None = None
    recipient_ids: tuple[UUID, ...] = ()
    others: tuple[UUID, ...] = field(init=False)
    new_group_id: UUID | None = field(init=False)
    message_id: UUID = field(init=False)

    def __post_init__(self) -> None:
        unique = dict.fromkeys(self.recipient_ids)
        unique.pop(self.sender_id, None)
        object.__setattr__(self, "others", tuple(unique))
        object.__setattr__(self, "new_group_id", self._group_id())
        object.__setattr__(self, "message_id", ids.new_id(shard=self._shard()))

    def _group_id(self) -> UUID | None:
        if self.conversation_id is not None or len(self.others) < 2:  # noqa: PLR2004 - a group
            return None
        return ids.group_id(self.sender_id, self.client_id) if self.client_id else ids.new_id()

    def _shard(self) -> int:
        known = self.conversation_id or self.new_group_id
        return ids.shard_of(known or ids.direct_conversation_id(self.direct_key))

    @property
    def where(self) -> UUID | bytes:
        """What names the conversation it goes into: an id, or the key of a pair."""
        return self.conversation_id or self.new_group_id or self.direct_key

    @property
    def direct_key(self) -> bytes:
        """The key of the direct conversation it goes into, if it goes into one by its people."""
        return ids.direct_key(self.sender_id, self.others[0] if self.others else self.sender_id)

    def check(self, *, longest: int) -> None:
        """Refuse text that may not be stored.

        :raises Invalid: with ``attr`` naming the field.
        """
        check_text(self.message_body, attr="message_body", longest=longest)
        check_text(self.subject, attr="subject", longest=LONGEST_SUBJECT, may_be_blank=True)
        if self.client_id is not None:
            if not self.client_id:
                raise EmptyClientId(attr="client_id")
            check_text(
                self.client_id, attr="client_id", longest=LONGEST_CLIENT_ID, may_be_blank=True
            )

    def fingerprint(self, conversation_id: UUID) -> bytes:
        """Return the digest (SHA-256) that tells a retry from other content under the client id."""
        digest = hashlib.sha256(conversation_id.bytes)
        for text in (self.subject, self.message_body):
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(8) + encoded)
        digest.update(self.reply_to.bytes if self.reply_to else b"")
        digest.update(self.named)
        return digest.digest()

    @property
    def named(self) -> bytes:
        """Who is named as part of the content: the others of a new group."""
        return (
            b"".join(sorted(person.bytes for person in self.others)) if self.new_group_id else b""
        )
