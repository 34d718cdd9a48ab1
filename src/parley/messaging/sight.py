"""How one viewer sees messages: which of them, and in what state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from parley.accounts.models import User
from parley.conversations.models import Participant
from parley.kernel.database import (
    among,
    exactly,
    instant_value,
    rows,
    union_all,
    uuid_reader,
    uuid_value,
)
from parley.messaging.models import Flag, Mark, Message, flagged
from parley.messaging.refusals import MessageNotFound
from parley.messaging.seen import MESSAGE, SAID, SENDER, SEQ, SeenMessage

# So many conversations are named in one condition: SQLite refuses one with a thousand terms.
MOST_TERMS = 200


def see(
    viewer_id: UUID,
    messages: Iterable[Message],
    *,
    unmarked: Collection[UUID] = (),
    watermarks: Mapping[UUID, int] | None = None,
) -> list[SeenMessage]:
    """Return messages as the viewer sees them.

    Those ``unmarked`` are new and need no look at the marks; ``watermarks`` are the viewer's in the
    conversations, where the caller has them in hand.
    """
    found = list(messages)
    old = [message for message in found if message.message_id not in unmarked]
    flags = _flags(viewer_id, old)
    if watermarks is None:
        watermarks = _watermarks(viewer_id, old)
    return [
        _see(
            message,
            viewer_id,
            flags.get((message.conversation_id, message.seq), 0),
            watermarks.get(message.conversation_id, 0),
        )
        for message in found
    ]


def _see(message: Message, viewer_id: UUID, flags: int, watermark: int) -> SeenMessage:
    return seen_as(
        message,
        read=is_read(message.seq, flags, watermark) or message.sender_id == viewer_id,
        starred=bool(flags & Flag.STARRED),
    )


def seen_as(message: Message, *, read: bool, starred: bool) -> SeenMessage:
    """Return a message as those see it to whom it is read and starred, or not."""
    return SeenMessage(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        sender_id=message.sender_id,
        seq=message.seq,
        revision=message.revision,
        subject=message.subject,
        message_body=message.message_body,
        sent_at=message.sent_at,
        client_id=message.client_id,
        reply_to=message.reply_to,
        edited_at=message.edited_at,
        retracted_at=message.retracted_at,
        read=read,
        starred=starred,
    )


# The outer joins hold the order: from the messages chosen to the viewer's row. Without statistics
# SQLite would else begin with the viewer's conversations, and read the whole of each. With the
# version no index has all of a mark: of one that has, planners read the marks of a conversation.
SEE_SQL = """
SELECT {said}, k.version, COALESCE(k.flags, 0), p.watermark, {beside}
  FROM messaging_message m
  LEFT JOIN conversations_participant p
    ON p.user_id = %s AND p.conversation_id = m.conversation_id
  LEFT JOIN messaging_mark k
    ON k.user_id = %s AND k.conversation_id = m.conversation_id AND k.seq = m.seq
 WHERE {chosen}
"""

NOT_REMOVED = f"COALESCE(k.flags, 0) NOT IN ({', '.join(map(str, flagged(Flag.REMOVED)))})"
# A message that its participant may see: in a conversation that they are in, neither hidden nor
# purged, nor removed by them.
IN_SIGHT = f"""
m.message_id = %s AND p.left_at IS NULL AND m.seq > p.visible_after
   AND m.seq > (SELECT c.purged_seq FROM conversations_conversation c
                 WHERE c.conversation_id = m.conversation_id)
   AND {NOT_REMOVED}
"""  # noqa: S608 - words of ours


def see_by_id(viewer_id: UUID, message_ids: Collection[Any]) -> list[SeenMessage]:
    """Return many messages of the viewer's conversations as they see them, by one statement.

    They come in no order. Their ids may be as the driver gave them.
    """
    return [message for message, _ in see_beside(viewer_id, message_ids, "NULL")]


def see_beside(
    viewer_id: UUID, message_ids: Collection[Any], beside: str
) -> list[tuple[SeenMessage, Any]]:
    """Return the same, each with the value of an expression of SQL about the message ``m``: what a
    door keeps of it in a table of its own.
    """
    if not message_ids:
        return []
    return _chosen(viewer_id, *among("m.message_id", message_ids), beside=beside)


def _chosen(
    viewer_id: UUID, chosen: str, parameters: Sequence[Any], *, beside: str = "NULL"
) -> list[tuple[SeenMessage, Any]]:
    sql = SEE_SQL.format(said=MESSAGE, chosen=chosen, beside=beside)
    read = rows(sql, [viewer_id, viewer_id, *parameters])
    named = uuid_reader()
    return [(_seen_by(viewer_id, row, named), row[-1]) for row in read if row[-2] is not None]


def _seen_by(viewer_id: UUID, row: Sequence[Any], named: Callable[[Any], UUID]) -> SeenMessage:
    _version, flags, watermark = row[len(SAID) : len(SAID) + 3]
    read = named(row[SENDER]) == viewer_id or is_read(row[SEQ], flags, watermark)
    return seen_row(row, named, read=read, starred=bool(flags & Flag.STARRED))


def seen_row(
    row: Sequence[Any],
    named: Callable[[Any], UUID],
    *,
    read: bool = False,
    starred: bool = False,
) -> SeenMessage:
    """Return the message of a row that begins with ``SAID``."""
    (message_id, conversation_id, sender_id, seq, revision, subject, body, sent_at) = row[:8]
    (client_id, reply_to, edited_at, retracted_at) = row[8 : len(SAID)]
    return SeenMessage(
        uuid_value(message_id),
        named(conversation_id),
        named(sender_id),
        seq,
        revision,
        subject,
        body,
        instant_value(sent_at),
        client_id.decode() if isinstance(client_id, bytes) else client_id,
        reply_to and uuid_value(reply_to),
        edited_at and instant_value(edited_at),
        retracted_at and instant_value(retracted_at),
        read,
        starred,
    )


def is_read(seq: int, flags: int, watermark: int) -> bool:
    """Whether a message of someone else's is read: by the watermark, except what the marks say."""
    return not flags & Flag.KEPT if seq <= watermark else bool(flags & Flag.READ)


def _flags(viewer_id: UUID, messages: Sequence[Message]) -> dict[tuple[UUID, int], int]:
    wanted: dict[tuple[UUID, UUID], list[int]] = {}
    for message in messages:
        wanted.setdefault((viewer_id, message.conversation_id), []).append(message.seq)
    return {(where, seq): flags for (_, where, seq), flags in flags_of(wanted).items()}


def flags_of(
    wanted: Mapping[tuple[UUID, UUID], Collection[int]],
) -> dict[tuple[UUID, UUID, int], int]:
    """Return the flags of marks by (user, conversation, seq); asked for by (user, conversation).

    There may be others among them: those of neighbours.
    """
    found: dict[tuple[UUID, UUID, int], int] = {}
    asked, named = list(wanted.items()), uuid_reader()
    for start in range(0, len(asked), MOST_TERMS):
        terms = [_term(*each) for each in asked[start : start + MOST_TERMS]]
        sql = MARKS_SQL.format(chosen=" OR ".join(term for term, _ in terms))
        marks = rows(sql, [parameter for _, parameters in terms for parameter in parameters])
        found |= {(named(who), named(where), seq): flags for who, where, seq, flags, _ in marks}
    return found


# No index has the version beside the flags; of one that has all it is asked for, SQLite reads the
# marks of a whole conversation.
MARKS_SQL = """
SELECT user_id, conversation_id, seq, flags, version FROM messaging_mark WHERE {chosen}
"""


def _term(key: tuple[UUID, UUID], seqs: Collection[int]) -> tuple[str, list[Any]]:
    """Return the condition that finds these marks: a range where they lie close together."""
    lowest, highest = min(seqs), max(seqs)
    if highest - lowest < 2 * len(seqs):
        within, numbers = "seq BETWEEN %s AND %s", [lowest, highest]
    else:
        within, numbers = f"seq IN ({', '.join(['%s'] * len(seqs))})", list(seqs)
    return f"(user_id = %s AND conversation_id = %s AND {within})", [*key, *numbers]


def _watermarks(viewer_id: UUID, messages: Sequence[Message]) -> dict[UUID, int]:
    if not messages:
        return {}
    found = Participant.objects.filter(
        user_id=viewer_id, conversation_id__in={m.conversation_id for m in messages}
    )
    return dict(found.values_list("conversation_id", "watermark"))


def not_removed(viewer_id: UUID, found: QuerySet[Message]) -> QuerySet[Message]:
    removed = Mark.objects.filter(
        user_id=viewer_id,
        conversation_id=OuterRef("conversation_id"),
        seq=OuterRef("seq"),
        flags__in=flagged(Flag.REMOVED),
    )
    return found.exclude(Exists(removed))


def visible(mine: Participant, *, after: int = 0) -> QuerySet[Message]:
    """The messages of a conversation that the viewer may see: not purged, not hidden, not removed
    for them.
    """
    # One lower bound and never two: SQLite seeks to the first that it reads, and walks to the
    # other.
    lowest = max(after, first_hidden(mine))
    found = Message.objects.filter(
        **exactly("conversation_id", mine.conversation_id), seq__gt=lowest
    )
    return not_removed(mine.user_id, found)


def first_hidden(mine: Participant) -> int:
    """The last ``seq`` that is out of the viewer's sight."""
    return max(mine.visible_after, mine.conversation.purged_seq)


def newest(
    viewer: User, participants: Sequence[Participant], n: int
) -> dict[UUID, list[SeenMessage]]:
    """Return the newest ``n`` messages of each conversation, in ascending ``seq``.

    One look at the last ``n`` numbers serves nearly all; where the viewer removed some of those, a
    second one walks further back.
    """
    shown: dict[UUID, list[SeenMessage]] = {p.conversation_id: [] for p in participants}
    filled = [p for p in participants if n > 0 and p.conversation.last_seq > first_hidden(p)]
    _sort_in(shown, _last(viewer.user_id, filled, n))
    short = [p for p in filled if _is_short(p, shown[p.conversation_id], n)]
    parts = [
        visible(p).order_by("-conversation_id", "-seq").values_list("message_id")[:n] for p in short
    ]
    if parts:
        shown.update({p.conversation_id: [] for p in short})
        _sort_in(shown, see_by_id(viewer.user_id, [row[0] for row in union_all(parts)]))
    hidden = {p.conversation_id: first_hidden(p) for p in participants}
    return {
        conversation_id: [message for message in group if message.seq > hidden[conversation_id]]
        for conversation_id, group in shown.items()
    }


def _last(viewer_id: UUID, participants: Sequence[Participant], n: int) -> list[SeenMessage]:
    """Return the messages with the last ``n`` numbers of each conversation that the viewer did not
    remove.

    The ranges are written out: compared with a column of a joined row, planners walk everything.
    """
    if not participants:
        return []
    bounds: list[Any] = []
    for mine in participants:
        last = mine.conversation.last_seq
        bounds += mine.conversation_id, last - n, last
    ranges = " OR ".join(
        ["(m.conversation_id = %s AND m.seq > %s AND m.seq <= %s)"] * len(participants)
    )
    found = _chosen(viewer_id, f"({ranges}) AND {NOT_REMOVED}", bounds)
    return [message for message, _ in found]


def _sort_in(shown: dict[UUID, list[SeenMessage]], found: Iterable[SeenMessage]) -> None:
    for message in sorted(found, key=lambda message: message.seq):
        shown[message.conversation_id].append(message)


def _is_short(mine: Participant, found: list[SeenMessage], n: int) -> bool:
    """Whether some of the last ``n`` are missing although there are older ones."""
    return len(found) < n and mine.conversation.last_seq - n > first_hidden(mine)


def find_message(*, viewer: User, message_id: UUID) -> tuple[SeenMessage, str]:
    """Return a message that the viewer may see, with their role in its conversation.

    :raises MessageNotFound: there is none, it is not theirs to see, or they removed it.
    """
    found = _chosen(viewer.user_id, IN_SIGHT, [message_id], beside="p.member_role")
    if not found:
        raise MessageNotFound
    return found[0]


def get_message(*, viewer: User, message_id: UUID) -> SeenMessage:
    """Return one message.

    :raises MessageNotFound: there is none, or it is not the viewer's to see.
    """
    message, _ = find_message(viewer=viewer, message_id=message_id)
    return message
