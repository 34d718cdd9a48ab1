"""Who has had a message, and who has read it."""

from __future__ import annotations

from uuid import UUID

from parley.accounts.models import User
from parley.conversations import queries as conversations
from parley.conversations.seen import SeenParticipant
from parley.kernel.paging import Page, Position
from parley.messaging.models import Flag, Mark, flagged
from parley.messaging.seen import Receipt, SeenMessage
from parley.messaging.sight import get_message


def list_receipts(
    *, viewer: User, message_id: UUID, position: Position | None, size: int
) -> Page[Receipt]:
    """Return one page of what each participant but the sender has had of a message.

    Longest-standing first. Read means: up to their receipt, or marked read by itself. What someone
    keeps unread is theirs alone.

    :raises MessageNotFound: it is not the viewer's to see.
    """
    message = get_message(viewer=viewer, message_id=message_id)
    page = conversations.list_participants(
        viewer=viewer,
        conversation_id=message.conversation_id,
        position=position,
        size=size,
        but=message.sender_id,
    )
    marked = _marked_read(message, page.items)
    return page.with_items(
        [
            _receipt(message, participant, marked=participant.user_id in marked)
            for participant in page.items
        ]
    )


def _marked_read(message: SeenMessage, participants: list[SeenParticipant]) -> set[UUID]:
    found = Mark.objects.filter(
        user_id__in=[p.user_id for p in participants],
        conversation_id=message.conversation_id,
        seq=message.seq,
        flags__in=flagged(Flag.READ),
    )
    return set(found.values_list("user_id", flat=True))


def _receipt(message: SeenMessage, participant: SeenParticipant, *, marked: bool) -> Receipt:
    read = marked or message.seq <= participant.read_seq
    delivered = read or message.seq <= participant.delivered_seq
    return Receipt(participant.user_id, delivered=delivered, read=read)
