"""Messages as mail has them: from one person to one person, with a number and a flag "read".

What every dialect does with them is here; each has only its own words for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.accounts.queries import UnknownPerson
from parley.dialects import handles
from parley.kernel.database import rows, uuid_value
from parley.kernel.errors import NotFound
from parley.kernel.paging import Position
from parley.messaging import operations, queries
from parley.messaging.correspondence import Addressee, addressees
from parley.messaging.drafts import Draft
from parley.messaging.refusals import MessageNotFound
from parley.messaging.seen import SeenMessage

MOST_LISTED = 1_000


class LetterNotFound(NotFound):
    """There is none with this number, it is not the viewer's to see, or they removed it."""

    code = "letter_not_found"
    message = "Message not found."


class Letter(NamedTuple):
    """A message as mail. ``is_read`` is the receiver's state, as they or their receipt have it."""

    number: int
    message_id: UUID
    sender_id: UUID
    sender: int
    receiver_id: UUID
    receiver: int
    subject: str
    body: str
    sent_at: datetime
    is_read: bool


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Letters, oldest first, and where those before them are."""

    letters: list[Letter]
    older: Position | None


def letters(
    viewer: User, messages: Sequence[SeenMessage], beside: Sequence[int | None] = ()
) -> list[Letter]:
    """Return messages as letters, in their order and in a constant number of queries.

    ``beside`` are the numbers that were read with the messages, where the caller has them in hand.
    """
    return _letters(messages, addressees(viewer=viewer, messages=messages), beside)


def _letters(
    messages: Sequence[SeenMessage],
    to: Sequence[Addressee],
    beside: Sequence[int | None] = (),
) -> list[Letter]:
    people = {m.sender_id for m in messages} | {addressee.user_id for addressee in to}
    users = handles.numbers_of_users(people)
    numbers = handles.numbers_of_messages([message.message_id for message in messages], beside)
    return [
        Letter(
            number=numbers[message.message_id],
            message_id=message.message_id,
            sender_id=message.sender_id,
            sender=users[message.sender_id],
            receiver_id=addressee.user_id,
            receiver=users[addressee.user_id],
            subject=message.subject,
            body=message.message_body,
            sent_at=message.sent_at,
            is_read=addressee.read,
        )
        for message, addressee in zip(messages, to, strict=True)
    ]


def mailbox(
    viewer: User,
    *,
    box: str = "all",
    unread_only: bool = False,
    position: Position | None = None,
    size: int = MOST_LISTED,
) -> Mailbox:
    """Return the newest of the viewer's letters: ``all``, those in the ``inbox``, or ``sent``."""
    page = queries.list_messages_beside(
        viewer=viewer,
        beside=handles.NUMBER_BESIDE,
        box=box,
        unread_only=unread_only,
        position=position,
        size=size,
    )
    seen = [message for message, _ in reversed(page.items)]
    numbers = [number for _, number in reversed(page.items)]
    return Mailbox(letters(viewer, seen, numbers), page.next)


def find_letter(viewer: User, number: int) -> Letter:
    """Return one letter of the viewer's.

    :raises LetterNotFound: they have none with this number.
    """
    try:
        seen = queries.get_message(viewer=viewer, message_id=_message_of(number))
    except MessageNotFound:
        raise LetterNotFound from None
    return letters(viewer, [seen])[0]


def _message_of(number: int) -> UUID:
    found = handles.message_of(number)
    if found is None:
        raise LetterNotFound
    return found


def read_letter(viewer: User, number: int) -> tuple[Letter, bool]:
    """Read a letter, if the viewer is its receiver; return it, and whether it was unread before.

    Of several calls at once only one finds it unread.

    :raises LetterNotFound: they have none with this number.
    """
    letter = find_letter(viewer, number)
    if letter.is_read or letter.receiver_id != viewer.user_id:
        return letter, False
    was_unread = operations.read_message(viewer=viewer, message_id=letter.message_id)
    return letter._replace(is_read=True), was_unread


def remove_letter(viewer: User, number: int) -> None:
    """Remove a letter for the viewer alone.

    :raises LetterNotFound: they have none with this number.
    """
    try:
        operations.remove_message(viewer=viewer, message_id=_message_of(number))
    except MessageNotFound:
        raise LetterNotFound from None


RECEIVER_SQL = """
SELECT u.user_id FROM dialects_userhandle h JOIN accounts_user u ON u.user_id = h.user_id
 WHERE h.number = %s AND u.is_active
"""


def find_receiver(number: int) -> UUID | None:
    """Return the active user of a number, if there is one."""
    found = rows(RECEIVER_SQL, [number]) if 0 < number <= handles.LARGEST else []
    return uuid_value(found[0][0]) if found else None


def find_receiver_named(username: str) -> UUID | None:
    """Return the active user of a username, if there is one."""
    try:
        # Usernames have no @; by address nobody is found here.
        return None if "@" in username else accounts.find_recipient(name=username)
    except UnknownPerson:
        return None


def write_letter(sender: User, *, receiver_id: UUID, subject: str, body: str) -> Letter:
    """Send a message into the direct conversation with one person, found before, and return it as a
    letter.

    :raises Refusal: as ``send`` does; ``attr`` is ``message_body`` or ``subject``.
    """
    draft = Draft(sender.user_id, body, subject=subject, recipient_ids=(receiver_id,))
    sent = operations.send(draft).message
    # Nobody else can have read it yet; to oneself it is read from the start.
    to = Addressee(receiver_id, read=receiver_id == sender.user_id)
    return _letters([sent], [to])[0]
