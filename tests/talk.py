"""Small sentences of the tests: who says what, where."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from parley.accounts.models import User
from parley.conversations import operations as conversations
from parley.messaging import operations, queries
from parley.messaging.drafts import Draft
from parley.messaging.seen import SeenMessage

T = TypeVar("T")


def write_to(sender: User, *others: User, body: str = "hello", **fields: Any) -> SeenMessage:
    """Send a message to people: one other is a direct conversation, more are a new group."""
    ids = tuple(other.user_id for other in others)
    return operations.send(Draft(sender.user_id, body, recipient_ids=ids, **fields)).message


def say(sender: User, conversation_id: UUID, body: str = "hello", **fields: Any) -> SeenMessage:
    """Send a message into a conversation."""
    draft = Draft(sender.user_id, body, conversation_id=conversation_id, **fields)
    return operations.send(draft).message


def direct(one: User, other: User) -> UUID:
    """The direct conversation of two people."""
    found, _ = conversations.create_conversation(creator=one, participant_ids=[other.user_id])
    return found


def group(owner: User, *others: User, title: str = "") -> UUID:
    """A group, owned by the first."""
    found, _ = conversations.create_conversation(
        creator=owner, participant_ids=[o.user_id for o in others], kind="group", title=title
    )
    return found


def history(viewer: User, conversation_id: UUID) -> list[SeenMessage]:
    """What someone sees of a conversation, oldest first."""
    found = queries.list_history(viewer=viewer, conversation_id=conversation_id, after=0, size=200)
    return found.items


def unread(viewer: User) -> int:
    """How much is unread, which a recount confirms."""
    counted, recounted = queries.count_unread(viewer=viewer), queries.recount_unread(viewer=viewer)
    assert counted == recounted
    return counted.messages


def in_parallel(calls: Sequence[Callable[[], T]]) -> list[T | BaseException]:
    """Run the calls at once, on a thread and connection each; return what each came to."""
    results: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(place: int) -> None:
        start.wait()
        try:
            results[place] = calls[place]()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
