"""Messages, and what one person did with one of them."""

from __future__ import annotations

from uuid import UUID

from django.db import models

from parley.accounts.models import User
from parley.conversations.models import Conversation
from parley.kernel.fields import ExactTextField


class Message(models.Model):
    """What was said; ``seq`` orders it in its conversation, ``revision`` tells its last change.

    No database foreign keys: they cost a third of a batched insert, and the sending transaction
    holds the conversation's lock and has just read the participant.
    """

    message_id: models.UUIDField[UUID, UUID] = models.UUIDField(primary_key=True)
    conversation = models.ForeignKey(
        Conversation,
        models.DO_NOTHING,
        related_name="messages",
        db_constraint=False,
        db_index=False,
    )
    sender = models.ForeignKey(
        User, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    seq = models.BigIntegerField()
    revision = models.BigIntegerField()
    gen = models.BigIntegerField()
    subject = models.CharField(max_length=255, blank=True, default="")
    message_body = models.TextField()
    sent_at = models.DateTimeField()
    client_id = ExactTextField(max_length=64, null=True)
    fingerprint = models.BinaryField(max_length=32, null=True)
    reply_to: models.UUIDField[UUID | None, UUID | None] = models.UUIDField(null=True)
    edited_at = models.DateTimeField(null=True)
    retracted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_seq_once"),
            models.UniqueConstraint(
                fields=["conversation", "revision"], name="message_revision_once"
            ),
            # A retry is safe for ever: the same client id names the same message.
            models.UniqueConstraint(
                fields=["conversation", "sender", "client_id"], name="message_client_id_once"
            ),
        ]
        indexes = [
            # Lists across conversations seek by time in each of them.
            models.Index(fields=["conversation", "sent_at"], name="message_by_time"),
            # The sent box.
            models.Index(fields=["sender", "sent_at", "message_id"], name="message_sent_box"),
        ]

    def __str__(self) -> str:
        return str(self.message_id)


class Flag(models.IntegerChoices):
    """Bits of :attr:`Mark.flags`."""

    READ = 1
    KEPT = 2
    REMOVED = 4
    STARRED = 8


def flagged(flag: Flag) -> list[int]:
    """Return every value of ``Mark.flags`` that holds this flag: what an index can look up."""
    return [flags for flags in range(2 * Flag.STARRED) if flags & flag]


class Mark(models.Model):
    """What one person did with one message against the watermark's rule; no row: as it says.

    ``READ`` stands only above the watermark, ``KEPT`` (unread on purpose) only at or below it. Rows
    stay when their flags go to 0, so that the person's other devices learn of it.
    """

    pk = models.CompositePrimaryKey("user_id", "conversation_id", "seq")
    user = models.ForeignKey(
        User, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    conversation = models.ForeignKey(
        Conversation, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    seq = models.BigIntegerField()
    message_id: models.UUIDField[UUID, UUID] = models.UUIDField()
    flags = models.SmallIntegerField(default=0)
    version = models.BigIntegerField()
    gen = models.BigIntegerField()
    # The message's ``sent_at`` while it is starred: the starred box is a walk along the index.
    starred_sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # What I changed in a conversation since a version: my other devices' sync.
            models.Index(fields=["user", "conversation", "version"], name="mark_by_version"),
            # What I keep unread, or have starred or read out of order, in a conversation.
            models.Index(fields=["user", "conversation", "flags", "seq"], name="mark_by_flags"),
            models.Index(fields=["user", "starred_sent_at", "message_id"], name="mark_starred_box"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.conversation_id} {self.seq}"


class Following(models.Model):
    """The one row of who follows: the listings hold every change of ``followed`` and before."""

    followed = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.followed} followed"


class HeavyReader(models.Model):
    """Someone in so many conversations that their lists are kept ready (:class:`Listing`)."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    is_complete = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.user_id)


class Place(models.IntegerChoices):
    """In which list a conversation stands; a wide one has too many heavy readers to follow."""

    INBOX = 0
    ARCHIVED = 1
    LEFT = 2
    WIDE = 3


def shelf(place: Place, *, unread: bool, is_group: bool) -> int:
    """Return the value of ``Listing.shelf``; of what is wide nothing else is known."""
    if place is Place.WIDE:
        return 4 * Place.WIDE
    return 4 * place + 2 * unread + is_group


WIDE = shelf(Place.WIDE, unread=False, is_group=False)


class Listing(models.Model):
    """Where one conversation stands in the lists of one heavy reader: derived, and only found by.

    As it was when ``Following.followed`` was settled, or later; whoever reads looks at what changed
    since by itself.
    """

    pk = models.CompositePrimaryKey("user_id", "conversation_id")
    user = models.ForeignKey(
        User, models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    shelf = models.SmallIntegerField()
    active_gen = models.BigIntegerField()
    active_at = models.DateTimeField()
    changed_gen = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(
                fields=["user", "shelf", "active_gen", "active_at", "conversation"],
                name="listing_inbox",
            ),
            # Lists of messages across conversations.
            models.Index(
                fields=["user", "shelf", "active_at", "conversation"], name="listing_by_time"
            ),
            models.Index(
                fields=["user", "changed_gen", "conversation"], name="listing_changed_since"
            ),
            # Who has to be told of a change.
            models.Index(fields=["conversation", "shelf"], name="listing_heavy_readers"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} of {self.user_id}"
