"""Questions for live delivery: who of the people online may hear of a conversation, and what.

They are asked for many conversations at once, and cost a constant number of queries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from parley.accounts.models import Role
from parley.conversations.models import Conversation, Kind, Participant
from parley.kernel.database import union_all, uuid_value
from parley.messaging.models import Flag, Mark, Message

# Up to so many members all are read and those online picked out; beyond, those online are asked
# for.
FEW_MEMBERS = 500
ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Listener:
    """Someone online who is in a conversation, and what of it they may hear."""

    user_id: UUID
    is_admin: bool
    visible_after: int
    watermark: int
    joined_gen: int
    version: int


OWN_CHANGE = (
    "user_id",
    "conversation_id",
    "version",
    "joined_gen",
    "left_at",
    "visible_after",
    "conversation__revision",
    "conversation__kind",
)


@dataclass(frozen=True, slots=True)
class OwnChange:
    """Someone changed something of their own in a conversation, now for the ``version``-th time."""

    user_id: UUID
    conversation_id: UUID
    version: int
    joined_gen: int
    revision: int  # the conversation's
    is_hidden: bool  # it is a direct one that they hid
    was_hidden: bool  # they did once


def find_conversations(conversation_ids: Collection[UUID]) -> dict[UUID, Conversation]:
    return Conversation.objects.in_bulk(list(conversation_ids))


def list_changed_since(gen: int, *, most: int) -> dict[UUID, int]:
    """Return the revisions of the conversations that changed after ``gen``.

    Also of those that changed again since: one that never rests must not wait until it does.
    """
    found = Conversation.objects.filter(gen__gt=gen)
    return dict(found.values_list("conversation_id", "revision")[:most])


def list_own_changes(gen: int, *, most: int) -> list[OwnChange] | None:
    """Return what people changed of their own after ``gen``; None where more than ``most`` did."""
    found = Participant.objects.filter(gen__gt=gen, version__gt=0)
    found = found.select_related("conversation").only(*OWN_CHANGE)[: most + 1]
    changes = [_own_change(mine) for mine in found]
    return changes if len(changes) <= most else None


def _own_change(mine: Participant) -> OwnChange:
    is_direct = mine.conversation.kind == Kind.DIRECT
    return OwnChange(
        mine.user_id,
        mine.conversation_id,
        mine.version,
        mine.joined_gen,
        mine.conversation.revision,
        is_hidden=is_direct and mine.left_at is not None,
        was_hidden=is_direct and mine.left_at is None and mine.visible_after > 0,
    )


def list_listeners(
    conversations: Iterable[Conversation], *, online: Collection[UUID]
) -> dict[UUID, dict[UUID, Listener]]:
    """Return for each conversation those of the people online who are in it."""
    few = [c.conversation_id for c in conversations if c.member_count <= FEW_MEMBERS]
    many = [c.conversation_id for c in conversations if c.member_count > FEW_MEMBERS]
    asked = [Q(conversation_id__in=few)] if few else []
    people = list(online)
    for start in range(0, len(people) if many else 0, ASKED_AT_ONCE):
        chunk = people[start : start + ASKED_AT_ONCE]
        asked.append(Q(conversation_id__in=many, user_id__in=chunk))
    found: dict[UUID, dict[UUID, Listener]] = {}
    for wanted in asked:
        rows = Participant.objects.filter(wanted, left_at=None).values_list(
            "conversation_id",
            "user_id",
            "user__role",
            "visible_after",
            "watermark",
            "joined_gen",
            "version",
        )
        for conversation_id, user_id, role, *place in rows:
            if user_id in online:
                listener = Listener(user_id, role == Role.ADMIN, *place)
                found.setdefault(conversation_id, {})[user_id] = listener
    return found


def list_leavers(
    conversations: Iterable[Conversation], *, online: Collection[UUID], settled: int
) -> dict[UUID, frozenset[UUID]]:
    """Return who of the people online left each conversation in the generations after one."""
    ids = [conversation.conversation_id for conversation in conversations]
    if not ids:
        return {}
    rows = Participant.objects.filter(
        conversation_id__in=ids, left_at__isnull=False, gen__gt=settled
    ).values_list("conversation_id", "user_id")
    found: dict[UUID, set[UUID]] = {}
    for conversation_id, user_id in rows:
        if user_id in online:
            found.setdefault(conversation_id, set()).add(user_id)
    return {where: frozenset(people) for where, people in found.items()}


def list_changed_messages(
    since: Mapping[UUID, int | None], *, settled: int, most: int
) -> dict[UUID, list[Message]]:
    """Return what changed of each conversation after a revision, by revision; at most ``most`` + 1.

    Nothing of generation ``settled`` and before; where the revision is None, that alone decides.
    """
    parts = [
        Message.objects.filter(conversation_id=conversation_id, revision__gt=revision or 0)
        .order_by("-revision" if revision is None else "revision")
        .values_list("message_id", "gen")[: most + 1]
        for conversation_id, revision in since.items()
    ]
    ids = [uuid_value(message_id) for message_id, gen in union_all(parts) if gen > settled]
    found: dict[UUID, list[Message]] = {}
    for message in Message.objects.filter(message_id__in=ids).order_by("revision"):
        found.setdefault(message.conversation_id, []).append(message)
    return found


def list_settled_revisions(conversation_ids: Collection[UUID], *, settled: int) -> dict[UUID, int]:
    """Return of each conversation the revision of the last message of ``settled`` and before."""
    parts = [
        Message.objects.filter(conversation_id=conversation_id, gen__lte=settled)
        .order_by("-revision")
        .values_list("conversation_id", "revision")[:1]
        for conversation_id in conversation_ids
    ]
    return {uuid_value(where): revision for where, revision in union_all(parts)}


def list_marks(
    messages: Mapping[UUID, Collection[Message]], listeners: Mapping[UUID, Collection[UUID]]
) -> dict[tuple[UUID, UUID], int]:
    """Return the flags that listeners have set on messages, by (person, message)."""
    wanted = Q()
    for conversation_id, changed in messages.items():
        wanted |= Q(
            user_id__in=list(listeners.get(conversation_id, ())),
            conversation_id=conversation_id,
            seq__in=[message.seq for message in changed],
        )
    if not wanted:
        return {}
    rows = Mark.objects.filter(wanted).exclude(flags=0)
    return {(u, m): flags for u, m, flags in rows.values_list("user_id", "message_id", "flags")}


def list_recent_authors(
    upto: Mapping[UUID, int], online: Collection[UUID], *, most: int
) -> dict[UUID, dict[UUID, list[int]]]:
    """Return which of the ``most`` messages up to a ``seq`` are of people who are online.

    For each conversation, by author; only authors who are in it still.
    """
    conversations = find_conversations(upto)
    listeners = list_listeners(conversations.values(), online=online)
    found: dict[UUID, dict[UUID, list[int]]] = {}
    for where, last in upto.items():
        wrote = Message.objects.filter(
            conversation_id=where, seq__gt=last - most, seq__lte=last
        ).values_list("sender_id", "seq")
        for sender_id, seq in wrote:
            if sender_id in listeners.get(where, {}):
                found.setdefault(where, {}).setdefault(sender_id, []).append(seq)
    return found


def is_heard(message: Message, listener: Listener, flags: int) -> bool:
    """Whether a listener may hear of a message at all."""
    return message.seq > listener.visible_after and not flags & Flag.REMOVED
