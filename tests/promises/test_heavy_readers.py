"""Who is in very many conversations reads the same as everyone, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from parley.accounts.models import User
from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations.models import Participant
from parley.kernel.errors import Refusal
from parley.messaging import boxes, changes, operations, queries, unread
from parley.messaging import listings as reading
from parley.messaging.listings import listings
from parley.messaging.models import WIDE, Following, HeavyReader, Listing
from parley.messaging.operations import following
from parley.messaging.operations.following import find_heavy_readers, keep_lists, make_heavy
from parley.realtime import hub
from parley.realtime.broker import Alone
from tests.promises import checker, listed
from tests.promises.client import Client
from tests.talk import direct, group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

SECONDS = 2
MOST_SECONDS = 20  # until a fault is seen; it takes less than one
TALKS = 24


@pytest.fixture(autouse=True)
def _both_ways(monkeypatch):
    listed.install(monkeypatch)
    # What is walked in steps is so with few, too.
    monkeypatch.setattr(unread, "CHUNK", 6)
    monkeypatch.setattr(boxes, "CHUNK", 7)


def tick() -> None:
    fence.tick(unless_within=timedelta(0))


def settle() -> None:
    """Tick until everything is settled and followed."""
    for _ in range(3):
        tick()


class Crowd:
    """People in some conversations, who do what people do."""

    def __init__(self, person: Any) -> None:
        self.people: list[User] = [person(name) for name in ("ada", "ben", "cyd", "dan")]
        self.ada, self.ben = self.people[:2]
        self.talks = [group(self.ada, *self.people[1:]) for _ in range(TALKS)]
        self.talks += [direct(self.ada, other) for other in self.people[1:]]

    def act(self) -> None:
        who, talk = random.choice(self.people), random.choice(self.talks)
        often = [self.say, self.say, self.join]
        seldom = [self.edit, self.read, self.archive, self.leave, self.rename, self.unread]
        act = random.choice([*often, *often, *seldom, self.begin])
        with suppress(Refusal):  # not in it, or not for them to do
            act(who, talk)

    def say(self, who: User, talk: Any) -> None:
        say(who, talk)

    def edit(self, who: User, talk: Any) -> None:
        found = queries.list_history(viewer=who, conversation_id=talk, size=1).items
        for message in found:
            operations.edit_message(
                editor=who, message_id=message.message_id, message_body=f"{random.random()}"
            )

    def read(self, who: User, talk: Any) -> None:
        operations.read_up_to(viewer=who, conversation_id=talk)

    def unread(self, who: User, talk: Any) -> None:
        for message in queries.list_history(viewer=who, conversation_id=talk, size=1).items:
            operations.set_message_read(
                viewer=who, message_id=message.message_id, read=random.random() < 0.5
            )

    def archive(self, who: User, talk: Any) -> None:
        at = random.choice([None, timezone.now()])
        conversations.set_own(viewer=who, conversation_id=talk, archived_at=at)

    def leave(self, who: User, talk: Any) -> None:
        conversations.leave(viewer=who, conversation_id=talk)

    def join(self, who: User, talk: Any) -> None:
        other = random.choice(self.people)
        conversations.add_participant(actor=who, conversation_id=talk, user_id=other.user_id)

    def rename(self, who: User, talk: Any) -> None:
        conversations.change_conversation(
            actor=who, conversation_id=talk, title=f"{random.random()}"
        )

    def begin(self, who: User, _talk: Any) -> None:
        if len(self.talks) < 2 * TALKS:
            self.talks.append(group(who, *self.people))


def run(
    crowd: Crowd, *, seconds: float, until_wrong: bool = False
) -> tuple[list[str], list[Client]]:
    """Let all act while some become heavy and read; return what was ever read otherwise than by
    looking at all.
    """
    end = time.monotonic() + seconds
    over, errors, wrong = threading.Event(), [], []
    clients = [Client(user) for user in crowd.people[:2]]
    turns = itertools.count()

    def become_heavy() -> None:
        over.wait(0.3)
        if not over.is_set():
            make_heavy(crowd.people[next(turns) % 3].user_id)

    def read(client: Client) -> None:
        wrong.extend(listed.differing(client.viewer))
        client.step(limit=random.randint(1, 50))

    steps = [crowd.act, crowd.act, become_heavy, checker._tick]
    steps += [lambda c=client: read(c) for client in clients]
    with checker.stalling():
        threads = [checker._thread(over, errors, step) for step in steps]
        for thread in threads:
            thread.start()
        while time.monotonic() < end and not (until_wrong and wrong):
            time.sleep(0.05)
        over.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    settle()
    return wrong, clients


def nothing_is_written(monkeypatch: Any) -> None:
    """Changes are said to be followed, and are not."""
    monkeypatch.setattr(following, "_write", lambda pairs: None)


def what_moves_is_not_looked_at(monkeypatch: Any) -> None:
    """Readers trust the listings beyond what these hold."""
    read = reading._read
    monkeypatch.setattr(
        reading, "_read", lambda viewer_id: (found := read(viewer_id)) and replace(found, moving=[])
    )


def followed_before_it_is_settled(monkeypatch: Any) -> None:
    """What is under way still is said to be followed."""
    monkeypatch.setattr(following, "_settled", lambda: fence.state().current)


MUTANTS = [nothing_is_written, what_moves_is_not_looked_at]
if connection.vendor != "sqlite":  # there a transaction that writes is alone
    MUTANTS.append(followed_before_it_is_settled)


class TestAHeavyReader:
    def test_reads_the_same_as_by_looking_at_all_throughout(self, person):
        """Promise 6: nothing is missed, and no list is other than it should be."""
        crowd = Crowd(person)

        wrong, clients = run(crowd, seconds=SECONDS)

        assert wrong == []
        assert HeavyReader.objects.filter(is_complete=True).count() >= 2
        for client in clients:
            client.catch_up()
            client.check_against_a_fresh_one()
            with listings(client.viewer.user_id) as found:
                assert found is not None
                assert found.moving == []
            for _ in range(10):
                assert listed.differing(client.viewer) == []

    @pytest.mark.parametrize("mutant", MUTANTS)
    def test_is_seen_to_read_otherwise_where_a_guard_is_left_out(self, person, mutant, monkeypatch):
        crowd = Crowd(person)
        make_heavy(crowd.ada.user_id)
        make_heavy(crowd.ben.user_id)
        mutant(monkeypatch)

        wrong, _ = run(crowd, seconds=MOST_SECONDS, until_wrong=True)

        assert wrong

    def test_finds_what_everyone_finds_once_all_is_followed(self, person):
        crowd = Crowd(person)
        make_heavy(crowd.ada.user_id)
        for _ in range(5):
            for _ in range(10):
                crowd.act()
            settle()
            for _ in range(5):
                assert listed.differing(crowd.ada) == []

    def test_has_a_listing_for_each_conversation_ever(self, person):
        crowd = Crowd(person)
        settle()
        make_heavy(crowd.ada.user_id)
        crowd.talks.append(group(crowd.ben, crowd.ada))
        conversations.leave(viewer=crowd.ada, conversation_id=crowd.talks[0])
        settle()

        own = Listing.objects.filter(user_id=crowd.ada.user_id)
        was_in = Participant.objects.filter(user_id=crowd.ada.user_id)
        assert {*own.values_list("conversation_id", flat=True)} == {
            *was_in.values_list("conversation_id", flat=True)
        }
        assert Following.objects.get().followed == fence.state().settled

    def test_looks_at_a_conversation_of_too_many_heavy_readers_by_itself(self, person, monkeypatch):
        monkeypatch.setattr(following, "MOST_FOLLOWED", 2)
        crowd = Crowd(person)
        for user in crowd.people:
            make_heavy(user.user_id)
        settle()

        shelves = Listing.objects.filter(conversation_id__in=crowd.talks[:TALKS])
        assert {*shelves.values_list("shelf", flat=True)} == {WIDE}
        assert not Listing.objects.filter(conversation_id__in=crowd.talks[TALKS:], shelf=WIDE)
        with listings(crowd.ada.user_id) as found:
            assert {*found.moving} == {*crowd.talks[:TALKS]}
        before = {*Listing.objects.values_list("user_id", "conversation_id", "active_gen")}
        say(crowd.ben, crowd.talks[3])
        settle()
        assert listed.differing(crowd.ada) == []
        assert {*Listing.objects.values_list("user_id", "conversation_id", "active_gen")} == before

    def test_of_whom_too_much_is_moving_looks_at_all(self, person, monkeypatch):
        monkeypatch.setattr(reading, "MOST_MOVING", 3)
        crowd = Crowd(person)
        make_heavy(crowd.ada.user_id)
        for talk in crowd.talks[:5]:
            say(crowd.ben, talk)

        with listings(crowd.ada.user_id) as found:
            assert found is None
        assert len(queries.list_conversations(viewer=crowd.ada, position=None, size=50).items) == 27
        settle()
        with listings(crowd.ada.user_id) as found:
            assert found is not None

    def test_of_whom_nothing_is_asked_is_given_nothing(self, ada, ben):
        direct(ada, ben)
        make_heavy(ada.user_id)
        settle()

        assert changes.changed_after(ada.user_id, 0, None, 0) == []


class TestWhoIsHeavy:
    def test_is_found_by_how_many_conversations_they_are_in_now(self, ada, ben, cyd):
        talks = [group(ada, ben) for _ in range(4)]
        group(cyd, ben)
        conversations.leave(viewer=ada, conversation_id=talks[0])

        assert find_heavy_readers(more_than=3) == [ben.user_id]
        make_heavy(ben.user_id)
        assert find_heavy_readers(more_than=3) == []
        assert {*find_heavy_readers(more_than=2)} == {ada.user_id}

    def test_is_built_anew_when_it_was_broken_off(self, ada, ben, monkeypatch):
        monkeypatch.setattr(following, "AT_ONCE", 2)
        talks = [group(ada, ben) for _ in range(5)]
        build = following._build_some
        with monkeypatch.context() as patch:
            patch.setattr(
                following, "_build_some", lambda u, last: build(u, last) if not last else 1 / 0
            )
            with pytest.raises(ZeroDivisionError):
                make_heavy(ada.user_id)
        assert Listing.objects.count() == 2
        with listings(ada.user_id) as found:
            assert found is None

        make_heavy(ada.user_id)

        assert {*Listing.objects.values_list("conversation_id", flat=True)} == {*talks}
        assert listed.differing(ada) == []

    def test_is_named_by_an_operator(self, ada, ben, capsys):
        for _ in range(3):
            group(ada, ben)

        call_command("keep_lists", more_than=2)
        call_command("keep_lists", more_than=2)

        assert "of 2 more" in capsys.readouterr().out
        assert HeavyReader.objects.filter(is_complete=True).count() == 2

    def test_or_by_a_server_in_its_own_time(self, ada, ben, monkeypatch):
        for _ in range(3):
            group(ada, ben)
        done = threading.Event()

        def keep() -> None:
            keep_lists(more_than=2)
            done.set()

        monkeypatch.setattr(hub, "KEEP_S", 0.01)
        monkeypatch.setattr(hub, "keep_lists", keep)

        async def serve() -> None:
            serving = hub.Hub(Alone())
            await serving.start()
            assert await asyncio.to_thread(done.wait, 10)
            await serving.stop()

        asyncio.run(serve())
        assert HeavyReader.objects.filter(is_complete=True).count() == 2
