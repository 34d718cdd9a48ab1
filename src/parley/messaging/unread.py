"""How much is unread: derived from the watermark and the marks, at a bounded cost, and never
stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest

from parley.accounts.models import User
from parley.conversations import queries as conversations
from parley.conversations.models import Participant
from parley.kernel.database import rows, uuid_value
from parley.messaging.listings import Listings, listings
from parley.messaging.models import Flag, Mark, flagged
from parley.messaging.seen import ReadState, UnreadTotal
from parley.messaging.sight import first_hidden, see, visible

CAP = 1_000
LIST_CAP = 100
SCAN = 4  # a count scans at most this many messages for each one it may find
UNCAPPED = 2**40
CHUNK = 200
MOST_CHUNKS = 25

# --- unread ---------------------------------------------------------------------------------------

# The ranges are written out, one a conversation: compared with a column of a joined row, planners
# walk the whole conversation.
UNREAD_SQL = """
SELECT m.conversation_id, COUNT(*)
  FROM messaging_message m
  LEFT JOIN messaging_mark k
    ON k.user_id = %s AND k.conversation_id = m.conversation_id AND k.seq = m.seq
 WHERE ({ranges})
   AND m.sender_id <> %s AND m.retracted_at IS NULL
   AND (k.flags IS NULL OR k.flags IN ({unread}))
 GROUP BY m.conversation_id
"""
UNREAD_RANGE = "m.conversation_id = %s AND m.seq > %s AND m.seq <= %s"
KEPT_SQL = """
SELECT k.conversation_id, COUNT(*)
  FROM messaging_mark k
  JOIN conversations_participant p
    ON p.user_id = k.user_id AND p.conversation_id = k.conversation_id
  JOIN conversations_conversation c ON c.conversation_id = k.conversation_id
  JOIN messaging_message m ON m.conversation_id = k.conversation_id AND m.seq = k.seq
 WHERE k.user_id = %s AND k.conversation_id IN ({places}) AND k.flags IN ({kept})
   AND k.seq > p.visible_after AND k.seq > c.purged_seq AND m.retracted_at IS NULL
 GROUP BY k.conversation_id
"""
UNREAD_FLAGS = ", ".join(str(f) for f in range(16) if not f & (Flag.READ | Flag.REMOVED))
KEPT_FLAGS = ", ".join(str(f) for f in flagged(Flag.KEPT) if not f & Flag.REMOVED)


def counting_start(mine: Participant) -> int:
    """E: everything up to it is read, purged or hidden, except what is kept unread."""
    return max(mine.watermark, first_hidden(mine))


def unread_counts(
    viewer_id: UUID, participants: Sequence[Participant], *, cap: int
) -> dict[UUID, tuple[int, bool]]:
    """Return for each conversation how many messages are unread, and whether that means "at least".

    Two queries, whatever the number of conversations; each scans at most ``4 × cap`` messages.
    """
    if not participants:
        return {}
    ids = [p.conversation_id for p in participants]
    places = ", ".join(["%s"] * len(ids))
    counted: dict[UUID, int] = dict.fromkeys(ids, 0)
    newer = [p for p in participants if p.conversation.last_seq > counting_start(p)]
    if newer:
        sql = UNREAD_SQL.format(
            ranges=" OR ".join([f"({UNREAD_RANGE})"] * len(newer)), unread=UNREAD_FLAGS
        )
        ranges = [value for p in newer for value in _unread_range(p, cap)]
        _add(counted, rows(sql, [viewer_id, *ranges, viewer_id]))
    _add(counted, rows(KEPT_SQL.format(places=places, kept=KEPT_FLAGS), [viewer_id, *ids]))
    cut = {
        p.conversation_id
        for p in participants
        if p.conversation.last_seq > counting_start(p) + SCAN * cap
    }
    return {c: (min(n, cap), n >= cap or c in cut) for c, n in counted.items()}


def _unread_range(mine: Participant, cap: int) -> tuple[UUID, int, int]:
    start_ = counting_start(mine)
    return mine.conversation_id, start_, min(mine.conversation.last_seq, start_ + SCAN * cap)


def _add(counted: dict[UUID, int], found: Iterable[tuple[Any, ...]]) -> None:
    for conversation_id, count in found:
        counted[uuid_value(conversation_id)] += count


def count_unread(*, viewer: User) -> UnreadTotal:
    """Return how much is unread in all; from 1,000 messages on it means "at least"."""
    live = maybe_unread(viewer.user_id, conversations.live_participations(viewer.user_id))
    with listings(viewer.user_id) as listed:
        return _total(
            viewer.user_id, _chunks(live) if listed is None else _listed_chunks(live, listed)
        )


def _listed_chunks(found: QuerySet[Participant], listed: Listings) -> Iterable[list[Participant]]:
    """Walk those that the listings name."""
    for some in listed.unread(CHUNK):
        yield list(found.filter(conversation_id__in=some))


def _total(viewer_id: UUID, found: Iterable[list[Participant]]) -> UnreadTotal:
    messages = unread_conversations = 0
    for chunks, chunk in enumerate(found, start=1):
        counts = unread_counts(viewer_id, chunk, cap=CAP)
        messages += sum(count for count, _ in counts.values())
        unread_conversations += sum(1 for count, _ in counts.values() if count)
        capped = messages >= CAP or chunks >= MOST_CHUNKS or any(c for _, c in counts.values())
        if capped:
            return UnreadTotal(min(messages, CAP), unread_conversations, capped=True)
    return UnreadTotal(messages, unread_conversations, capped=False)


def count_unread_exactly(*, viewer_id: UUID) -> int:
    """Return how much is unread, however much it is: for an operator's report, not for serving."""
    live = maybe_unread(viewer_id, conversations.live_participations(viewer_id))
    counted = (unread_counts(viewer_id, chunk, cap=UNCAPPED) for chunk in _chunks(live))
    return sum(count for chunk in counted for count, _ in chunk.values())


def maybe_unread(viewer_id: UUID, found: QuerySet[Participant]) -> QuerySet[Participant]:
    """Those of the viewer's conversations with something past E, or with something kept unread."""
    kept = Mark.objects.filter(
        user_id=viewer_id, conversation_id=OuterRef("conversation_id"), flags__in=flagged(Flag.KEPT)
    )
    return found.filter(Q(conversation__last_seq__gt=start()) | Exists(kept))


def start() -> Greatest:
    return Greatest("watermark", "visible_after", "conversation__purged_seq")


def _chunks(found: QuerySet[Participant], size: int = CHUNK) -> Iterable[list[Participant]]:
    """Walk the viewer's conversations in the order of their keys."""
    ordered = found.order_by("conversation_id")
    chunk = list(ordered[:size])
    while chunk:
        yield chunk
        if len(chunk) < size:
            return
        chunk = list(ordered.filter(conversation_id__gt=chunk[-1].conversation_id)[:size])


def recount_unread(*, viewer: User) -> UnreadTotal:
    """Count every message of every conversation anew, by the words of the rule: for verifying, not
    for serving.
    """
    totals = [
        _recount(viewer.user_id, mine) for mine in conversations.live_participations(viewer.user_id)
    ]
    return UnreadTotal(sum(totals), sum(1 for total in totals if total), capped=False)


def _recount(viewer_id: UUID, mine: Participant) -> int:
    found = visible(mine).filter(retracted_at=None).exclude(sender_id=viewer_id)
    return sum(1 for message in see(viewer_id, found) if not message.read)


def read_state(mine: Participant) -> ReadState:
    """Return the viewer's place in a conversation."""
    count, _ = unread_counts(mine.user_id, [mine], cap=CAP)[mine.conversation_id]
    return ReadState(read_seq=mine.read_seq, watermark=mine.watermark, unread_count=count)
