"""The checker of the fence: writers that stall before they commit, readers who sync all the while.

It tells what a reader missed in the end, and what came twice. A fence without one of its guards
must not pass it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db import connection

from parley.accounts.models import User
from parley.conversations import fence
from parley.messaging import operations
from parley.messaging.models import Message
from parley.messaging.seen import SeenMessage
from tests.promises.client import Client
from tests.talk import say

LONGEST_STALL = 0.25
TICK_SECONDS = 0.03


@dataclass
class Reader:
    """One who syncs, and counts how often each revision of each message came."""

    client: Client
    came: Counter[tuple[UUID, int]] = field(default_factory=Counter)

    def step(self) -> bool:
        news = self.client.step(limit=200)
        self.came.update((m.message_id, m.revision) for c in news.conversations for m in c.messages)
        return news.more

    def missed(self) -> set[tuple[UUID, int]]:
        """The messages whose last revision never came."""
        stored = Message.objects.filter(conversation_id__in=self.client.copies)
        return set(stored.values_list("message_id", "revision")) - self.came.keys()

    def doubled(self) -> set[tuple[UUID, int]]:
        return {found for found, times in self.came.items() if times > 1}


def stall(_messages: Sequence[SeenMessage]) -> None:
    """What a commit that waits for a disk or a standby does: nothing, for a while."""
    if random.random() < 0.4:
        time.sleep(random.uniform(0.02, LONGEST_STALL))


@contextmanager
def stalling() -> Iterator[None]:
    operations.messages_sent.join(stall)
    try:
        yield
    finally:
        operations.messages_sent.leave(stall)


def run(writers: Sequence[User], talks: Sequence[UUID], *, seconds: float) -> list[Reader]:
    """Let everyone write, and two of them read, for a while; then return the readers, caught up."""
    readers = [Reader(Client(user)) for user in writers[:2]]
    over = threading.Event()
    errors: list[BaseException] = []
    with stalling():
        threads = [
            *(_thread(over, errors, lambda w=w: _write(w, talks)) for w in writers),
            *(_thread(over, errors, lambda r=r: _read(r)) for r in readers),
            _thread(over, errors, _tick),
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        over.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    for _ in range(3):
        fence.tick(unless_within=timedelta(0))
        for reader in readers:
            while reader.step():
                pass
    return readers


def _thread(
    over: threading.Event, errors: list[BaseException], step: Callable[[], object]
) -> threading.Thread:
    def work() -> None:
        try:
            while not over.is_set():
                step()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            errors.append(error)
        finally:
            connection.close()

    return threading.Thread(target=work)


def _write(writer: User, talks: Sequence[UUID]) -> None:
    """Say something, and often change what was said last."""
    said = say(writer, random.choice(talks))
    if random.random() < 0.3:
        _change(writer, said)


def _change(writer: User, said: SeenMessage) -> None:
    if random.random() < 0.5:
        operations.edit_message(
            editor=writer, message_id=said.message_id, message_body=f"{said.message_body}!"
        )
    else:
        operations.retract_message(actor=writer, message_id=said.message_id)


def _read(reader: Reader) -> None:
    reader.step()
    time.sleep(random.uniform(0, 0.02))


def _tick() -> None:
    fence.tick(unless_within=timedelta(0))
    time.sleep(TICK_SECONDS)
