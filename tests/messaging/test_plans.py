"""Statements that are planned once for everyone, asked by someone with many marks in a long
conversation, where most are short.
"""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import connection

from parley.conversations.models import Conversation, Participant
from parley.kernel.async_database import PLANS, WALKS
from parley.kernel.pipelines import numbered
from parley.messaging import express
from parley.messaging.models import Flag, Mark, Message
from parley.messaging.unread import CAP, LIST_CAP, SCAN
from tests.promises.meter import work
from tests.talk import direct, group, say

pytestmark = [
    pytest.mark.databases,
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
]

MANY = 12_000
SENT_AT = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = PLANS | WALKS


@pytest.fixture
def marked(ada, ben, cyd):
    """A conversation in which ada marked many messages as read, one by one."""
    for _ in range(150):
        say(ben, group(ben, cyd), "short")
    talk = direct(ada, ben)
    messages = [
        Message(
            message_id=uuid4(),
            conversation_id=talk,
            sender_id=ben.user_id,
            seq=seq,
            revision=seq,
            gen=1,
            message_body="long",
            sent_at=SENT_AT,
        )
        for seq in range(1, MANY + 1)
    ]
    Message.objects.bulk_create(messages)
    Mark.objects.bulk_create(
        Mark(
            user_id=ada.user_id,
            conversation_id=talk,
            seq=message.seq,
            message_id=message.message_id,
            flags=Flag.READ,
            version=1,
            gen=1,
        )
        for message in messages[1:]
    )
    Conversation.objects.filter(conversation_id=talk).update(last_seq=MANY, revision=MANY)
    with connection.cursor() as cursor:
        for model in (Message, Mark, Participant, Conversation):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
    return talk


@pytest.mark.parametrize(
    ("what", "cap"), [("conversation", CAP), ("inbox", LIST_CAP), ("total", CAP)]
)
def test_count_what_is_unread_by_looking_each_mark_up(ada, marked, what, cap):
    """Or all of a long conversation is walked, for some marks in it."""
    mine, newest = ada.user_id, "2100-01-01"
    sql, given = {
        "conversation": (express.ONE, [mine, marked, 3]),
        "inbox": (express.INBOXES[False], [mine, 2**60, newest, marked, 3]),
        "total": (express.TOTAL.one, [mine]),
    }[what]
    values = ", ".join(f"'{value}'" for value in given)
    with connection.cursor() as cursor:
        for name, value in SETTINGS.items():
            cursor.execute(f"SET {name} = {value}")
        try:
            cursor.execute(b"PREPARE asked AS " + numbered(sql))
            read = work(lambda: cursor.execute(f"EXECUTE asked({values})"))
        finally:
            for name in SETTINGS:
                cursor.execute(f"RESET {name}")
            cursor.execute("DEALLOCATE ALL")

    # Messages, marks and the messages of marks, as far as is counted; to walk all is MANY more.
    assert read <= 3 * SCAN * cap + MANY // 4
