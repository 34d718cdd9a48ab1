"""What changed for one person since a generation, or since a revision and a version: at a bounded
cost.

Within a conversation generations rise with revisions, and a person's generations with their
versions; so the place where a generation ends is found by looking at a few rows, however long the
history is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Greatest

from parley.conversations.models import Participant
from parley.kernel.database import rows, union_all, uuid_value
from parley.messaging.cursors import WHOLE_VERSION, Known
from parley.messaging.models import Mark, Message
from parley.messaging.sight import first_hidden


@dataclass(frozen=True, slots=True)
class ChangedMark:
    version: int
    seq: int
    message_id: UUID
    flags: int


# Binary search for the last number whose row is of generation S or before; it starts at the end, in
# steps of 1, 2, 4…, since most of the time only a few rows are newer.
SEARCH_SQL = """
WITH RECURSIVE search (conversation_id, low, high, step) AS (
    SELECT p.conversation_id, 0 * {head}, {head}, 1 + 0 * {head}
      FROM conversations_participant p
      JOIN conversations_conversation c ON c.conversation_id = p.conversation_id
     WHERE p.user_id = %s AND p.conversation_id IN ({places})
    UNION ALL
    SELECT conversation_id,
           CASE WHEN {gen} <= %s THEN {middle} ELSE low END,
           CASE WHEN {gen} <= %s THEN high ELSE {middle} - 1 END,
           step * 2
      FROM search
     WHERE low < high
)
SELECT conversation_id, low FROM search WHERE low = high
"""
MESSAGE_GEN = """
    COALESCE((SELECT m.gen FROM messaging_message m
               WHERE m.conversation_id = search.conversation_id AND m.revision <= {middle}
               ORDER BY m.revision DESC LIMIT 1), 0)
"""
MARK_GEN = """
    COALESCE((SELECT k.gen FROM messaging_mark k
               WHERE k.user_id = %s AND k.conversation_id = search.conversation_id
                 AND k.version <= {middle}
               ORDER BY k.version DESC LIMIT 1), 0)
"""


def changed_after(viewer_id: UUID, gen: int, conversation_id: UUID | None) -> QuerySet[Participant]:
    """Return the viewer's participations that come after a place in the order of (:func:`gen_of`,
    conversation).

    Without a conversation, all of a later generation.
    """
    later = Q(changed_gen__gt=gen)
    if conversation_id is not None:
        later |= Q(changed_gen=gen, conversation_id__gt=conversation_id)
    changed_gen = Case(
        When(left_at__isnull=False, then=F("gen")), default=Greatest("gen", "conversation__gen")
    )
    return (
        _participations(viewer_id)
        .annotate(changed_gen=changed_gen)
        .filter(later)
        .order_by("changed_gen", "conversation_id")
    )


def gen_of(mine: Participant) -> int:
    """The generation of the last change for this person; a conversation that they left changes no
    more.
    """
    return mine.gen if mine.left_at is not None else max(mine.gen, mine.conversation.gen)


def participation(viewer_id: UUID, conversation_id: UUID) -> Participant:
    """Return the viewer's row in a conversation that they are or were in."""
    return _participations(viewer_id).get(conversation_id=conversation_id)


def _participations(viewer_id: UUID) -> QuerySet[Participant]:
    return Participant.objects.filter(user_id=viewer_id).select_related("conversation")


def known_at(viewer_id: UUID, participants: Sequence[Participant], gen: int) -> dict[UUID, Known]:
    """Return what someone has of each conversation who has everything up to a generation."""
    spoken = [p for p in participants if p.conversation.gen > gen]
    marked = [p for p in participants if p.gen > gen]
    revisions = _search("c.revision", MESSAGE_GEN, viewer_id, spoken, gen)
    versions = _search("p.version", MARK_GEN, viewer_id, marked, gen)
    return {
        p.conversation_id: Known(
            revisions.get(p.conversation_id, p.conversation.revision),
            versions.get(p.conversation_id, p.version),
        )
        for p in participants
    }


def _search(
    head: str, gen_sql: str, viewer_id: UUID, participants: Sequence[Participant], gen: int
) -> dict[UUID, int]:
    if not participants:
        return {}
    largest = "MAX" if connection.vendor == "sqlite" else "GREATEST"
    middle = f"{largest}((low + high + 1) >> 1, high - step)"
    sql = SEARCH_SQL.format(
        head=head,
        places=", ".join(["%s"] * len(participants)),
        gen=gen_sql.format(middle=middle),
        middle=middle,
    )
    looked_up = [viewer_id, gen] if gen_sql is MARK_GEN else [gen]
    ids = [p.conversation_id for p in participants]
    found = rows(sql, [viewer_id, *ids, *looked_up, *looked_up])
    return {uuid_value(conversation_id): low for conversation_id, low in found}


def changed_messages(
    known: Sequence[tuple[Participant, Known]], size: int
) -> dict[UUID, list[tuple[int, UUID]]]:
    """Return (revision, message id) of what changed beyond what is known, by revision.

    At most ``size`` in all, of the conversations in the order given.
    """
    parts = [
        Message.objects.filter(
            conversation_id=mine.conversation_id,
            revision__gt=has.revision,
            seq__gt=first_hidden(mine),
        )
        .annotate(place=Value(place))
        .order_by("revision")
        .values_list("place", "revision", "message_id")[:size]
        for place, (mine, has) in enumerate(known)
        if mine.conversation.revision > has.revision
    ]
    found: dict[UUID, list[tuple[int, UUID]]] = {}
    for place, revision, message_id in union_all(parts, order="1, 2", size=size):
        conversation_id = known[place][0].conversation_id
        found.setdefault(conversation_id, []).append((revision, uuid_value(message_id)))
    return found


def changed_marks(
    viewer_id: UUID, known: Sequence[tuple[Participant, Known]], size: int
) -> dict[UUID, list[ChangedMark]]:
    """Return the viewer's marks that changed beyond what is known: at most ``size`` in all, in the
    order given.
    """
    parts = [
        Mark.objects.filter(
            Q(version__gt=has.version) | Q(seq__gt=has.seq),
            user_id=viewer_id,
            conversation_id=mine.conversation_id,
            version__gte=has.version,
            seq__gt=first_hidden(mine),
        )
        .annotate(place=Value(place))
        .order_by("version", "seq")
        .values_list("place", "version", "seq", "message_id", "flags")[:size]
        for place, (mine, has) in enumerate(known)
        if mine.version > has.version or has.seq < WHOLE_VERSION
    ]
    found: dict[UUID, list[ChangedMark]] = {}
    for place, version, seq, message_id, flags in union_all(parts, order="1, 2, 3", size=size):
        conversation_id = known[place][0].conversation_id
        mark = ChangedMark(version, seq, uuid_value(message_id), flags)
        found.setdefault(conversation_id, []).append(mark)
    return found
