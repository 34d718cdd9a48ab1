"""Promise 8, of whoever is in very many conversations: a list costs what it costs with few.

What the database does is counted (``meter``) where there are many conversations and where there are
many times more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from parley.accounts.models import User
from parley.conversations import fence
from parley.kernel.bulk import renew_statistics
from parley.messaging import queries, unread
from parley.messaging.operations.following import make_heavy
from parley.messaging.operations.loading import History, Member, Said, load_histories
from parley.messaging.sync import here, sync
from tests.promises.meter import work
from tests.talk import say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

FEW, MANY = 2_000, 24_000
SLACK, FREE = 1.5, 150
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def fill(reader: User, other: User, count: int) -> None:
    """Load so many groups of the two: in each there is something unread, a few are archived."""
    load_histories(_histories(reader, other, count))
    for _ in range(3):
        fence.tick(unless_within=timedelta(0))


def _histories(reader: User, other: User, count: int) -> Iterator[History]:
    for n in range(count):
        began = BEGAN + timedelta(minutes=n)
        said = [Said(one.user_id, "hello", began) for one in (reader, other)]
        members = [Member(reader.user_id, read_seq=1), Member(other.user_id, read_seq=2)]
        yield History("group", began, members, said, title=f"{n}")


def costs(reader: User, other: User) -> dict[str, int]:
    """What each of the lists costs; in the end those of someone who was away."""

    def inbox(**more: Any) -> Callable[[], object]:
        asked = {"position": None, "size": 20} | more
        return lambda: queries.list_conversations(viewer=reader, **asked)

    def messages(**more: Any) -> Callable[[], object]:
        return lambda: queries.list_messages(viewer=reader, position=None, size=20, **more)

    talk = queries.list_conversations(viewer=reader, position=None, size=1).items[0].conversation_id
    place = None
    for _ in range(3):
        place = queries.list_conversations(viewer=reader, position=place, size=200).next
    begun = sync(viewer=reader, limit=200).cursor
    now = here(viewer=reader)
    found = {
        "inbox": inbox(),
        "inbox, deep": inbox(position=place),
        "inbox, unread": inbox(unread_only=True),
        "inbox, archived": inbox(archived=True),
        "inbox, direct": inbox(kind="direct"),
        "messages": messages(),
        "messages, unread": messages(unread_only=True),
        "unread": lambda: queries.count_unread(viewer=reader),
        "nothing new": lambda: sync(viewer=reader, cursor=now),
        "first snapshot": lambda: sync(viewer=reader, limit=20),
        "first snapshot, going on": lambda: sync(viewer=reader, cursor=begun, limit=20),
    }
    counted = {name: work(call) for name, call in found.items()}
    for _ in range(3):
        say(other, talk)
    counted["not followed yet"] = work(inbox())
    counted["three new ones"] = work(lambda: sync(viewer=reader, cursor=now))
    fence.tick(unless_within=timedelta(0))
    counted["followed"] = work(inbox())
    return counted


@pytest.fixture
def readers(person) -> list[tuple[User, User]]:
    """Two readers, each with the one they talk with; both are there before anything is counted."""
    pairs = [(person(name), person(f"{name}s")) for name in ("few", "many")]
    for pair, count in zip(pairs, (FEW, MANY), strict=True):
        fill(*pair, count)
    renew_statistics()
    return pairs


class TestPromise8CostDoesNotGrow:
    def test_with_the_conversations_that_one_is_in(self, readers, monkeypatch):
        # For 200 at once PostgreSQL reads tables of this size whole, and is right.
        monkeypatch.setattr(unread, "CHUNK", 50)

        def inbox(reader: User) -> Callable[[], object]:
            return lambda: queries.list_conversations(viewer=reader, position=None, size=20)

        few, many = (work(inbox(reader)) for reader, _ in readers)
        assert many > SLACK * few + FREE, "as it does for a light reader, and this would see it"

        for reader, _ in readers:
            make_heavy(reader.user_id)
        renew_statistics()

        little, much = (costs(*pair) for pair in readers)
        grown = {
            name: (cost, much[name])
            for name, cost in little.items()
            if much[name] > SLACK * cost + FREE
        }
        assert grown == {}
