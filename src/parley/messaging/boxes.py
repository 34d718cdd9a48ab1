"""Messages across conversations: inbox, sent, unread, starred; newest first.

Conversations are opened in the order of their activity, and only while the next may still hold one
of the page's messages. Two boxes need no merging: one's own messages and the starred ones each have
an index in this order. A deep page costs one index seek for each conversation active since: the one
cost that grows, with the depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple, Required, TypedDict, Unpack
from uuid import UUID

from django.db import connection
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, SmallIntegerField, When

from parley.accounts.models import User
from parley.conversations import queries as conversations
from parley.conversations.models import Conversation, Participant
from parley.conversations.operations import ConversationNotFound
from parley.kernel import ids
from parley.kernel.database import (
    exactly,
    instant_value,
    union_all,
    uuid_value,
)
from parley.kernel.paging import Page, Position
from parley.kernel.times import from_micros, micros
from parley.kernel.written import Written
from parley.messaging.listings import Listings, Shelves, has_listings, listings
from parley.messaging.models import Flag, HeavyReader, Mark, Message, flagged
from parley.messaging.seen import SeenMessage
from parley.messaging.sight import not_removed, see, see_beside, visible
from parley.messaging.unread import maybe_unread

CHUNK = 60
FIRST = 10
# What stands in a query, while it is written, for whose it is, where it looks, and since when.
NOBODY, NOWHERE = UUID(int=2**128 - 2), UUID(int=2**128 - 1)
NEVER = 2**31 - 1
ONCE = datetime(9999, 12, 31, tzinfo=UTC)
# Of the viewer's row in a conversation, and of the conversation, what a walk looks at.
NEEDED = (
    "conversation",
    "visible_after",
    "conversation__purged_seq",
    "watermark",
    "conversation__active_at",
)

# What the lists are sorted by: sent_at and message_id, as the driver gives them; it orders both as
# their values are ordered.
Edge = tuple[Any, Any]


class Where(NamedTuple):
    """A conversation of the viewer's: up to ``hidden`` they see nothing, all to E is read."""

    viewer_id: UUID
    conversation_id: UUID
    hidden: int
    watermark: int
    active_at: datetime

    @property
    def e(self) -> int:
        return max(self.watermark, self.hidden)

    def visible(self) -> QuerySet[Message]:
        """Return what the viewer may see of it."""
        conversation = Conversation(conversation_id=self.conversation_id, purged_seq=self.hidden)
        return visible(
            Participant(user_id=self.viewer_id, conversation=conversation, visible_after=0)
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list asks for."""

    viewer_id: UUID
    box: str
    unread_only: bool
    starred_only: bool
    position: Position | None
    conversation_id: UUID | None = None
    with_user_id: UUID | None = None

    @property
    def everywhere(self) -> bool:
        return self.conversation_id is None and self.with_user_id is None

    def participations(self) -> QuerySet[Participant]:
        """Return the viewer's rows in the conversations in which it is asked for."""
        found = conversations.live_participations(self.viewer_id)
        if self.conversation_id is not None:
            found = found.filter(conversation_id=self.conversation_id)
        if self.with_user_id is not None:
            key = ids.direct_key(self.viewer_id, self.with_user_id).hex()
            found = found.filter(conversation__direct_key=key)
        return found

    @property
    def backward(self) -> bool:
        return self.position is not None and self.position.backward

    @property
    def edge(self) -> tuple[datetime, UUID] | None:
        if self.position is None:
            return None
        at, message_id = self.position.key
        return from_micros(int(at)), UUID(str(message_id))

    def past(self, edges: Sequence[Edge]) -> Sequence[Edge]:
        """Those that lie past the position, in the direction of the walk."""
        limit = self.edge
        if limit is None:
            return edges
        read = [(instant_value(at), uuid_value(message_id)) for at, message_id in edges]
        return [
            edge
            for edge, its in zip(edges, read, strict=True)
            if (its > limit if self.backward else its < limit)
        ]

    def since(self, found: QuerySet[Message]) -> QuerySet[Message]:
        """Those at or past the position's instant; no two of a conversation share an instant."""
        if self.edge is None:
            return found
        return found.filter(**{f"sent_at__{'gte' if self.backward else 'lte'}": self.edge[0]})

    def boxed(self, found: QuerySet[Message]) -> QuerySet[Message]:
        if self.box == "sent":
            return found.filter(sender_id=self.viewer_id)
        if self.box == "inbox" or self.unread_only:
            return found.exclude(sender_id=self.viewer_id)
        return found


class Asked(TypedDict, total=False):
    """What ``list_edges`` takes beside the viewer."""

    box: str
    unread_only: bool
    starred_only: bool
    conversation_id: UUID | None
    with_user_id: UUID | None
    position: Position | None
    size: Required[int]


def list_messages(*, viewer: User, **asked: Unpack[Asked]) -> Page[SeenMessage]:
    """Return the page of ``list_edges`` as the viewer sees its messages.

    :raises ConversationNotFound: the viewer is not in the conversation given.
    """
    page = list_messages_beside(viewer=viewer, beside="NULL", **asked)
    return page.with_items([message for message, _ in page.items])


def list_messages_beside(
    *, viewer: User, beside: str, **asked: Unpack[Asked]
) -> Page[tuple[SeenMessage, Any]]:
    """Return the same, each with what ``see_beside`` reads beside it."""
    page = list_edges(viewer=viewer, **asked)
    seen = see_beside(viewer.user_id, [message_id for _, message_id in page.items], beside)
    return page.with_items(sorted(seen, key=_edge_of, reverse=True))


def list_edges(
    *,
    viewer: User,
    box: str = "all",
    unread_only: bool = False,
    starred_only: bool = False,
    conversation_id: UUID | None = None,
    with_user_id: UUID | None = None,
    position: Position | None = None,
    size: int,
) -> Page[Edge]:
    """Return one page of messages across the viewer's conversations, newest first; of each only
    when it was sent and its id.

    ``box``: ``inbox`` others' messages, ``sent`` one's own, ``all`` both; ``with_user_id``: those
    of the direct conversation with this person.

    :raises ConversationNotFound: the viewer is not in the conversation given.
    """
    wanted = Wanted(
        viewer.user_id, box, unread_only, starred_only, position, conversation_id, with_user_id
    )
    if conversation_id is not None and not wanted.participations().exists():
        raise ConversationNotFound
    edges = _walk(wanted, size + 1)
    return Page.cut(edges, size=size, position=position, key=position_key)


def position_key(edge: Edge) -> tuple[int, str]:
    """Return the key of the position of a message in these lists."""
    return micros(instant_value(edge[0])), str(uuid_value(edge[1]))


def _edge_of(seen: tuple[SeenMessage, Any]) -> Edge:
    return seen[0].sent_at, seen[0].message_id


def _walk(wanted: Wanted, n: int) -> list[Edge]:
    if wanted.box == "sent" and wanted.unread_only:
        return []  # one's own are read
    if wanted.starred_only:
        return _starred(wanted, n)
    if wanted.box == "sent" and wanted.everywhere:
        return _sent(wanted, n)
    if not wanted.everywhere:
        return _merge(wanted, n)
    # SQLite looks at each row before it sees that none is wanted; a statement more costs it little.
    if not wanted.backward and connection.vendor != "sqlite":
        latest = _latest(wanted)
        if latest or not has_listings(wanted.viewer_id):
            return _merge(wanted, n, latest=latest)
    with listings(wanted.viewer_id) as listed:
        is_light = listed is None and not wanted.backward
        return _merge(wanted, n, listed, (_latest(wanted) or None) if is_light else None)


# --- merging conversations ------------------------------------------------------------------------


def _merge(
    wanted: Wanted,
    n: int,
    listed: Listings | None = None,
    latest: list[Where] | None = None,
) -> list[Edge]:
    """Return the ``n`` edges nearest past the position, in the direction of the walk.

    ``latest`` is the walk's first chunk of conversations, where the caller has it in hand.
    """
    best: list[Edge] = []
    for some in _by_activity(wanted, listed, latest):
        if len(best) == n and not wanted.backward and _is_older(some[0], best[-1]):
            break
        parts = _unread_edges if wanted.unread_only else _edges
        best = sorted([*best, *wanted.past(parts(some, wanted, n))], reverse=not wanted.backward)[
            :n
        ]
    return best


def _is_older(mine: Where, edge: Edge) -> bool:
    return mine.active_at < instant_value(edge[0])


def _latest(wanted: Wanted) -> list[Where]:
    """Return the first chunk of the viewer's conversations, latest activity first; none for whoever
    has listings.
    """
    written = _latest_written(unread_only=wanted.unread_only)
    rows = written.rows({NOBODY: wanted.viewer_id})
    return [_where(wanted.viewer_id, row) for row in rows]


@cache
def _latest_written(*, unread_only: bool) -> Written:
    found = conversations.live_participations(NOBODY)
    if unread_only:
        found = maybe_unread(NOBODY, found)
    # It depends on no row: where there are listings, nothing is read.
    found = found.exclude(Exists(HeavyReader.objects.filter(user_id=NOBODY, is_complete=True)))
    return Written.of(_ordered(found).values_list(*NEEDED)[:CHUNK])


def _ordered(found: QuerySet[Participant]) -> QuerySet[Participant]:
    return found.order_by(conversations.ACTIVE_AT.desc(), "-conversation_id")


def _where(viewer_id: UUID, row: Sequence[Any]) -> Where:
    conversation_id, visible_after, purged_seq, watermark, active_at = row
    return Where(
        viewer_id,
        uuid_value(conversation_id),
        max(visible_after, purged_seq),
        watermark,
        instant_value(active_at),
    )


def _by_activity(
    wanted: Wanted,
    listed: Listings | None,
    latest: list[Where] | None,
) -> Iterator[list[Where]]:
    """Walk conversations, latest activity first, the first few on their own: they fill most pages.

    Going back in the list, only those active since the position.
    """
    last, step, chunk = None, FIRST, latest
    while True:
        if chunk is None:
            chunk = _chunk(wanted, last, listed)
        yield from filter(None, (chunk[:step], chunk[step:]))
        if len(chunk) < CHUNK:
            return
        last, step = (chunk[-1].active_at, chunk[-1].conversation_id), CHUNK
        chunk = None


def _chunk(
    wanted: Wanted, last: tuple[datetime, UUID] | None, listed: Listings | None
) -> list[Where]:
    """Return the next conversations after the last, of those listed where there are lists."""
    found = wanted.participations()
    if wanted.unread_only:
        found = maybe_unread(wanted.viewer_id, found)
    if wanted.backward and wanted.edge is not None:
        found = found.filter(conversation__active_at__gte=wanted.edge[0])
    ordered = _ordered(found)
    if last is not None:
        ordered = ordered.filter(
            Q(conversation__active_at__lt=last[0])
            | Q(conversation__active_at=last[0], conversation_id__lt=last[1])
        )
    if listed is not None:
        shelves = Shelves(unread=True if wanted.unread_only else None)
        ordered = ordered.filter(conversation_id__in=listed.by_time(shelves, last, CHUNK))
    return [_where(wanted.viewer_id, row) for row in ordered.values_list(*NEEDED)[:CHUNK]]


def _edges(some: Sequence[Where], wanted: Wanted, n: int) -> list[Edge]:
    """Return each conversation's ``n`` edges nearest to the position.

    Their queries differ in a few parameters; to write the one is most of what a page costs.
    """
    edge = wanted.edge
    part = _part(wanted.box, n, backward=wanted.backward, since=edge is not None)
    asked = {NOBODY: wanted.viewer_id, ONCE: edge and edge[0]}
    return part.rows_of_each(
        asked, [{NOWHERE: its.conversation_id, NEVER: its.hidden} for its in some]
    )


@lru_cache(maxsize=64)
def _part(box: str, n: int, *, backward: bool, since: bool) -> Written:
    """Return the query of one conversation's edges, with what stands for its parameters."""
    at = Position((micros(ONCE), str(NOWHERE)), backward=backward) if since else None
    wanted = Wanted(NOBODY, box, unread_only=False, starred_only=False, position=at)
    nowhere = Where(NOBODY, NOWHERE, NEVER, NEVER, ONCE)
    # In one conversation seq and sent_at rise together; each order has its index.
    sign = "" if backward else "-"
    order = (f"{sign}conversation_id", f"{sign}{'sent_at' if since else 'seq'}")
    found = wanted.boxed(wanted.since(nowhere.visible())).order_by(*order)
    return Written.of(found.values_list("sent_at", "message_id")[: n + 1])


def _unread_edges(some: Sequence[Where], wanted: Wanted, n: int) -> list[Edge]:
    """As ``_edges``; what is unread lies past E, or is kept: nothing looks at what was read."""
    kept = _kept(some)
    order = ("conversation_id", "seq") if wanted.backward else ("-conversation_id", "-seq")
    found = [_newer(mine) for mine in some]
    found += [mine.visible().filter(seq__in=seqs) for mine, seqs in kept]
    parts = [
        wanted.boxed(wanted.since(unread))
        .filter(retracted_at=None)
        .order_by(*order)
        .values_list("sent_at", "message_id")[: n + 1]
        for unread in found
    ]
    # A mark that is set meanwhile may have one of them twice.
    return list(set(union_all(parts)))


def _newer(mine: Where) -> QuerySet[Message]:
    """What lies past E, and is neither read out of order nor removed."""
    passed = Mark.objects.filter(
        user_id=mine.viewer_id,
        conversation_id=mine.conversation_id,
        seq=OuterRef("seq"),
        flags__in=sorted({*flagged(Flag.READ), *flagged(Flag.REMOVED)}),
    )
    found = Message.objects.filter(
        **exactly("conversation_id", mine.conversation_id), seq__gt=mine.e
    )
    return found.exclude(Exists(passed))


def _kept(some: Sequence[Where]) -> list[tuple[Where, list[int]]]:
    """Return the ``seq`` of what is kept unread in each of these, where there is any."""
    by_id: dict[UUID, list[int]] = {mine.conversation_id: [] for mine in some}
    found = Mark.objects.filter(
        user_id=some[0].viewer_id, conversation_id__in=by_id, flags__in=flagged(Flag.KEPT)
    )
    for conversation_id, seq in found.values_list("conversation_id", "seq"):
        by_id[conversation_id].append(seq)
    return [(mine, by_id[mine.conversation_id]) for mine in some if by_id[mine.conversation_id]]


# --- boxes with an index of their own -------------------------------------------------------------


def _sent(wanted: Wanted, n: int) -> list[Edge]:
    """Walk the viewer's own messages, in the conversations they are in."""
    in_sight = Participant.objects.filter(
        user_id=wanted.viewer_id,
        conversation_id=OuterRef("conversation_id"),
        left_at=None,
        visible_after__lt=OuterRef("seq"),
        conversation__purged_seq__lt=OuterRef("seq"),
    )
    # Looked up for each message of the walk: joined, it would come first in some planner's eyes.
    is_in_sight = Case(When(Exists(in_sight), then=1), default=0, output_field=SmallIntegerField())
    mine = Message.objects.filter(**exactly("sender_id", wanted.viewer_id))
    kept = not_removed(wanted.viewer_id, mine)
    found = kept.annotate(is_in_sight=is_in_sight).filter(is_in_sight=1)
    ordered = _past(found, wanted, ("sender_id", "sent_at", "message_id"))
    return list(ordered.values_list("sent_at", "message_id")[:n])


def _starred(wanted: Wanted, n: int) -> list[Edge]:
    """Walk the viewer's stars, chunk by chunk, and keep those that the filters let through."""
    edges: list[Edge] = []
    found = wanted.participations()
    for chunk in _star_chunks(wanted, n):
        in_chunk = Message.objects.filter(message_id__in=[message_id for _, message_id in chunk])
        mine = {
            p.conversation_id: p
            for p in found.filter(conversation_id__in=in_chunk.values("conversation_id"))
        }
        boxed = wanted.boxed(in_chunk)
        kept = {
            seen.message_id
            for seen in see(wanted.viewer_id, boxed)
            if seen.conversation_id in mine
            and seen.seq
            > max(
                mine[seen.conversation_id].visible_after,
                mine[seen.conversation_id].conversation.purged_seq,
            )
            and not (wanted.unread_only and (seen.read or seen.retracted_at))
        }
        edges += [edge for edge in chunk if edge[1] in kept]
        if len(edges) >= n:
            break
    return edges[:n]


def _star_chunks(wanted: Wanted, n: int) -> Iterator[list[Edge]]:
    """Walk the stars in chunks: the first for a page that nothing is filtered from, then larger."""
    size = n
    stars = Mark.objects.filter(
        **exactly("user_id", wanted.viewer_id), starred_sent_at__isnull=False
    )
    walk = wanted
    while True:
        ordered = _past(stars, walk, ("user_id", "starred_sent_at", "message_id"))
        chunk = list(ordered.values_list("starred_sent_at", "message_id")[:size])
        if chunk:
            yield chunk
        if len(chunk) < size:
            return
        size = 4 * CHUNK
        at, message_id = chunk[-1]
        key = (micros(at), str(message_id))
        walk = Wanted(
            wanted.viewer_id,
            wanted.box,
            wanted.unread_only,
            wanted.starred_only,
            Position(key, backward=wanted.backward),
        )


def _past(found: QuerySet, wanted: Wanted, index: tuple[str, str, str]) -> QuerySet:  # type: ignore[type-arg]
    """Walk an index of (whose, instant, message_id), newest first unless backward, and continue
    past the position.
    """
    _, instant, _ = index
    word = "gt" if wanted.backward else "lt"
    if wanted.edge is not None:
        at, message_id = wanted.edge
        found = found.filter(
            Q(**{f"{instant}__{word}": at}) | Q(**{instant: at, f"message_id__{word}": message_id}),
            **{f"{instant}__{word}e": at},
        )
    sign = "" if wanted.backward else "-"
    return found.order_by(*(f"{sign}{name}" for name in index))
