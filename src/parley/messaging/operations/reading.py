"""Reading, keeping unread, starring, removing for oneself: what one person does with messages.

All of it happens under the lock of the person's own participant row; none touches the
conversation's.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import Exists, F, OuterRef

from parley.accounts.models import User
from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, tell
from parley.conversations.fence import Entered
from parley.conversations.models import Conversation, Participant
from parley.kernel.database import in_transaction
from parley.messaging.models import Flag, Mark, Message, flagged
from parley.messaging.refusals import OutOfRange
from parley.messaging.seen import ReadState, SeenMessage
from parley.messaging.sight import first_hidden, flags_of, get_message
from parley.messaging.unread import read_state

FURTHEST = 1_000  # how many messages the watermark may pass in one call, when it closes a run
OWN_FIELDS = ("read_seq", "watermark", "delivered_seq")


@in_transaction
def read_up_to(*, viewer: User, conversation_id: UUID, seq: int | None = None) -> ReadState:
    """Read everything up to ``seq`` (default and limit: the last message). The receipt never falls.

    :raises ConversationNotFound: the viewer is not in it.
    """
    entered = fence.enter()
    mine = _lock_own(viewer, conversation_id)
    last = mine.conversation.last_seq
    upto = last if seq is None else min(seq, last)
    before = _place(mine)
    mine.watermark = max(mine.watermark, upto)
    mine.read_seq = max(mine.read_seq, upto)
    dropped = _drop(mine, Flag.KEPT, entered, seq__lte=upto)
    _close_run(mine, entered)
    _write(mine, entered, before, marked=dropped)
    return read_state(mine)


@in_transaction
def unread_from(*, viewer: User, conversation_id: UUID, seq: int) -> ReadState:
    """Make everything from ``seq`` on unread. The receipt that others saw is not taken back.

    :raises OutOfRange: ``seq`` is below 1.
    :raises ConversationNotFound: the viewer is not in it.
    """
    if seq < 1:
        raise OutOfRange(attr="seq")
    entered = fence.enter()
    mine = _lock_own(viewer, conversation_id)
    before = _place(mine)
    mine.watermark = min(mine.watermark, seq - 1)
    dropped = _drop(mine, Flag.READ, entered, seq__gte=seq)
    dropped |= _drop(mine, Flag.KEPT, entered, seq__gte=seq)
    _write(mine, entered, before, marked=dropped)
    return read_state(mine)


def set_message_read(*, viewer: User, message_id: UUID, read: bool) -> SeenMessage:
    """Read one message, or keep it unread; one's own are always read.

    :raises MessageNotFound: it is not the viewer's to see.
    """
    message = get_message(viewer=viewer, message_id=message_id)
    if message.sender_id == viewer.user_id:
        return message
    _set_one_read(viewer, message, read=read)
    return message._replace(read=read)


def read_message(*, viewer: User, message_id: UUID) -> bool:
    """Read one message; say whether it was this call that did, of several at once only one.

    :raises MessageNotFound: it is not the viewer's to see.
    """
    message = get_message(viewer=viewer, message_id=message_id)
    return message.sender_id != viewer.user_id and _set_one_read(viewer, message, read=True)


@in_transaction
def _set_one_read(viewer: User, message: SeenMessage, *, read: bool) -> bool:
    """Set the state of one message, and say whether it was another before."""
    entered = fence.enter()
    mine = _lock_own(viewer, message.conversation_id)
    above = message.seq > mine.watermark
    before = _place(mine)
    if read == above:  # above the watermark reading is marked, below it keeping unread is
        changed = _mark(mine, message, entered, add=Flag.READ if above else Flag.KEPT)
    else:
        changed = _mark(mine, message, entered, drop=Flag.READ if above else Flag.KEPT)
    if read:
        _close_run(mine, entered)
    _write(mine, entered, before, marked=changed)
    return changed


@in_transaction
def set_message_starred(*, viewer: User, message_id: UUID, starred: bool) -> SeenMessage:
    """Star a message, or take the star away.

    :raises MessageNotFound: it is not the viewer's to see.
    """
    entered = fence.enter()
    message = get_message(viewer=viewer, message_id=message_id)
    mine = conversations.lock_own(viewer.user_id, message.conversation_id)
    before = _place(mine)
    if starred:
        changed = _mark(mine, message, entered, add=Flag.STARRED)
    else:
        changed = _mark(mine, message, entered, drop=Flag.STARRED)
    _write(mine, entered, before, marked=changed)
    return message._replace(starred=starred)


@in_transaction
def remove_message(*, viewer: User, message_id: UUID) -> None:
    """Remove a message from the viewer's own lists, in every door; the others keep theirs.

    :raises MessageNotFound: it is not the viewer's to see, or they removed it before.
    """
    entered = fence.enter()
    message = get_message(viewer=viewer, message_id=message_id)
    mine = _lock_own(viewer, message.conversation_id)
    before = _place(mine)
    # Two devices may race here; under the lock the second finds it gone.
    get_message(viewer=viewer, message_id=message_id)
    _mark(mine, message, entered, add=Flag.REMOVED, drop=Flag.KEPT | Flag.STARRED)
    _close_run(mine, entered)
    _write(mine, entered, before, marked=True)
    tell(
        Event(
            Type.REMOVED,
            mine.conversation_id,
            user_ids=(mine.user_id,),
            message_id=message.message_id,
        )
    )


@in_transaction
def set_delivered(*, viewer: User, conversation_id: UUID, seq: int) -> int:
    """Note that messages up to ``seq`` have reached one of the viewer's devices; return how far
    they have.

    :raises ConversationNotFound: the viewer is not in it.
    """
    mine = _lock_own(viewer, conversation_id)
    reached = max(mine.delivered_seq, min(seq, mine.conversation.last_seq))
    if reached != mine.delivered_seq:
        mine.delivered_seq = reached
        mine.write("delivered_seq")
        tell(_of(mine, Type.DELIVERED, reached))
    return reached


# --- under the lock -------------------------------------------------------------------------------


def _lock_own(viewer: User, conversation_id: UUID) -> Participant:
    """Lock the viewer's row, then read the conversation, without a lock."""
    mine = conversations.lock_own(viewer.user_id, conversation_id)
    mine.conversation = Conversation.objects.get(conversation_id=conversation_id)
    return mine


def _place(mine: Participant) -> tuple[int, ...]:
    return mine.watermark, mine.read_seq, mine.delivered_seq


def _write(mine: Participant, entered: Entered, before: tuple[int, ...], *, marked: bool) -> None:
    """Stamp and write the viewer's row, and tell; what changed nothing leaves no trace."""
    mine.delivered_seq = max(mine.delivered_seq, mine.read_seq)
    if not marked and _place(mine) == before:
        return
    conversations.stamp_own(mine, entered, *OWN_FIELDS)
    tell(Event(Type.OWN, mine.conversation_id, user_ids=(mine.user_id,)))
    if mine.read_seq > before[1]:
        tell(_of(mine, Type.READ, mine.read_seq))


def _of(mine: Participant, about: Type, seq: int) -> Event:
    """The event of how far someone's reading or devices have come."""
    return Event(about, mine.conversation_id, user_ids=(mine.user_id,), seq=seq)


def _stamps(mine: Participant, entered: Entered) -> dict[str, int]:
    """What a mark is stamped with: the version and generation that the viewer's row is about to
    take.
    """
    return {"version": mine.version + 1, "gen": max(mine.gen, entered.g)}


def _drop(mine: Participant, flag: Flag, entered: Entered, **where: int) -> bool:
    """Take a flag from all of the viewer's marks in the range, and say whether there were any."""
    found = Mark.objects.filter(
        user_id=mine.user_id,
        conversation_id=mine.conversation_id,
        flags__in=flagged(flag),
        **where,
    )
    return bool(found.update(flags=F("flags") - flag, **_stamps(mine, entered)))


def _mark(
    mine: Participant, message: SeenMessage, entered: Entered, *, add: int = 0, drop: int = 0
) -> bool:
    """Change the flags of one mark, and say whether they were other before."""
    key = mine.user_id, mine.conversation_id, message.seq
    stored = flags_of({key[:2]: [message.seq]})
    before = stored.get(key, 0)
    flags = before & ~drop | add
    if flags == before:
        return False
    state = {
        "flags": flags,
        "starred_sent_at": message.sent_at if flags & Flag.STARRED else None,
        **_stamps(mine, entered),
    }
    where = dict(zip(("user_id", "conversation_id", "seq"), key, strict=True))
    if key in stored:
        Mark.objects.filter(**where).update(**state)
    else:
        Mark.objects.create(**where, message_id=message.message_id, **state)
    return True


def _close_run(mine: Participant, entered: Entered) -> None:
    """Move the watermark past what needs no reading: own, retracted, removed, read or hidden
    messages.
    """
    mine.watermark = max(mine.watermark, first_hidden(mine))
    stop = min(mine.watermark + FURTHEST, mine.conversation.last_seq)
    passed = Mark.objects.filter(
        user_id=mine.user_id,
        conversation_id=mine.conversation_id,
        seq=OuterRef("seq"),
        flags__in=sorted({*flagged(Flag.READ), *flagged(Flag.REMOVED)}),
    )
    waiting = (
        Message.objects.filter(
            conversation_id=mine.conversation_id,
            seq__gt=mine.watermark,
            seq__lte=stop,
            retracted_at=None,
        )
        .exclude(sender_id=mine.user_id)
        .exclude(Exists(passed))
        .order_by("seq")
        .values_list("seq", flat=True)
        .first()
    )
    mine.watermark = max(mine.watermark, stop if waiting is None else waiting - 1)
    mine.read_seq = max(mine.read_seq, mine.watermark)
    _drop(mine, Flag.READ, entered, seq__lte=mine.watermark)


def forget_reading(mine: Participant) -> None:
    """Drop what someone read out of order or kept unread: they join again with nothing unread."""
    for flag in (Flag.READ, Flag.KEPT):
        found = Mark.objects.filter(
            user_id=mine.user_id,
            conversation_id=mine.conversation_id,
            flags__in=flagged(flag),
        )
        found.update(flags=F("flags") - flag, version=mine.version, gen=mine.gen)
