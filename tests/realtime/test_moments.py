"""Receipts and typing where many people are, and fan-outs that leave the loop to others."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from parley.accounts.models import User
from parley.conversations import operations as conversations
from parley.messaging import operations
from parley.realtime import moments, slices
from parley.realtime.broker import Alone
from parley.realtime.connections import Connection
from parley.realtime.frames import event
from parley.realtime.hub import Hub
from parley.realtime.pull import Want
from tests.realtime.conftest import heard, in_thread, live, put, quiet
from tests.talk import group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def crowd(ada, ben, cyd):
    """A conversation of 51 people, owned by ada."""
    others = [User(username=f"reader{n}", password="!") for n in range(48)]
    for other in others:
        other.save()
    return group(ada, ben, cyd, *others), others


def read(reader, talk, seq):
    operations.read_up_to(viewer=reader, conversation_id=talk, seq=seq)


class TestReceiptsInALargeConversation:
    def test_reach_the_author_in_one_event_a_second(self, server, bearer, ada, ben, cyd, crowd):
        talk, readers = crowd
        for n in range(3):
            say(ada, talk, str(n))

        async def scene():
            async with live(server, bearer(ada)) as adas, live(server, bearer(cyd)) as cyds:
                for n, reader in enumerate(readers[:30]):
                    await in_thread(read, reader, talk, 3 if n == 7 else 2)
                got = [await heard(adas, "read")]
                while sum(1 + len(e.get("others", ())) for e in got) < 30:
                    got.append(await heard(adas, "read"))
                assert await quiet(cyds, "read", seconds=1.2)
                return got

        got = asyncio.run(scene())
        assert len(got) < 10
        one = ["type", "conversation", "at", "user_id", "read_seq"]
        # The second may end before the last few have read: one who is left has no others beside.
        assert {tuple(e) for e in got} <= {(*one, "others"), tuple(one)}
        receipts = [
            receipt
            for e in got
            for receipt in ({k: e[k] for k in ("user_id", "read_seq")}, *e.get("others", ()))
        ]
        assert {r["user_id"] for r in receipts} == {str(reader.user_id) for reader in readers[:30]}
        assert sorted(r["read_seq"] for r in receipts) == [2] * 29 + [3]
        assert all(e["read_seq"] >= r["read_seq"] for e in got for r in e.get("others", ()))

    def test_are_cut_to_what_one_event_holds(self, server, bearer, ada, crowd, monkeypatch):
        monkeypatch.setattr(moments, "MOST_GATHERED", 2)
        talk, readers = crowd
        say(ada, talk)

        async def scene():
            async with live(server, bearer(ada)) as adas:
                for reader in readers[:5]:
                    await in_thread(read, reader, talk, 1)
                found = []
                while len(found) < 5:
                    frame = await heard(adas, "read")
                    assert len(frame.get("others", ())) <= 1
                    found += [frame["user_id"], *(r["user_id"] for r in frame.get("others", ()))]
                return found

        found = asyncio.run(scene())
        assert set(found) == {str(reader.user_id) for reader in readers[:5]}

    def test_reach_ones_own_devices_at_once_and_authors_who_left_never(
        self, server, bearer, ada, ben, cyd, crowd
    ):
        talk, _ = crowd
        say(ben, talk)
        conversations.leave(viewer=ben, conversation_id=talk)
        conversations.add_participant(
            actor=ada,
            conversation_id=talk,
            user_id=User.objects.create(username="dot", password="!").user_id,
        )

        async def scene():
            async with (
                live(server, bearer(ben)) as bens,
                live(server, bearer(cyd)) as one,
                live(server, bearer(cyd)) as other,
            ):
                await put(one, type="read", conversation=str(talk), seq=1)
                assert (await heard(other, "read"))["read_seq"] == 1
                await put(one, type="typing", conversation=str(talk))
                assert await quiet(bens, "read", "typing", seconds=1.5)

        asyncio.run(scene())


class Taker:
    """An outlet that takes everything at once."""

    is_free = True

    def __init__(self):
        self.taken = []

    def put(self, frame):
        self.taken.append(frame.text)

    def heard_at(self):
        return float("inf")

    def end(self):
        pass


class TestALargeFanOut:
    def test_leaves_the_loop_to_others_and_keeps_each_ones_order(self, monkeypatch, db):
        monkeypatch.setattr(slices, "SLICE_S", 0)
        at = datetime(2030, 1, 1, tzinfo=UTC)
        turns = 0

        async def others():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async def scene():
            hub = Hub(Alone())
            people = [User(username=f"one{n}") for n in range(100)]
            takers = [Taker() for _ in people]
            for person, taker in zip(people, takers, strict=True):
                connection = Connection(person.user_id, None, hub.place)
                connection.open(taker, beats_s=25)
                hub.join(connection)
            frames = [event("resync", at, content={"n": n}) for n in range(3)]
            other = asyncio.create_task(others())
            for frame in frames:
                await hub.tell([person.user_id for person in people], frame)
            other.cancel()
            return takers, [frame.text for frame in frames]

        takers, texts = asyncio.run(scene())
        assert turns >= 250
        assert all(taker.taken == texts for taker in takers)


class TestACrowd:
    def test_that_goes_on_coming_is_asked_for_once_more_and_no_more(self, monkeypatch):
        """Who comes after a first look at the database looks after it."""
        asked = []

        async def scene():
            hub = Hub(Alone())

            async def another_comes(_wants, online):
                await asyncio.sleep(0)
                asked.append(len(online))
                hub.join(Connection(uuid4(), None, hub.place))
                return []

            monkeypatch.setattr(hub, "_pull", another_comes)
            hub.join(Connection(uuid4(), None, hub.place))
            async with asyncio.timeout(5):
                await hub._tell_together([Want(uuid4(), None)])

        asyncio.run(scene())
        assert asked == [1, 1]
