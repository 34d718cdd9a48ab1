"""What changed for one person since a generation, or since a revision and a version: at a bounded
cost.

Within a conversation generations rise with revisions, and a person's generations with their
versions; so the place where a generation ends is found by looking at a few rows, however long the
history is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Greatest

from parley.conversations.models import Participant
from parley.kernel.database import exactly, rows, union_all, uuid_value
from parley.messaging.cursors import WHOLE_VERSION, Known
from parley.messaging.listings import listings
from parley.messaging.models import Mark, Message
from parley.messaging.sight import first_hidden


@dataclass(frozen=True, slots=True)
class ChangedMark:
    version: int
    seq: int
    message_id: UUID
    flags: int


# Where the search goes in rounds: how many places it looks at in a round, of one and of all.
MOST_PROBES = 16
MOST_PARTS = 400

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


def changed_after(
    viewer_id: UUID, gen: int, conversation_id: UUID | None, most: int
) -> list[Participant]:
    """Return the first of the viewer's participations that come after a place in the order of
    (:func:`gen_of`, conversation).

    Without a conversation, all of a later generation. Ask for them in a snapshot.
    """
    later = Q(changed_gen__gt=gen)
    if conversation_id is not None:
        later |= Q(changed_gen=gen, conversation_id__gt=conversation_id)
    changed_gen = Case(
        When(left_at__isnull=False, then=F("gen")), default=Greatest("gen", "conversation__gen")
    )
    mine = _participations(viewer_id)
    with listings(viewer_id) as listed:
        if listed is not None:
            places = listed.changed_after(gen, conversation_id, most)
            mine = mine.filter(conversation_id__in=places)
        found = mine.annotate(changed_gen=changed_gen).filter(later)
        return list(found.order_by("changed_gen", "conversation_id")[:most])


def gen_of(mine: Participant) -> int:
    """The generation of the last change for this person; a conversation that they left changes no
    more.
    """
    return mine.gen if mine.left_at is not None else max(mine.gen, mine.conversation.gen)


def participation(viewer_id: UUID, conversation_id: UUID) -> Participant:
    """Return the viewer's row in a conversation that they are or were in."""
    return _participations(viewer_id).get(conversation_id=conversation_id)


def participations(viewer_id: UUID, conversation_ids: Collection[UUID]) -> dict[UUID, Participant]:
    """Return the viewer's rows in those of these conversations that they are or were in."""
    found = _participations(viewer_id).filter(conversation_id__in=conversation_ids)
    return {mine.conversation_id: mine for mine in found}


def _participations(viewer_id: UUID) -> QuerySet[Participant]:
    return Participant.objects.filter(user_id=viewer_id).select_related("conversation")


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Rows of a conversation whose generations rise with a number, and where to look for them."""

    head: str
    gen_sql: str
    last: Callable[[Participant], int]
    probe: Callable[[Participant, int, int], QuerySet[Any, Any]]


def _probe_messages(mine: Participant, n: int, at: int) -> QuerySet[Any, Any]:
    found = Message.objects.filter(
        **exactly("conversation_id", mine.conversation_id), revision__lte=at
    )
    ordered = found.order_by("-conversation_id", "-revision")
    return ordered.annotate(place=Value(n)).values_list("place", "gen")[:1]


def _probe_marks(mine: Participant, n: int, at: int) -> QuerySet[Any, Any]:
    found = Mark.objects.filter(
        **exactly("user_id", mine.user_id),
        **exactly("conversation_id", mine.conversation_id),
        version__lte=at,
    )
    ordered = found.order_by("-user_id", "-conversation_id", "-version")
    return ordered.annotate(place=Value(n)).values_list("place", "gen")[:1]


MESSAGES = _Numbered("c.revision", MESSAGE_GEN, lambda p: p.conversation.revision, _probe_messages)
MARKS = _Numbered("p.version", MARK_GEN, lambda p: p.version, _probe_marks)


def known_at(viewer_id: UUID, participants: Sequence[Participant], gen: int) -> dict[UUID, Known]:
    """Return what someone has of each conversation who has everything up to a generation."""
    spoken = [p for p in participants if p.conversation.gen > gen]
    marked = [p for p in participants if p.gen > gen]
    revisions = _search(MESSAGES, viewer_id, spoken, gen)
    versions = _search(MARKS, viewer_id, marked, gen)
    return {
        p.conversation_id: Known(
            revisions.get(p.conversation_id, p.conversation.revision),
            versions.get(p.conversation_id, p.version),
        )
        for p in participants
    }


def _search(
    what: _Numbered, viewer_id: UUID, participants: Sequence[Participant], gen: int
) -> dict[UUID, int]:
    """Return for each conversation the last number whose row is of this generation or before."""
    if not participants:
        return {}
    if connection.vendor == "mysql":
        return _search_by_rounds(what, participants, gen)
    largest = "MAX" if connection.vendor == "sqlite" else "GREATEST"
    middle = f"{largest}((low + high + 1) >> 1, high - step)"
    sql = SEARCH_SQL.format(
        head=what.head,
        places=", ".join(["%s"] * len(participants)),
        gen=what.gen_sql.format(middle=middle),
        middle=middle,
    )
    looked_up = [viewer_id, gen] if what is MARKS else [gen]
    ids = [p.conversation_id for p in participants]
    found = rows(sql, [viewer_id, *ids, *looked_up, *looked_up])
    return {uuid_value(conversation_id): low for conversation_id, low in found}


def _search_by_rounds(
    what: _Numbered, participants: Sequence[Participant], gen: int
) -> dict[UUID, int]:
    """The same in a few statements.

    MySQL and MariaDB seek to a number that is written out, but walk to one that is computed.
    """
    each = max(1, min(MOST_PROBES, MOST_PARTS // len(participants)))
    mine = {p.conversation_id: p for p in participants}
    spans = {c: (0, what.last(p)) for c, p in mine.items()}
    probes = {c: _near_the_end(high, each) for c, (_, high) in spans.items()}
    while any(probes.values()):
        places = [(c, at) for c, each_at in probes.items() for at in each_at]
        parts = [what.probe(mine[c], n, at) for n, (c, at) in enumerate(places)]
        found = dict(union_all(parts))
        for n, (c, at) in enumerate(places):
            low, high = spans[c]
            is_older = found.get(n, 0) <= gen
            spans[c] = (max(low, at), high) if is_older else (low, min(high, at - 1))
        probes = {c: _between(low, high, each) for c, (low, high) in spans.items()}
    return {c: low for c, (low, _) in spans.items()}


def _near_the_end(high: int, count: int) -> list[int]:
    """Most of the time only a few are newer: look at the end, and 1, 2, 4 … before it."""
    return [high, *(high - 2**n for n in range(count - 1) if high > 2**n)]


def _between(low: int, high: int, count: int) -> list[int]:
    """So many numbers in (low, high], as evenly as they go."""
    step = -(-(high - low) // (count + 1))
    return list(range(low + step, high + 1, step))[:count] if step else []


def changed_messages(
    known: Sequence[tuple[Participant, Known]], size: int
) -> dict[UUID, list[tuple[int, UUID]]]:
    """Return (revision, message id) of what changed beyond what is known, by revision.

    At most ``size`` in all, of the conversations in the order given.
    """
    parts = [
        Message.objects.filter(
            **exactly("conversation_id", mine.conversation_id),
            revision__gt=has.revision,
            seq__gt=first_hidden(mine),
        )
        .annotate(place=Value(place))
        .order_by("conversation_id", "revision")
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
            **exactly("user_id", viewer_id),
            **exactly("conversation_id", mine.conversation_id),
            version__gte=has.version,
            seq__gt=first_hidden(mine),
        )
        .annotate(place=Value(place))
        .order_by("user_id", "conversation_id", "version", "seq")
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
