"""What a process hears of itself, and of others; and whether it speaks where nobody listens."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from django.db import connection

from parley.conversations.events import Event, Type
from parley.realtime import broker as brokers
from parley.realtime.broker import HERE, WHO, RedisBroker, choose, pack

EVENT = Event(Type.MESSAGES, uuid4(), 7, seq=3)
OTHER = Event(Type.MESSAGES, uuid4(), 8)


@pytest.fixture(
    params=["redis", pytest.param("notify", marks=[pytest.mark.postgresql, pytest.mark.databases])]
)
def broker(request, db, redis_url, monkeypatch):
    """How brokers of one kind are made; seconds take tenths of them."""
    monkeypatch.setattr(brokers, "BEAT_S", 0.1)
    monkeypatch.setattr(brokers, "SILENT_S", 0.4)
    monkeypatch.setattr(brokers, "AGAIN_S", 0.2)
    monkeypatch.setattr(brokers, "CHANNEL", f"parley_{uuid4().hex}")
    return (lambda: RedisBroker(redis_url)) if request.param == "redis" else choose


@asynccontextmanager
async def begun(broker):
    """A broker that listens; what it hears, and what it says."""
    broker.told, broker.said = [], []
    send = broker._send

    async def noted(text):
        await send(text)
        broker.said += brokers.unpack(text)[1]

    broker._send = noted
    await broker.start(broker.told.extend)
    await until(lambda: WHO in broker.said)
    try:
        yield broker
    finally:
        await broker.stop()


async def until(is_so, seconds=8):
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - of another process nothing else tells
            await asyncio.sleep(0.01)


async def silence():
    await asyncio.sleep(2 * brokers.SILENT_S)


async def is_said(broker, event):
    """Whether an event is published."""
    broker.publish([event])
    await asyncio.sleep(0.2)
    return event in broker.said


class TestWhoHearsNobody:
    def test_says_no_more_than_that_it_is_here(self, broker):
        async def scene():
            async with begun(broker()) as alone:
                assert await is_said(alone, OTHER)  # someone may be about to answer
                await silence()
                assert not await is_said(alone, EVENT)
                assert set(alone.said) == {WHO, HERE, OTHER}

        asyncio.run(scene())

    def test_speaks_as_soon_as_someone_comes_and_as_long_as_they_stay(self, broker):
        async def scene():
            async with begun(broker()) as first:
                await silence()
                async with begun(broker()) as second:
                    await until(lambda: HERE in second.told)
                    await silence()
                    for one, other in ((first, second), (second, first)):
                        one.publish([EVENT])
                        await until(lambda told=other.told: EVENT in told)
                await silence()
                assert not await is_said(first, OTHER)

        asyncio.run(scene())

    def test_speaks_while_it_cannot_hear(self, broker, monkeypatch):
        async def scene():
            async with begun(broker()) as deaf:
                await silence()

                async def away(_hear):
                    raise OSError("away")

                deaf._tasks[0].cancel()
                deaf._listen = away
                deaf._tasks.append(asyncio.create_task(deaf._listen_for_ever(print)))
                await silence()
                assert await is_said(deaf, EVENT)

        asyncio.run(scene())


class TestABroker:
    def test_publishes_what_waits_before_it_ends(self, broker):
        async def scene():
            async with begun(broker()) as hearing:
                async with begun(broker()) as leaving:
                    leaving.publish([EVENT])
                await until(lambda: EVENT in hearing.told)

        asyncio.run(scene())

    def test_drops_what_is_too_much_and_goes_on(self, broker, monkeypatch):
        monkeypatch.setattr(brokers, "MOST_WAITING", 3)

        async def scene():
            async with begun(broker()) as hearing, begun(broker()) as speaking:
                await until(lambda: not speaking._outgoing)
                for _ in range(10):
                    speaking.publish([EVENT])
                await until(lambda: EVENT in hearing.told)
                await until(lambda: not speaking._outgoing)
                speaking.publish([OTHER])
                await until(lambda: OTHER in hearing.told)
                assert hearing.told.count(EVENT) <= 4

        asyncio.run(scene())

    @pytest.mark.parametrize("is_own", [True, False])
    def test_does_not_hear_itself(self, broker, is_own):
        async def scene():
            found, told = broker(), []
            [text] = pack(found._own if is_own else "another", [EVENT])
            found.heard(text, told.extend)
            return told

        assert asyncio.run(scene()) == ([] if is_own else [EVENT])

    @pytest.mark.parametrize("text", ["", "{}", "[]", '["a"]', '["a",[["messages"]]]', "\ud800"])
    def test_does_not_hear_what_is_not_ours(self, broker, text):
        told = []

        broker().heard(text, told.extend)

        assert not told


def test_there_is_one_where_processes_could_hear_each_other(db):
    is_alone = isinstance(choose(), brokers.Alone)
    assert is_alone == (connection.vendor != "postgresql")
