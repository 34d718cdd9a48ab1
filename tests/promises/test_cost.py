"""Promise 8: cost does not grow with the history, nor with the number of members.

What the database does for a call is counted (``meter``), in a conversation of two with a short
history and in one that is many times as large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from parley.accounts.models import User
from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations import queries as conversation_queries
from parley.conversations.models import Conversation
from parley.messaging import operations, queries
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.seen import News
from parley.messaging.sync import sync
from tests.promises.crowd import long_talk, many_talks
from tests.promises.meter import work
from tests.talk import group, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

# A planner reads a small table whole, and is right; what counts begins beyond that.
SHORT = {"messages": 3_000, "members": 100}
LONG = {"messages": 40_000, "members": 1_500}
SLACK, FREE = 2.0, 60
numbers = itertools.count()


class Large:
    """A large conversation (or a small one), and what someone in it may want."""

    def __init__(self, person: Callable[..., Any], **size: int) -> None:
        n = next(numbers)
        self.ada, self.ben = person(f"ada{n}"), person(f"ben{n}")
        self.talk = long_talk(self.ada, self.ben, **size)
        self.last = size["messages"]
        self.cursor = sync(viewer=self.ben, limit=200).cursor
        fence.tick(unless_within=timedelta(0))
        self.settled = sync(viewer=self.ben, cursor=self.cursor, limit=200).cursor

    def message(self, seq: int) -> Message:
        return Message.objects.get(conversation_id=self.talk, seq=seq)

    def draft(self, who: User) -> Draft:
        named = str(next(numbers))
        return Draft(who.user_id, "hello", client_id=named, conversation_id=self.talk)

    def history(self, **where: Any) -> Callable[[], object]:
        return lambda: queries.list_history(
            viewer=self.ben, conversation_id=self.talk, size=20, **where
        )

    def messages(self, **where: Any) -> Callable[[], object]:
        return lambda: queries.list_messages(viewer=self.ben, position=None, size=20, **where)

    def reads(self) -> dict[str, Callable[[], object]]:
        middle = self.message(self.last // 2 + 1).message_id
        return {
            "history": self.history(),
            "history, deep": self.history(before=self.last // 2),
            "history, after": self.history(after=self.last // 2),
            "history, around": self.history(around=self.last // 2),
            "history, changed": self.history(changed_after=self.last - 10),
            "conversation": lambda: queries.get_conversation(
                viewer=self.ben, conversation_id=self.talk
            ),
            "inbox": lambda: queries.list_conversations(viewer=self.ben, position=None, size=20),
            "inbox, unread": lambda: queries.list_conversations(
                viewer=self.ben, unread_only=True, position=None, size=20
            ),
            "messages": self.messages(),
            "messages, received": self.messages(box="inbox"),
            "messages, sent": self.messages(box="sent"),
            "messages, unread": self.messages(unread_only=True),
            "messages, starred": self.messages(starred_only=True),
            "one message": lambda: queries.get_message(viewer=self.ben, message_id=middle),
            "receipts": lambda: queries.list_receipts(
                viewer=self.ben, message_id=middle, position=None, size=20
            ),
            "participants": lambda: conversation_queries.list_participants(
                viewer=self.ben, conversation_id=self.talk, position=None, size=20
            ),
            "unread": lambda: queries.count_unread(viewer=self.ben),
            "first snapshot": lambda: sync(viewer=self.ben),
            "nothing new": lambda: sync(viewer=self.ben, cursor=self.settled),
        }

    def writes(self) -> dict[str, Callable[[], object]]:
        return {
            "send": lambda: say(self.ben, self.talk),
            "send together": lambda: operations.send_many(
                [self.draft(self.ada), self.draft(self.ben)]
            ),
            "edit": lambda: operations.edit_message(
                editor=self.ben, message_id=self.newest_own(), message_body=f"{next(numbers)}"
            ),
            "read one": lambda: operations.set_message_read(
                viewer=self.ben, message_id=self.newest(), read=bool(next(numbers) % 2)
            ),
            "read up to": lambda: operations.read_up_to(
                viewer=self.ben, conversation_id=self.talk, seq=self.last - 4
            ),
            "unread from": lambda: operations.unread_from(
                viewer=self.ben, conversation_id=self.talk, seq=self.last - 3
            ),
            "star": lambda: operations.set_message_starred(
                viewer=self.ben, message_id=self.newest(), starred=bool(next(numbers) % 2)
            ),
            "mute": lambda: conversations.set_own(
                viewer=self.ben, conversation_id=self.talk, muted_until=None
            ),
        }

    def costs(self) -> dict[str, int]:
        """What each call costs, and in the end that of catching up with little and with much."""
        found = {name: work(call) for name, call in self.reads().items()}
        found |= {name: work(call) for name, call in self.writes().items()}
        for _ in range(30):
            say(self.ada, self.talk)
        fence.tick(unless_within=timedelta(0))
        found["thirty new ones"] = work(self.news)
        self.change_everything()
        page = self.news()
        found["a page of many"] = work(self.news)
        found["the next page"] = work(lambda: sync(viewer=self.ben, cursor=page.cursor, limit=20))
        assert page.more
        return found

    def change_everything(self) -> None:
        """As if each message had been edited since the cursor."""
        Message.objects.filter(conversation_id=self.talk).update(gen=10**6)
        Conversation.objects.filter(conversation_id=self.talk).update(gen=10**6)

    def newest(self) -> Any:
        return self.message(self.last - 1).message_id

    def newest_own(self) -> Any:
        found = Message.objects.filter(conversation_id=self.talk, sender=self.ben)
        return found.order_by("-seq")[0].message_id

    def news(self) -> News:
        found = sync(viewer=self.ben, cursor=self.settled, limit=20)
        assert found.conversations[0].messages
        return found


class TestPromise8CostDoesNotGrow:
    def test_with_the_history_or_the_members_or_what_one_did_to_them(self, person):
        small, large = (Large(person, **size).costs() for size in (SHORT, LONG))

        grown = {n: (small[n], large[n]) for n in small if large[n] > SLACK * small[n] + FREE}
        assert grown == {}

    def test_with_what_others_talk_about(self, person):
        ada, ben = person("ada"), person("ben")
        for _ in range(10):
            say(ben, group(ada, ben))
        few = work(lambda: queries.list_messages(viewer=ada, size=20))
        many_talks(people=200, talks=8_000)

        assert work(lambda: queries.list_messages(viewer=ada, size=20)) <= SLACK * few + FREE

    def test_and_this_would_see_it_grow(self, person):
        """The count of what the database does is worth something."""
        ada, ben = person("ada"), person("ben")
        talks = [long_talk(ada, ben, messages=messages) for messages in (300, 3_000)]

        def scan(talk: UUID) -> object:
            return list(Message.objects.filter(conversation_id=talk, subject="no such"))

        small, large = (work(lambda t=talk: scan(t)) for talk in talks)
        assert large > 5 * small
