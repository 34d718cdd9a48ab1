"""Starring by PostgreSQL's function is starring the portable way, and of two at once one writes."""

import asyncio
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from parley.conversations import events, fence
from parley.conversations import operations as conversations
from parley.conversations.models import Conversation, Participant
from parley.kernel import ids
from parley.kernel.async_database import close_database, database
from parley.kernel.errors import Refusal
from parley.messaging import express, operations
from parley.messaging.models import Mark, Message
from tests.realtime.conftest import in_thread
from tests.talk import group, say, write_to

pytestmark = [
    pytest.mark.databases,
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
]

WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def run(scene):
    async def whole():
        try:
            return await scene()
        finally:
            await close_database()

    return asyncio.run(whole())


def by_function(viewer, deeds):
    """Star as the express lane does; return what became of each deed."""

    async def one(message_id, starred):
        try:
            row = await express.set_message_starred(
                viewer_id=viewer.user_id, message_id=message_id, starred=starred
            )
        except Refusal as refusal:
            return type(refusal)
        return row[express.WIDTH] & 8 > 0

    async def scene():
        return [await one(*deed) for deed in deeds]

    return run(scene)


def by_operation(viewer, deeds):
    """The same as the views do."""

    def one(message_id, starred):
        try:
            seen = operations.set_message_starred(
                viewer=viewer, message_id=message_id, starred=starred
            )
        except Refusal as refusal:
            return type(refusal)
        return seen.starred

    return [one(*deed) for deed in deeds]


class World:
    """A group with messages in every state."""

    def __init__(self, person, name):
        self.viewer, friend = person(f"{name}1"), person(f"{name}2")
        self.talk = group(friend, self.viewer)
        said = [say(friend if n % 3 else self.viewer, self.talk) for n in range(9)]
        self.said = [message.message_id for message in said]
        operations.read_up_to(viewer=self.viewer, conversation_id=self.talk, seq=5)
        operations.set_message_read(viewer=self.viewer, message_id=self.said[2], read=False)
        operations.set_message_read(viewer=self.viewer, message_id=self.said[8], read=True)
        operations.remove_message(viewer=self.viewer, message_id=self.said[6])
        operations.retract_message(actor=friend, message_id=self.said[3])

    @property
    def mine(self):
        return Participant.objects.filter(
            user_id=self.viewer.user_id, conversation_id=self.talk
        ).get()

    def rows(self):
        sent = dict(Message.objects.values_list("message_id", "sent_at"))
        marks = Mark.objects.filter(user_id=self.viewer.user_id).order_by("seq")
        mine = self.mine
        return [
            (mine.watermark, mine.read_seq, mine.delivered_seq, mine.version, mine.gen),
            *(
                (k.seq, k.flags, k.version, k.gen, k.starred_sent_at == sent[k.message_id])
                for k in marks
            ),
        ]


@pytest.mark.parametrize(
    ("mine", "purged_seq"), [({"visible_after": 2}, 0), ({"delivered_seq": 0}, 2)]
)
def test_writes_what_the_portable_way_writes(person, mine, purged_seq):
    found = []
    for name, star in (("one", by_function), ("other", by_operation)):
        world = World(person, name)
        Conversation.objects.filter(pk=world.talk).update(purged_seq=purged_seq)
        Participant.objects.filter(user_id=world.viewer.user_id).update(**mine)
        deeds = [(n, starred) for starred in (False, True, True, False, True) for n in range(9)]
        outcomes = star(world.viewer, [(world.said[n], starred) for n, starred in deeds])
        conversations.leave(viewer=world.viewer, conversation_id=world.talk)
        outcomes += star(world.viewer, [(world.said[4], False), (ids.new_id(), True)])
        found.append((outcomes, world.rows()))

    assert found[0] == found[1]


def test_tells_of_it_and_notes_when_only_where_it_changes_something(person):
    world, told = World(person, "one"), []
    before = world.mine.changed_at
    hear = told.extend
    events.happened.join(hear)
    try:
        by_function(world.viewer, [(world.said[4], False), (world.said[6], True)])
        assert (told, world.mine.changed_at) == ([], before)
        by_function(world.viewer, [(world.said[4], True)] * 2)
    finally:
        events.happened.leave(hear)

    own = events.Event(events.Type.OWN, world.talk, user_ids=(world.viewer.user_id,))
    assert told == [own]
    assert world.mine.changed_at > before


def test_two_at_once_write_once_and_hold_their_generation(ada, ben):
    said, told = write_to(ben, ada), []
    mine = Participant.objects.filter(user_id=ada.user_id)
    before, began = mine.get().version, fence.state().current
    locked, free = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            conversations.lock_own(ada.user_id, said.conversation_id)
            locked.set()
            free.wait(30)

    async def scene():
        holding = asyncio.create_task(in_thread(hold))
        await asyncio.to_thread(locked.wait, 30)
        starring = [
            asyncio.create_task(
                express.set_message_starred(
                    viewer_id=ada.user_id, message_id=said.message_id, starred=True
                )
            )
            for _ in range(2)
        ]
        try:
            async with asyncio.timeout(30):
                while (await database().rows(WAITING))[0][0] < 2:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            for _ in range(3):
                await in_thread(fence.tick, unless_within=timedelta(0))
            settled = (await in_thread(fence.state)).settled
        finally:
            free.set()
        await asyncio.gather(holding, *starring)
        return settled

    hear = told.extend
    events.happened.join(hear)
    try:
        settled = run(scene)
    finally:
        events.happened.leave(hear)

    mark = Mark.objects.get(user_id=ada.user_id)
    assert (mine.get().version, mark.version) == (before + 1, before + 1)
    assert len(told) == 1
    assert settled < began <= mark.gen


def test_finds_a_mark_by_its_key_however_many_there_are(ada, ben):
    """Other indexes begin alike, and would have it walk all marks of whoever has thousands."""
    for said in (write_to(ben, ada), write_to(ben, ada)):
        with transaction.atomic(), connection.cursor() as cursor:
            before = _scans(cursor)
            cursor.execute(
                "SELECT has_changed FROM parley_star(%s, %s, true)",
                [ada.user_id, said.message_id],
            )
            assert cursor.fetchone() == (True,)
            used = {name for name, scans in _scans(cursor).items() if scans > before[name]}
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE messaging_mark")  # plans are made anew

        assert used == {"messaging_mark_pkey"}


def _scans(cursor):
    """Return how often each index of the marks was looked into."""
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_stat_get_xact_numscans(indexrelid) FROM pg_index"
        " WHERE indrelid = 'messaging_mark'::regclass"
    )
    return dict(cursor.fetchall())
