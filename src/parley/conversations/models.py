"""Who talks with whom, and the fence that numbers the generations of changes."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models import F, Q

from parley.accounts.models import User
from parley.kernel.fields import ExactTextField


class Kind(models.TextChoices):
    DIRECT = "direct"
    GROUP = "group"


class MemberRole(models.TextChoices):
    OWNER = "owner"
    MEMBER = "member"


class Conversation(models.Model):
    """Two people or many. Whoever changes it or its messages holds this row's lock.

    ``last_seq`` numbers messages, ``revision`` every change; ``gen`` is the generation of the last
    change, ``active_gen`` and ``active_at`` those of the last message (else of the creation).
    """

    conversation_id: models.UUIDField[UUID, UUID] = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    title = models.CharField(max_length=255, blank=True, default="")
    direct_key = ExactTextField(max_length=64, null=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    last_seq = models.BigIntegerField(default=0)
    revision = models.BigIntegerField(default=0)
    gen = models.BigIntegerField()
    active_gen = models.BigIntegerField()
    active_at = models.DateTimeField()
    members_rev = models.BigIntegerField(default=0)
    member_count = models.BigIntegerField(default=0)
    purged_seq = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["direct_key"], name="conversation_direct_once_a_pair"),
            models.CheckConstraint(
                condition=Q(kind=Kind.DIRECT, direct_key__isnull=False)
                | Q(kind=Kind.GROUP, direct_key__isnull=True),
                name="conversation_direct_has_its_pair",
            ),
            models.CheckConstraint(
                condition=Q(last_seq__lte=F("revision")), name="conversation_messages_are_changes"
            ),
        ]
        indexes = [
            # What changed since a generation: the hub, and repair. No other hot column is indexed,
            # so that PostgreSQL can update rows in place.
            models.Index(fields=["gen"], name="conversation_gen"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.conversation_id)


class Participant(models.Model):
    """One person in one conversation: membership, and how far they have read.

    ``read_seq`` is the receipt that others see and only rises; ``watermark`` is the person's own.
    ``version`` counts the person's own changes; ``archived_seq`` is where the conversation stood
    when archived.
    """

    pk = models.CompositePrimaryKey("user_id", "conversation_id")
    conversation = models.ForeignKey(
        Conversation, models.PROTECT, related_name="participants", db_index=False
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="participations", db_index=False)
    member_role = models.CharField(
        max_length=6, choices=MemberRole.choices, default=MemberRole.MEMBER
    )
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()
    gen = models.BigIntegerField()
    version = models.BigIntegerField(default=0)
    joined_gen = models.BigIntegerField()
    joined_revision = models.BigIntegerField(default=0)
    visible_after = models.BigIntegerField(default=0)
    read_seq = models.BigIntegerField(default=0)
    watermark = models.BigIntegerField(default=0)
    delivered_seq = models.BigIntegerField(default=0)
    muted_until = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    archived_seq = models.BigIntegerField(null=True)
    pinned_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(watermark__lte=F("read_seq")), name="participant_receipt_covers_own"
            ),
            models.CheckConstraint(
                condition=Q(archived_at__isnull=True) | Q(archived_seq__isnull=False),
                name="participant_archived_somewhere",
            ),
        ]
        indexes = [
            # The members of a conversation, longest-standing first.
            models.Index(
                fields=["conversation", "left_at", "joined_at", "user"], name="participant_members"
            ),
            # What I changed of my own since a generation: sync of who has very many.
            models.Index(fields=["user", "gen"], name="participant_own_changes"),
            # What anyone changed of their own since a generation: live devices whose hint was lost.
            models.Index(fields=["gen"], name="participant_gen"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.conversation_id}"

    def write(self, *fields: str) -> None:
        """Write these fields of a row that is stored.

        ``save`` compares the key as a pair; MySQL and MariaDB read, and lock, the whole table then.
        """
        found = Participant.objects.filter(
            user_id=self.user_id, conversation_id=self.conversation_id
        )
        found.update(**{name: getattr(self, name) for name in fields})


class Block(models.Model):
    """Someone refuses another's direct messages."""

    pk = models.CompositePrimaryKey("blocker_id", "blocked_id")
    blocker = models.ForeignKey(User, models.CASCADE, related_name="blocks")
    blocked = models.ForeignKey(User, models.CASCADE, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.blocker_id} blocks {self.blocked_id}"


class Fence(models.Model):
    """The one row that numbers generations: all changes of ``settled`` and before are committed."""

    current = models.BigIntegerField(default=1)
    settled = models.BigIntegerField(default=0)
    ticked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.settled} settled, {self.current} current"


class Generation(models.Model):
    """A row to lock where a database has no advisory locks (MySQL, MariaDB)."""

    g = models.BigIntegerField(primary_key=True)

    def __str__(self) -> str:
        return str(self.g)


class Epoch(models.Model):
    """A stretch of one history, from a generation on; a restore from backup begins another.

    ``server`` is what the database server called itself then; another name means another history.
    """

    from_generation = models.BigIntegerField(primary_key=True)
    nonce = models.CharField(max_length=32)
    server = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.nonce} from {self.from_generation}"
