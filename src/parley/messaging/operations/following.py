"""Keeping the listings of heavy readers: who has very many conversations finds them by an index.

A listing says where a conversation stands in its reader's lists. Nobody writes it who sends or
reads: after each tick of the fence everything that was settled since is looked at, once, and the
listings of those heavy readers whom it concerns are written anew. What is not settled yet readers
look at by themselves (``listings``), so a listing is never trusted beyond ``followed``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Q

from parley.conversations import fence
from parley.conversations.models import Conversation, Kind, Participant
from parley.kernel.bulk import in_batches
from parley.kernel.database import in_transaction, locked
from parley.messaging.changes import gen_of
from parley.messaging.models import (
    WIDE,
    Flag,
    Following,
    HeavyReader,
    Listing,
    Mark,
    Place,
    flagged,
    shelf,
)
from parley.messaging.unread import counting_start

HEAVY = 256  # in more conversations than these someone is heavy, and stays it
MOST_FOLLOWED = 64  # a conversation with more heavy readers is wide: they look at it themselves
AT_ONCE = 500
FOLLOWING = 1

Pair = tuple[UUID, UUID]  # user, conversation


# --- following the fence --------------------------------------------------------------------------


def follow(_state: fence.State) -> None:
    """Write the listings of what was settled since the last time; where another process is at it,
    leave it to that.
    """
    if Following.objects.exists():  # else nobody is heavy
        _follow()


@in_transaction
def _follow() -> None:
    can_skip = connection.features.has_select_for_update_skip_locked
    rows = Following.objects.filter(pk=FOLLOWING)
    found = rows.select_for_update(skip_locked=can_skip).first()
    if found is None:
        return
    settled = _settled()
    if settled <= found.followed:
        return
    window = Q(gen__gt=found.followed, gen__lte=settled)
    changed = Conversation.objects.filter(window).values_list("conversation_id", flat=True)
    for some in in_batches(changed, AT_ONCE):
        listed = Listing.objects.filter(conversation_id__in=some, shelf__lt=WIDE)
        _write(listed.values_list("user_id", "conversation_id"))
    own = Participant.objects.filter(window, user_id__in=HeavyReader.objects.values("user_id"))
    _write(own.values_list("user_id", "conversation_id"))
    rows.update(followed=settled)


def _settled() -> int:
    return fence.state().settled


def _write(pairs: Iterable[Pair]) -> None:
    for some in in_batches(pairs, AT_ONCE):
        by_user: dict[UUID, list[UUID]] = {}
        for user_id, conversation_id in some:
            by_user.setdefault(user_id, []).append(conversation_id)
        _write_anew([row for each in by_user.items() for row in _participants(*each)])


def _participants(user_id: UUID, conversation_ids: Collection[UUID]) -> Iterable[Participant]:
    found = Participant.objects.filter(user_id=user_id, conversation_id__in=conversation_ids)
    return found.select_related("conversation")


def _write_anew(participants: Sequence[Participant]) -> None:
    """Write the listings of these rows as they are now; of each conversation at most so many."""
    if not participants:
        return
    for user_id in {mine.user_id for mine in participants}:
        own = [m.conversation_id for m in participants if m.user_id == user_id]
        Listing.objects.filter(user_id=user_id, conversation_id__in=own).delete()
    wide = _wide(participants)
    kept = _kept(participants)
    Listing.objects.bulk_create(
        [
            Listing(
                user_id=mine.user_id,
                conversation_id=mine.conversation_id,
                shelf=WIDE if mine.conversation_id in wide else _shelf(mine, kept),
                active_gen=mine.conversation.active_gen,
                active_at=mine.conversation.active_at,
                changed_gen=gen_of(mine),
            )
            for mine in participants
        ]
    )


def _wide(participants: Sequence[Participant]) -> set[UUID]:
    """Return which of the conversations have too many heavy readers, and see that all know it."""
    coming: dict[UUID, int] = {}
    for mine in participants:
        coming[mine.conversation_id] = coming.get(mine.conversation_id, 0) + 1
    there = Listing.objects.filter(conversation_id__in=coming)
    wide = set(there.filter(shelf=WIDE).values_list("conversation_id", flat=True).distinct())
    counted = there.exclude(conversation_id__in=wide).values_list("conversation_id")
    standing = dict(counted.annotate(n=Count("user_id")))
    wider = {c for c, n in coming.items() if n + standing.get(c, 0) > MOST_FOLLOWED} - wide
    if wider:
        Listing.objects.filter(conversation_id__in=wider).update(shelf=WIDE)
    return wide | wider


def _kept(participants: Sequence[Participant]) -> set[Pair]:
    """Return in which of these something is kept unread."""
    by_user: dict[UUID, list[UUID]] = {}
    for mine in participants:
        by_user.setdefault(mine.user_id, []).append(mine.conversation_id)
    found: set[Pair] = set()
    for user_id, conversation_ids in by_user.items():
        marks = Mark.objects.filter(
            user_id=user_id, conversation_id__in=conversation_ids, flags__in=flagged(Flag.KEPT)
        )
        found.update(marks.values_list("user_id", "conversation_id"))
    return found


def _shelf(mine: Participant, kept: set[Pair]) -> int:
    talk = mine.conversation
    archived = mine.archived_seq is not None and mine.archived_seq >= talk.last_seq
    place = Place.ARCHIVED if archived else Place.INBOX
    if mine.left_at is not None:
        place = Place.LEFT
    return shelf(
        place,
        # As ``maybe_unread`` has it.
        unread=talk.last_seq > counting_start(mine) or (mine.user_id, mine.conversation_id) in kept,
        is_group=talk.kind == Kind.GROUP,
    )


# --- who is heavy ---------------------------------------------------------------------------------


def keep_lists(*, more_than: int = HEAVY) -> int:
    """Make those heavy who are in so many conversations by now; return how many they are."""
    found = find_heavy_readers(more_than=more_than)
    for user_id in found:
        make_heavy(user_id)
    return len(found)


def find_heavy_readers(*, more_than: int = HEAVY) -> list[UUID]:
    """Return those who are in so many conversations and are not read by listings yet."""
    crowded = (
        Participant.objects.filter(left_at=None)
        .values("user_id")
        .annotate(n=Count("conversation_id"))
        .filter(n__gt=more_than)
    )
    complete = HeavyReader.objects.filter(is_complete=True).values("user_id")
    return list(crowded.exclude(user_id__in=complete).values_list("user_id", flat=True))


def make_heavy(user_id: UUID) -> None:
    """Build someone's listings, a few at a time, beside whatever goes on; then read by them.

    It can be broken off, and begun again. There is no way back: a reader who has just been told to
    trust the listings must find them.
    """
    _begin(user_id)
    last: UUID | None = None
    while True:
        last = _build_some(user_id, last)
        if last is None:
            break
    HeavyReader.objects.filter(user_id=user_id).update(is_complete=True)


@in_transaction
def _begin(user_id: UUID) -> None:
    """From here on whatever changes for this person is followed."""
    settled = fence.state().settled
    try:
        with transaction.atomic():
            if not Following.objects.filter(pk=FOLLOWING).exists():
                Following.objects.create(pk=FOLLOWING, followed=settled)
    except IntegrityError:  # another process was first
        pass
    locked(Following.objects.filter(pk=FOLLOWING)).first()
    HeavyReader.objects.get_or_create(user_id=user_id)


@in_transaction
def _build_some(user_id: UUID, after: UUID | None) -> UUID | None:
    """Write the next listings in the order of the conversations' keys; return the last, if any."""
    # While this is held nothing is followed: what was changed and is followed is read here.
    locked(Following.objects.filter(pk=FOLLOWING)).first()
    found = Participant.objects.filter(user_id=user_id).select_related("conversation")
    if after is not None:
        found = found.filter(conversation_id__gt=after)
    some = list(found.order_by("conversation_id")[:AT_ONCE])
    _write_anew(some)
    return some[-1].conversation_id if some else None
