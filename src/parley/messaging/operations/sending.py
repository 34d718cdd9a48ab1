"""The one way a message comes into being."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
)

from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, tell
from parley.kernel.database import ATTEMPTS, in_one_statement, in_transaction
from parley.kernel.errors import Invalid, Refusal, Unavailable
from parley.kernel.hooks import Hook
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.operations import one_trip
from parley.messaging.operations.portable import Batch
from parley.messaging.refusals import ClientIdReused
from parley.messaging.seen import SeenMessage, Sent
from parley.messaging.sight import see

INSTANT = timedelta(microseconds=1)

# Called with the new messages in the transaction that writes them.
messages_sent: Hook[Sequence[SeenMessage]] = Hook()


def send(draft: Draft) -> Sent:
    """Send one message; once this returns it is on disk.

    :raises Refusal: as :func:`send_many` answers for it.
    """
    [result] = send_many([draft])
    if isinstance(result, Refusal):
        raise result
    return result


def send_many(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Send messages together, and answer for each draft in its place; a refused one harms no other.

    A draft that stands in it more than once is decided once, where it first stands.
    What decides, in this order: a known client id (the first message, or ``ClientIdReused``), a
    conversation that is unknown or not the sender's (``ConversationNotFound``), ``Blocked``,
    ``UnknownReply``. On PostgreSQL it is one call of a database function (``one_trip``).
    """
    unique = {draft.message_id: draft for draft in drafts}
    if len(unique) < len(drafts):
        answers = send_many(list(unique.values()))
        return _repeat(drafts, dict(zip(unique, answers, strict=True)))
    results: dict[int, Sent | Refusal] = {}
    longest = settings.PARLEY.message_length
    for place, draft in enumerate(drafts):
        try:
            draft.check(longest=longest)
        except Refusal as refusal:
            results[place] = refusal
    places = [place for place in range(len(drafts)) if place not in results]
    written = send_checked([drafts[place] for place in places]) if places else []
    results.update(zip(places, written, strict=True))
    return [results[place] for place in range(len(drafts))]


def send_checked(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Send messages as ``send_many`` does, of drafts that were checked and stand in it once."""
    written = _write_surely(drafts)
    tell(*news_of(written))
    return written


def _repeat(drafts: Sequence[Draft], by_id: Mapping[UUID, Sent | Refusal]) -> list[Sent | Refusal]:
    """Answer for a draft that stands in a batch more than once; it is new the first time."""
    told: set[UUID] = set()
    answers: list[Sent | Refusal] = []
    for draft in drafts:
        answer = by_id[draft.message_id]
        if isinstance(answer, Sent) and draft.message_id in told:
            answer = Sent(answer.message, is_new=False)
        told.add(draft.message_id)
        answers.append(answer)
    return answers


def news_of(results: Iterable[Sent | Refusal]) -> list[Event]:
    """Return what is to be told of sends."""
    return [_told(each.message) for each in results if isinstance(each, Sent) and each.is_new]


def _told(message: SeenMessage) -> Event:
    return Event(
        Type.MESSAGES,
        message.conversation_id,
        message.revision,
        message_id=message.message_id,
        seq=message.seq,
        said=message,
    )


def find_sent(draft: Draft) -> Sent | None:
    """Return the message that the draft's client id names already, if there is one.

    For drafts that could not be sent any more, as to people who were deactivated since: a retry
    meets its first message all the same.

    :raises ClientIdReused: it names a message with other content.
    """
    where = (
        draft.conversation_id or draft.new_group_id or conversations.find_direct(draft.direct_key)
    )
    if where is None or draft.client_id is None:
        return None
    message = Message.objects.filter(
        conversation_id=where, sender_id=draft.sender_id, client_id=draft.client_id
    ).first()
    if message is None:
        return None
    if bytes(message.fingerprint or b"") != draft.fingerprint(message.conversation_id):
        raise ClientIdReused(attr="client_id")
    return Sent(see(draft.sender_id, [message])[0], is_new=False)


def _write_surely(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Write a batch; after an unknown outcome again, with the same ids on a fresh connection."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _write(drafts)
        except DataError as error:
            return _bisect(drafts, error)
        except (OperationalError, InterfaceError, IntegrityError) as error:
            if connection.in_atomic_block or attempt == ATTEMPTS:
                raise
            if not isinstance(error, IntegrityError):
                connection.close()
    raise Unavailable


def _bisect(drafts: Sequence[Draft], error: DataError) -> list[Sent | Refusal]:
    """Find the draft that the database cannot hold; the others go through."""
    if connection.in_atomic_block:
        raise error
    if len(drafts) == 1:
        return [Invalid()]
    middle = len(drafts) // 2
    return _write_surely(drafts[:middle]) + _write_surely(drafts[middle:])


def _write(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    if connection.vendor != "postgresql":
        return _write_portably(drafts)
    # One conversation that someone else has locked must not stall the others; alone, it may wait.
    alone = len(drafts) == 1 or connection.in_atomic_block
    return _write_in_one_trip(drafts, waiting=alone)


# --- by the database's own function ---------------------------------------------------------------


def _write_in_one_trip(drafts: Sequence[Draft], *, waiting: bool) -> list[Sent | Refusal]:
    """Write a batch by the database function; what that leaves undone goes through by itself."""
    found = _call(drafts, waiting=waiting)
    if found.portable:
        left = _write_portably([drafts[place] for place in found.portable])
        found.results.update(zip(found.portable, left, strict=True))
    stuck: dict[object, list[int]] = {}
    for place in found.stuck:
        stuck.setdefault(drafts[place].where, []).append(place)
    for places in stuck.values():
        left = _wait_and_write([drafts[place] for place in places])
        found.results.update(zip(places, left, strict=True))
    return [found.results[place] for place in range(len(drafts))]


def _wait_and_write(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    """Write the drafts of one conversation once its lock is free; if it is not, say so for them."""
    try:
        return _write_in_one_trip(drafts, waiting=True)
    except Unavailable as busy:
        return [busy] * len(drafts)


def _call(drafts: Sequence[Draft], *, waiting: bool) -> one_trip.Outcome:
    joined = messages_sent.in_sql()  # what takes part can often say it in the same statement
    if joined is None:
        return _call_and_tell(drafts, waiting=waiting)
    return _ask(one_trip.together(joined), drafts, waiting=waiting)


@in_one_statement
def _ask(statement: str, drafts: Sequence[Draft], *, waiting: bool) -> one_trip.Outcome:
    with connection.cursor() as cursor:
        cursor.execute(statement, one_trip.parameters(drafts, waiting=waiting))
        return one_trip.read(drafts, cursor.fetchall())


@in_transaction
def _call_and_tell(drafts: Sequence[Draft], *, waiting: bool) -> one_trip.Outcome:
    found = _ask(one_trip.CALL, drafts, waiting=waiting)
    if found.new:
        messages_sent(found.new)
    return found


# --- in statements that every database has -------------------------------------------------------


@in_transaction
def _write_portably(drafts: Sequence[Draft]) -> list[Sent | Refusal]:
    batch = Batch(fence.enter(), drafts)
    batch.settle()
    if batch.new:
        batch.write()
        messages_sent(batch.new)
    return batch.answers()
