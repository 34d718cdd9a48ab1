"""How many messages someone sees: from positions and marks, and never by walking a history."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from parley.accounts.models import User
from parley.conversations import queries as conversations
from parley.conversations.models import Participant
from parley.messaging.models import Flag, Mark, flagged
from parley.messaging.sight import first_hidden
from parley.messaging.unread import CAP, SCAN

CHUNK = 200
MOST_CHUNKS = 25


def count_messages(*, viewer: User, conversation_id: UUID | None = None, most: int = CAP) -> int:
    """Return how many messages the viewer sees, in one conversation or in all.

    ``most`` means "at least".
    """
    found = conversations.live_participations(viewer.user_id)
    if conversation_id is not None:
        found = found.filter(conversation_id=conversation_id)
    latest = found.order_by("-conversation__active_at", "-conversation_id")
    counted = 0
    for chunk in range(MOST_CHUNKS):
        rows = list(latest[chunk * CHUNK : (chunk + 1) * CHUNK])
        counted += _count(viewer.user_id, rows, most)
        if counted >= most or len(rows) < CHUNK:
            break
    return min(counted, most)


def _count(viewer_id: UUID, rows: Sequence[Participant], most: int) -> int:
    hidden = {mine.conversation_id: first_hidden(mine) for mine in rows}
    there = sum(mine.conversation.last_seq - hidden[mine.conversation_id] for mine in rows)
    removed = Mark.objects.filter(
        user_id=viewer_id, conversation_id__in=list(hidden), flags__in=flagged(Flag.REMOVED)
    ).values_list("conversation_id", "seq")[: SCAN * most]
    return there - sum(1 for where, seq in removed if seq > hidden[where])
