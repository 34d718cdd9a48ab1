"""What someone does on one device, on their others: also when every hint is lost."""

import asyncio
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from parley.accounts.credentials import Credential, Proof
from parley.conversations import operations as conversations
from parley.conversations.events import Event, Type, happened
from parley.messaging import operations
from parley.messaging.sync import here
from parley.realtime import hub, inner, own, pull
from parley.realtime.connections import Connection, Place
from parley.realtime.frames import Frame
from parley.realtime.own import pull_own
from parley.realtime.pull import Want
from tests.realtime.conftest import events, heard, in_thread, live, put, quiet
from tests.talk import direct, group, in_parallel, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@contextmanager
def deaf():
    """A broker that drops everything: no process hears a hint."""
    kept, happened._callables = happened._callables, []
    try:
        yield
    finally:
        happened._callables = kept


def star(viewer, message):
    operations.set_message_starred(viewer=viewer, message_id=message.message_id, starred=True)


def remove(viewer, message):
    operations.remove_message(viewer=viewer, message_id=message.message_id)


def read(viewer, message):
    operations.read_up_to(viewer=viewer, conversation_id=message.conversation_id)


def read_one(viewer, message):
    operations.set_message_read(viewer=viewer, message_id=message.message_id, read=True)


def archive(viewer, message):
    at = datetime(2030, 1, 1, tzinfo=UTC)
    conversations.set_own(viewer=viewer, conversation_id=message.conversation_id, archived_at=at)


def hide(viewer, message):
    conversations.leave(viewer=viewer, conversation_id=message.conversation_id)


def reopen(viewer, message):
    hide(viewer, message)
    direct(viewer, message.sender)


DEEDS = [
    (star, "message.changed", lambda e: e["message"]["starred"]),
    (read_one, "message.changed", lambda e: e["message"]["read"]),
    (remove, "message.removed", lambda e: e["message_id"]),
    (read, "conversation.changed", lambda e: e["conversation"]["me"]["watermark"] == 2),
    (archive, "conversation.changed", lambda e: e["conversation"]["me"]["archived_at"]),
    (hide, "participant.left", lambda e: e["user"]["username"] == "ada"),
]


class TestWhatIsOnesOwn:
    @pytest.mark.parametrize("are_lost", [False, True], ids=["heard", "lost"])
    @pytest.mark.parametrize(("do", "type_", "shows"), DEEDS, ids=[d[0].__name__ for d in DEEDS])
    def test_is_seen_on_ones_other_devices_and_by_nobody_else(
        self, server, bearer, ada, ben, do, type_, shows, are_lost
    ):
        talk = direct(ada, ben)
        say(ben, talk)
        message = say(ben, talk)

        async def scene():
            async with (
                live(server, bearer(ada)) as one,
                live(server, bearer(ada)) as other,
                live(server, bearer(ben)) as bens,
            ):
                if are_lost:
                    with deaf():
                        await in_thread(do, ada, message)
                else:
                    await in_thread(do, ada, message)
                for socket in (one, other):
                    assert shows(await heard(socket, type_))
                    assert (await heard(socket, "unread"))["type"] == "unread"
                assert await quiet(bens, type_, seconds=0.2)

        asyncio.run(scene())

    def test_is_told_once_whether_its_hint_came_or_not(self, server, bearer, ada, ben):
        message = say(ben, direct(ada, ben))

        async def scene():
            async with live(server, bearer(ada)) as socket:
                await in_thread(star, ada, message)
                await heard(socket, "unread")
                assert await quiet(socket, "message.changed", "unread", seconds=3.5)

        asyncio.run(scene())

    def test_opens_a_hidden_conversation_again_though_no_hint_came(self, server, bearer, ada, ben):
        talk = direct(ada, ben)
        hide(ada, say(ben, talk))

        async def scene():
            async with live(server, bearer(ada)) as socket:
                with deaf():
                    await in_thread(direct, ada, ben)
                found = await heard(socket, "conversation.created")
                assert found["conversation"]["conversation_id"] == str(talk)

        asyncio.run(scene())

    def test_is_a_reason_to_sync_where_it_is_too_much(self, server, bearer, ada, ben, monkeypatch):
        monkeypatch.setattr(own, "MOST_MARKS", 1)
        talk = group(ada, ben)
        said = [say(ben, talk) for _ in range(3)]

        async def scene():
            async with live(server, bearer(ada)) as socket, live(server, bearer(ben)) as bens:
                with deaf():
                    for message in said:
                        await in_thread(star, ada, message)
                await heard(socket, "resync")
                assert await quiet(bens, "resync", seconds=0.2)

        asyncio.run(scene())


@pytest.fixture
def after_a_page(monkeypatch):
    """Have something done, and told, after the first page of what was missed was read, and before
    it is given.
    """

    def have(do, *of, **about):
        call, left = inner.call, [do]

        async def slow_call(*args, **named):
            page = await call(*args, **named)
            if left:
                await in_thread(left.pop(), *of, **about)
                await asyncio.sleep(0.5)
            return page

        monkeypatch.setattr(inner, "call", slow_call)

    return have


class TestWhatIsMissed:
    @pytest.mark.parametrize("way", ["socket", "stream"])
    def test_is_not_older_than_what_was_told_meanwhile(
        self, server, bearer, ada, ben, after_a_page, way
    ):
        """A page that was read before a star, and given after it was told, is not the last word."""
        message = say(ben, direct(ada, ben))
        cursor = here(viewer=ada)
        operations.edit_message(editor=ben, message_id=message.message_id, message_body="new")
        after_a_page(star, ada, message)

        async def socket_stars():
            async with live(server, bearer(ada)) as socket:
                await put(socket, type="resume", cursor=cursor)
                stars = []
                while stars[-1:] != [True] or False not in stars:
                    frame = await heard(socket, "sync", "message.changed")
                    found = (
                        [frame["message"]]
                        if "message" in frame
                        else [m for c in frame["conversations"] for m in c["messages"]]
                    )
                    stars += [m["starred"] for m in found]
                return stars

        async def stream_stars():
            async with events(server, bearer(ada), cursor=cursor) as (_, found):
                stars = []
                async for _, type_, data in found:
                    if type_ == "message.changed":
                        stars.append(data["message"]["starred"])
                    if stars[-1:] == [True] and False in stars:
                        break
                return stars

        async def scene():
            async with asyncio.timeout(6):
                return await (socket_stars() if way == "socket" else stream_stars())

        stars = asyncio.run(scene())
        assert stars[stars.index(False) :][-1] is True

    def test_is_told_though_the_device_came_while_it_was_looked_for(
        self, server, bearer, ada, ben, monkeypatch
    ):
        message = say(ben, direct(ada, ben))
        settle, looks, is_there = hub._settle, threading.Event(), threading.Event()

        def slow_settle(*args):
            looks.set()
            is_there.wait(5)
            return settle(*args)

        async def scene():
            async with live(server, bearer(ben)):
                monkeypatch.setattr(hub, "_settle", slow_settle)
                await asyncio.to_thread(looks.wait, 5)
                async with live(server, bearer(ada)) as socket:
                    with deaf():
                        await in_thread(read, ada, message)
                    is_there.set()
                    return await heard(socket, "conversation.changed")

        assert asyncio.run(scene())["conversation"]["me"]["watermark"] == 1

    def test_is_told_though_a_late_hint_says_that_the_conversation_is_new(
        self, server, bearer, ada, ben
    ):
        """Whoever synced it does not take it as new, and so has nothing of what came since."""
        [hear_here] = happened._callables
        talk = group(ben, ada)
        message = [say(ben, talk) for _ in range(3)][-1]

        async def scene():
            async with live(server, bearer(ada)) as socket:
                with deaf():
                    await in_thread(read, ada, message)
                hear_here([Event(Type.CREATED, talk, 0, (ada.user_id, ben.user_id))])
                return await heard(socket, "conversation.changed")

        assert asyncio.run(scene())["conversation"]["me"]["watermark"] == 3

    def test_is_no_conversation_that_was_left_meanwhile(
        self, server, bearer, ada, ben, after_a_page
    ):
        """A page that was read before is given before, too."""
        talk = group(ben, ada)
        cursor = here(viewer=ada)
        say(ben, talk)
        after_a_page(conversations.leave, viewer=ada, conversation_id=talk)

        async def scene():
            async with live(server, bearer(ada)) as socket:
                await put(socket, type="resume", cursor=cursor)
                return [(await heard(socket, "sync", "participant.left"))["type"] for _ in "12"]

        assert asyncio.run(scene()) == ["sync", "participant.left"]

    def test_comes_before_what_was_told_meanwhile_to_who_is_slow(self, ada):
        class Slow:
            is_free = False
            is_ready = asyncio.Event()
            sent = []

            async def send(self, frame):
                self.sent.append(frame.text)
                await self.is_ready.wait()

        connection = Connection(ada.user_id, Credential(Proof.SIGN_IN, ""), Place(0, 0, ""))

        async def scene():
            connection.open(Slow(), beats_s=9)
            connection.offer(Frame("", "before"))
            await asyncio.sleep(0.01)
            connection.hold()
            connection.offer(Frame("", "meanwhile"))
            Slow.is_ready.set()
            await asyncio.sleep(0.01)
            connection.go_on(Frame("", "page"))
            await connection.emptied()

        asyncio.run(scene())
        assert Slow.sent == ["before", "page", "meanwhile"]


class TestWhatIsToldOfOnesReading:
    """It is one state: else a message stays as it was beside another watermark than its own."""

    def test_is_read_at_once(self, ada, ben, monkeypatch):
        talk = direct(ada, ben)
        message = say(ben, talk)
        star(ada, message)
        show = pull.show

        def show_and_read(*args):
            try:
                return show(*args)
            finally:
                in_parallel([lambda: read(ada, message)])

        monkeypatch.setattr(pull, "show", show_and_read)
        [told] = pull_own({(ada.user_id, talk): 0}, settled=0)

        placed, changed, _ = (json.loads(frame.text) for frame in told.frames)
        assert placed["conversation"]["me"]["watermark"] == 0
        assert not changed["message"]["read"]

    def test_is_read_at_once_with_a_conversation_that_is_new(self, ada, ben, monkeypatch):
        talk = group(ben, ada)
        message = say(ben, talk)
        show = pull.show

        def read_and_show(*args):
            in_parallel([lambda: read(ada, message)])
            return show(*args)

        monkeypatch.setattr(pull, "show", read_and_show)
        want = Want(talk, hints=[Event(Type.CREATED, talk, 0, (ada.user_id,))])
        [found] = pull.pull([want], online=frozenset({ada.user_id}), settled=0)

        placed, said = (json.loads(told.frame.text) for told in found.told)
        assert placed["conversation"]["me"]["watermark"] == 0
        assert not said["message"]["read"]
