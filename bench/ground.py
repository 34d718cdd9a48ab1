"""The world of the bench: so many users, so many groups of ten, so many messages in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import make_password

from parley.accounts.models import User
from parley.conversations.models import Conversation, Fence, Participant
from parley.kernel import ids
from parley.kernel.bulk import renew_statistics, write_rows
from parley.messaging.models import Message

MEMBERS = 10
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BODY = "The quick brown fox jumps over the lazy dog, again and again, until it is a habit. "


@dataclass(frozen=True)
class Size:
    users: int
    conversations: int
    messages: int


def make(size: Size) -> None:
    """Fill empty tables; in every conversation half the members have not read the last ten."""
    chance = random.Random(7)
    people = [ids.new_id(at=BEGAN) for _ in range(size.users)]
    talks = sorted(ids.new_id(at=BEGAN + timedelta(seconds=n)) for n in range(size.conversations))
    members = {talk: chance.sample(people, MEMBERS) for talk in talks}
    length = max(size.messages // size.conversations, 1)
    Fence.objects.get_or_create(pk=1)
    _people(people)
    _conversations(talks, length)
    _participants(members, length)
    _messages(members, length)
    renew_statistics()


def _people(people: list[UUID]) -> None:
    password = make_password("a lamp in the corner")
    users = [
        User(user_id=each, username=f"user{n}", email=f"user{n}@example.org", password=password)
        for n, each in enumerate(people)
    ]
    for user in users:
        user.follow()
    User.objects.bulk_create(users, batch_size=500)


def _conversations(talks: list[UUID], length: int) -> None:
    named = (
        "conversation_id kind title created_at changed_at last_seq revision gen active_gen"
        " active_at members_rev member_count purged_seq"
    )
    at = BEGAN + timedelta(days=1)
    rows = (
        (
            *(talk, "group", f"Talk {n}", BEGAN, at, length, length, 1, 1),
            *(at + timedelta(seconds=n), 0, MEMBERS, 0),
        )
        for n, talk in enumerate(talks)
    )
    write_rows(Conversation, named.split(), rows)


def _participants(members: dict[UUID, list[UUID]], length: int) -> None:
    named = (
        "user conversation member_role joined_at changed_at gen version joined_gen joined_revision"
        " visible_after read_seq watermark delivered_seq"
    )
    rows = (
        (who, talk, "member", BEGAN, BEGAN, 1, 0, 1, 0, 0, *[_read(n, length)] * 3)
        for talk, people in members.items()
        for n, who in enumerate(people)
    )
    write_rows(Participant, named.split(), rows)


def _read(n: int, length: int) -> int:
    return length if n % 2 else max(length - 10, 0)


def _messages(members: dict[UUID, list[UUID]], length: int) -> None:
    named = (
        "message_id conversation sender seq revision gen subject message_body sent_at client_id"
        " fingerprint reply_to edited_at retracted_at"
    )
    write_rows(Message, named.split(), _spoken(members, length))


def _spoken(members: dict[UUID, list[UUID]], length: int) -> Iterator[tuple[Any, ...]]:
    for seq in range(1, length + 1):
        at = BEGAN + timedelta(hours=1, seconds=seq)
        for talk, people in members.items():
            message_id = ids.new_id(shard=ids.shard_of(talk), at=at)
            who = people[seq % MEMBERS]
            yield (message_id, talk, who, seq, seq, 1, "", BODY, at, *(None,) * 5)
