"""Questions about conversations; each begins with the viewer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from parley.accounts.models import User
from parley.conversations.models import Block, Conversation, Kind, Participant
from parley.conversations.operations import ConversationNotFound, see_participant
from parley.conversations.seen import Blocked, SeenParticipant
from parley.kernel.database import (
    among,
    columns,
    instant_value,
    pairs,
    rows,
    union_all,
    uuid_value,
)
from parley.kernel.errors import NotFound
from parley.kernel.paging import Page, Position
from parley.kernel.times import from_micros, micros

MOST_NESTED = 50
NESTED = ("conversation_id", "user_id", "member_role", "read_seq", "delivered_seq", "joined_at")


# The conversation's own columns, in words that name the participant's too: else planners may walk
# everybody's conversations in their order, looking for the viewer's.
ACTIVE_GEN = Coalesce("conversation__active_gen", "joined_gen")
ACTIVE_AT = Coalesce("conversation__active_at", "joined_at")


def live_participations(viewer_id: UUID) -> QuerySet[Participant]:
    """The viewer's own rows in the conversations they are in, each with its conversation."""
    return Participant.objects.filter(user_id=viewer_id, left_at=None).select_related(
        "conversation"
    )


OWN_SQL = f"""
SELECT {columns(Participant, "p")}, {columns(Conversation, "c")}
  FROM conversations_participant p
  JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
 WHERE p.user_id = %s AND {{chosen}} AND p.left_at IS NULL
"""  # noqa: S608 - names of ours


def participations_in(viewer_id: UUID, conversation_ids: Collection[UUID]) -> list[Participant]:
    """Return the same of these conversations alone, in no order."""
    if not conversation_ids:
        return []
    return _own(viewer_id, *among("p.conversation_id", conversation_ids))


def _own(
    viewer_id: UUID, chosen: str, parameters: Sequence[Any], *, by_key: bool = False
) -> list[Participant]:
    sql, asked = OWN_SQL.format(chosen=chosen), [viewer_id, *parameters]
    found = pairs(Participant, Conversation, sql, asked, by_key=by_key)
    for mine, conversation in found:
        mine.conversation = conversation
    return [mine for mine, _ in found]


def get_participation(*, viewer: User, conversation_id: UUID) -> Participant:
    """Return the viewer's own row in a conversation, with the conversation.

    :raises ConversationNotFound: they are not in it, or there is no such conversation.
    """
    found = _own(viewer.user_id, "p.conversation_id = %s", [conversation_id], by_key=True)
    if not found:
        raise ConversationNotFound
    return found[0]


def members(conversation: Conversation) -> QuerySet[Participant]:
    """Those in it, longest-standing first. Hiding a direct conversation does not leave it."""
    found = conversation.participants.order_by("joined_at", "user_id")
    if conversation.kind == Kind.DIRECT:
        return found
    found = found.filter(left_at=None)
    # That nobody here has left orders nothing, but PostgreSQL follows the index only if it is said
    # (and MariaDB only if it is not).
    if connection.vendor == "postgresql":
        return found.order_by("left_at", "joined_at", "user_id")
    return found


def list_participants(
    *,
    viewer: User,
    conversation_id: UUID,
    position: Position | None,
    size: int,
    but: UUID | None = None,
) -> Page[SeenParticipant]:
    """Return one page of a conversation's participants, but for one; longest-standing first.

    :raises ConversationNotFound: the viewer is not in it.
    """
    mine = get_participation(viewer=viewer, conversation_id=conversation_id)
    found = _from_joined(members(mine.conversation), position)
    if but is not None:
        found = found.exclude(user_id=but)
    return Page.cut(
        [see_participant(row) for row in found[: size + 1]],
        size=size,
        position=position,
        key=lambda p: (micros(p.joined_at), str(p.user_id)),
    )


def _from_joined(found: QuerySet[Participant], position: Position | None) -> QuerySet[Participant]:
    if position is None:
        return found
    at, user_id = from_micros(int(position.key[0])), UUID(str(position.key[1]))
    if position.backward:
        past = Q(joined_at__lt=at) | Q(joined_at=at, user_id__lt=user_id)
        return found.filter(past, joined_at__lte=at).reverse()
    past = Q(joined_at__gt=at) | Q(joined_at=at, user_id__gt=user_id)
    return found.filter(past, joined_at__gte=at)


def nested_participants(
    conversations: Collection[Conversation],
) -> dict[UUID, list[SeenParticipant]]:
    """Return the first 50 participants of each conversation: one query for all the small ones, one
    for the large.
    """
    nested: dict[UUID, list[SeenParticipant]] = {c.conversation_id: [] for c in conversations}
    small = [c for c in conversations if c.member_count <= MOST_NESTED]
    large = [members(c).values_list(*NESTED)[:MOST_NESTED] for c in conversations if c not in small]
    found = [*_members_of_all(small), *union_all(large)]
    for conversation_id, user_id, role, read_seq, delivered_seq, joined_at in found:
        nested[uuid_value(conversation_id)].append(
            SeenParticipant(
                uuid_value(user_id), role, read_seq, delivered_seq, instant_value(joined_at)
            )
        )
    return nested


MEMBERS_SQL = f"""
SELECT {", ".join(NESTED)} FROM conversations_participant
 WHERE {{chosen}} ORDER BY joined_at, user_id
"""  # noqa: S608 - names of ours


def _members_of_all(conversations: Collection[Conversation]) -> list[tuple[Any, ...]]:
    direct = [c.conversation_id for c in conversations if c.kind == Kind.DIRECT]
    groups = [c.conversation_id for c in conversations if c.kind != Kind.DIRECT]
    terms: list[str] = []
    asked: list[Any] = []
    for ids, more in ((direct, ""), (groups, " AND left_at IS NULL")):
        if ids:
            chosen, parameters = among("conversation_id", ids)
            terms.append(f"({chosen}{more})")
            asked += parameters
    return rows(MEMBERS_SQL.format(chosen=" OR ".join(terms)), asked, by_key=True) if terms else []


def list_blocks(*, viewer: User, position: Position | None, size: int) -> Page[Blocked]:
    """Return one page of the people whom the viewer has blocked."""
    found = Block.objects.filter(blocker_id=viewer.user_id).order_by("blocked_id")
    if position is not None:
        edge = UUID(str(position.key[0]))
        found = (
            found.filter(blocked_id__lt=edge).order_by("-blocked_id")
            if position.backward
            else found.filter(blocked_id__gt=edge)
        )
    blocked = [Blocked(b.blocked_id, b.created_at) for b in found[: size + 1]]
    return Page.cut(blocked, size=size, position=position, key=lambda b: (str(b.user_id),))


def get_block(*, viewer: User, user_id: UUID) -> Blocked:
    """Return the viewer's block of one person.

    :raises NotFound: there is none.
    """
    found = Block.objects.filter(blocker_id=viewer.user_id, blocked_id=user_id).first()
    if found is None:
        raise NotFound
    return Blocked(found.blocked_id, found.created_at)
