"""Bringing conversations over from another system, within the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley.conversations.fence import Entered
from parley.conversations.models import Conversation, Kind, MemberRole, Participant
from parley.kernel import ids

Pair = tuple[UUID, UUID]
PAIR = 2


@dataclass(frozen=True, slots=True)
class OldConversation:
    """A conversation as another system kept it; ``members`` in the order in which they joined."""

    conversation_id: UUID
    members: tuple[UUID, ...]
    created_at: datetime


def import_conversations(old: Sequence[OldConversation], *, entered: Entered) -> dict[UUID, UUID]:
    """Create conversations, and return the id of each by its old one, which is kept if it is free.

    The first of two people is their direct conversation; whatever they had besides is a group. The
    first member of a group owns it.
    """
    keys = {each.conversation_id: direct_key(each.members) for each in old}
    standing = _by_key([key for key in keys.values() if key])
    taken = set(
        Conversation.objects.filter(conversation_id__in=list(keys)).values_list(
            "conversation_id", flat=True
        )
    )
    found: dict[UUID, UUID] = {}
    new: list[tuple[Conversation, Sequence[UUID]]] = []
    for each in old:
        key = keys[each.conversation_id]
        if key in standing:
            key = None
        chosen = ids.new_id() if each.conversation_id in taken else each.conversation_id
        if key is not None:
            standing[key] = chosen
        found[each.conversation_id] = chosen
        new.append(
            (_conversation(chosen, key, each.members, each.created_at, entered), each.members)
        )
    _create(new, entered)
    return found


def direct_key(members: Sequence[UUID]) -> str | None:
    """Return the key of the direct conversation that these people could have, if they could."""
    return ids.direct_key(*members).hex() if len(members) == PAIR else None


def ensure_pairs(began: Mapping[Pair, datetime], *, entered: Entered) -> dict[Pair, UUID]:
    """Return the id of each pair's direct conversation; one that is missing begins at that time.

    :raises IntegrityError: someone opened one of them meanwhile; the same again goes well.
    """
    keys = {pair: ids.direct_key(*pair) for pair in began}
    standing = _by_key({key.hex() for key in keys.values()})
    new = []
    for pair, at in began.items():
        key = keys[pair].hex()
        if key not in standing:
            standing[key] = ids.direct_conversation_id(keys[pair])
            people = tuple(dict.fromkeys(pair))
            new.append((_conversation(standing[key], key, people, at, entered), people))
    _create(new, entered)
    return {pair: standing[key.hex()] for pair, key in keys.items()}


def _by_key(keys: Collection[str]) -> dict[str, UUID]:
    found = Conversation.objects.filter(direct_key__in=keys)
    return {str(key): one for key, one in found.values_list("direct_key", "conversation_id")}


def _conversation(
    conversation_id: UUID, key: str | None, members: Sequence[UUID], at: datetime, entered: Entered
) -> Conversation:
    return Conversation(
        conversation_id=conversation_id,
        kind=Kind.DIRECT if key else Kind.GROUP,
        direct_key=key,
        created_at=at,
        changed_at=at,
        active_at=at,
        gen=entered.g,
        active_gen=entered.g,
        member_count=len(members),
    )


def _create(new: Sequence[tuple[Conversation, Sequence[UUID]]], entered: Entered) -> None:
    Conversation.objects.bulk_create([conversation for conversation, _ in new])
    Participant.objects.bulk_create(
        [
            _participant(
                conversation, user_id, entered, owns=not place and not conversation.direct_key
            )
            for conversation, members in new
            for place, user_id in enumerate(members)
        ],
        batch_size=1_000,
    )


def _participant(
    conversation: Conversation, user_id: UUID, entered: Entered, *, owns: bool
) -> Participant:
    return Participant(
        conversation=conversation,
        user_id=user_id,
        member_role=MemberRole.OWNER if owns else MemberRole.MEMBER,
        joined_at=conversation.created_at,
        changed_at=conversation.created_at,
        gen=entered.g,
        joined_gen=entered.g,
    )
