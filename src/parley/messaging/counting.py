"""How many messages someone sees: from positions and marks, and never by walking a history."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from parley.accounts.models import User
from parley.conversations import queries as conversations
from parley.conversations.models import Participant
from parley.kernel.database import among, rows, uuid_value
from parley.messaging.models import Flag, flagged
from parley.messaging.sight import first_hidden
from parley.messaging.unread import CAP, SCAN

CHUNK = 200
REMOVED_SQL = f"""
SELECT conversation_id, seq FROM messaging_mark
 WHERE user_id = %s AND {{chosen}} AND flags IN ({", ".join(map(str, flagged(Flag.REMOVED)))})
 LIMIT %s
"""  # noqa: S608 - numbers of ours
MOST_CHUNKS = 25


def count_history(*, viewer: User, mine: Participant, most: int = CAP) -> int:
    """Return the same for one conversation, by the viewer's own row in it."""
    return min(_count(viewer.user_id, [mine], most), most)


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
        some = list(latest[chunk * CHUNK : (chunk + 1) * CHUNK])
        counted += _count(viewer.user_id, some, most)
        if counted >= most or len(some) < CHUNK:
            break
    return min(counted, most)


def _count(viewer_id: UUID, some: Sequence[Participant], most: int) -> int:
    hidden = {mine.conversation_id: first_hidden(mine) for mine in some}
    there = sum(mine.conversation.last_seq - hidden[mine.conversation_id] for mine in some)
    if not there:
        return 0
    chosen, parameters = among("conversation_id", hidden)
    removed = rows(REMOVED_SQL.format(chosen=chosen), [viewer_id, *parameters, SCAN * most])
    return there - sum(1 for where, seq in removed if seq > hidden[uuid_value(where)])
