"""Who shares a conversation with whom: what accounts ask where contact details follow from it."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from parley.accounts.models import User
from parley.conversations.models import Kind, Participant

# Whoever hides a direct conversation is in it still.
IN_IT = Q(left_at=None) | Q(conversation__kind=Kind.DIRECT)


def sharing_with(viewer_id: UUID, user_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the people who are in a conversation that the viewer is in."""
    mine = Participant.objects.filter(
        IN_IT, user_id=viewer_id, conversation_id=OuterRef("conversation_id")
    )
    theirs = Participant.objects.filter(IN_IT, Exists(mine), user_id=OuterRef("user_id"))
    found = User.objects.filter(Exists(theirs), user_id__in=user_ids)
    return set(found.values_list("user_id", flat=True))
