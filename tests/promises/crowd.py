"""Large conversations, written as rows: what their size costs is measured, not how they came."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from django.utils import timezone

from parley.accounts.models import User
from parley.conversations.models import Conversation, Kind, Participant
from parley.kernel import ids
from parley.kernel.bulk import renew_statistics
from parley.messaging.models import Flag, Mark, Message
from tests.talk import group


def long_talk(owner: User, *others: User, messages: int, members: int = 0) -> UUID:
    """Make a group with so long a history, and so many members beside those who are named."""
    talk = group(owner, *others)
    crowd = [User(username=f"{talk.hex[:12]}{n}", password="!") for n in range(members)]
    for user in crowd:
        user.username_key = user.username
    User.objects.bulk_create(crowd, batch_size=500)
    conversation = Conversation.objects.get(conversation_id=talk)
    _join(conversation, crowd)
    _say(conversation, [owner, *others], messages)
    _mark(conversation, [owner, *others], messages)
    renew_statistics()
    return talk


def many_talks(*, people: int, talks: int) -> None:
    """Have others talk two by two, in so many groups."""
    crowd = [User(username=f"other{n}", username_key=f"other{n}") for n in range(people)]
    User.objects.bulk_create(crowd, batch_size=500)
    now = timezone.now()
    times = {"created_at": now, "changed_at": now, "active_at": now}
    made = [
        Conversation(conversation_id=uuid4(), kind=Kind.GROUP, gen=1, active_gen=1, **times)
        for _ in range(talks)
    ]
    Conversation.objects.bulk_create(made, batch_size=500)
    rows = [
        _participant(conversation, crowd[(n + more) % people])
        for n, conversation in enumerate(made)
        for more in (0, 1 + n // people)
    ]
    Participant.objects.bulk_create(rows, batch_size=500)
    renew_statistics()


def _participant(conversation: Conversation, user: User) -> Participant:
    now, gen = timezone.now(), conversation.gen
    return Participant(
        conversation=conversation,
        user=user,
        joined_at=now,
        changed_at=now,
        gen=gen,
        joined_gen=gen,
    )


def _join(conversation: Conversation, crowd: list[User]) -> None:
    rows = [_participant(conversation, user) for user in crowd]
    Participant.objects.bulk_create(rows, batch_size=500)
    conversation.member_count += len(crowd)
    conversation.save()


def _say(conversation: Conversation, speakers: list[User], messages: int) -> None:
    began = conversation.created_at
    rows = [
        Message(
            message_id=ids.message_id(conversation.conversation_id),
            conversation=conversation,
            sender=speakers[n % len(speakers)],
            seq=n,
            revision=n,
            gen=conversation.gen,
            message_body=f"number {n}",
            sent_at=began + timedelta(microseconds=n),
        )
        for n in range(1, messages + 1)
    ]
    Message.objects.bulk_create(rows, batch_size=500)
    conversation.last_seq = conversation.revision = messages
    conversation.active_at = began + timedelta(microseconds=messages)
    conversation.save()


def _mark(conversation: Conversation, people: list[User], messages: int) -> None:
    """Everyone has once done something to every fifth message, and has read nearly all."""
    where = Participant.objects.filter(conversation=conversation)
    where.update(watermark=messages - 5, read_seq=messages - 5, delivered_seq=messages - 5)
    marked = Message.objects.filter(conversation=conversation, seq__in=range(5, messages - 9, 5))
    for person in people:
        rows = [
            Mark(
                user=person,
                conversation=conversation,
                seq=message.seq,
                message_id=message.message_id,
                flags=(0, Flag.STARRED, Flag.REMOVED)[message.seq // 5 % 3],
                version=version,
                gen=conversation.gen,
                starred_sent_at=message.sent_at if message.seq // 5 % 3 == 1 else None,
            )
            for version, message in enumerate(marked, start=1)
        ]
        Mark.objects.bulk_create(rows, batch_size=500)
        where.filter(user=person).update(version=len(rows))
