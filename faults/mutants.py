"""Servers that were broken on purpose, to show that the checker sees it.

    python faults/mutants.py no-idempotency serve

What ``manage.py`` does, after one guard of the product was taken out in this process alone (of the
database's own function: in a database made for the run). Nothing in the product knows of this.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import django

MUTANTS: dict[str, Callable[[], None]] = {}
LONGEST_STALL_S = 0.25
COMMIT_LATE_S = 0.05
ONE_IN = 100


def mutant(change: Callable[[], None]) -> Callable[[], None]:
    MUTANTS[change.__name__.replace("_", "-")] = change
    return change


@mutant
def no_idempotency() -> None:
    """A client id is not looked at: a retry is a new message."""
    from parley.messaging.drafts import Draft

    begin = Draft.__post_init__

    def without_client_id(draft: Draft) -> None:
        object.__setattr__(draft, "client_id", None)
        begin(draft)

    Draft.__post_init__ = without_client_id  # type: ignore[method-assign]


@mutant
def no_row_lock() -> None:
    """Two who send number their messages without a lock, and no unique key stands behind it."""
    _after_migrating(_unlock)


def _unlock() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('parley_send'::regproc)")
        [source] = cursor.fetchone()
        source = source.replace("FOR NO KEY UPDATE SKIP LOCKED", "")
        cursor.execute(source.replace("FOR NO KEY UPDATE", "").replace("%", "%%"))
        cursor.execute(
            "SELECT conname FROM pg_constraint"
            " WHERE conrelid = 'messaging_message'::regclass AND contype = 'u'"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE messaging_message DROP CONSTRAINT "{name}"')


@mutant
def ack_before_commit() -> None:
    """The answer leaves a moment before the commit."""
    from parley.messaging import group_commit
    from parley.messaging.operations import send_many

    class Early(group_commit.ThreadWriter):
        async def write(self, drafts: Sequence[Any]) -> Mapping[int, Any]:
            loop = asyncio.get_running_loop()
            answers: asyncio.Future[Mapping[int, Any]] = loop.create_future()

            def work() -> None:
                from django.db import transaction

                with transaction.atomic():
                    found = dict(enumerate(send_many(drafts)))
                    loop.call_soon_threadsafe(answers.set_result, found)
                    time.sleep(COMMIT_LATE_S)

            writing = asyncio.create_task(self._thread.once(work))
            await asyncio.wait([answers, writing], return_when=asyncio.FIRST_COMPLETED)
            if not answers.done():
                await writing  # it failed before it had an answer
            return await answers

    group_commit.ThreadWriter = Early  # type: ignore[misc]
    _send_by_thread()


@mutant
def hints_lost() -> None:
    """Of one conversation in a hundred no hint arrives; what settled is looked at all the same."""
    from parley.realtime.hub import Hub

    hear = Hub._hear_change

    def badly(hub: Hub, each: Any) -> None:
        # By conversation, for most changes have two hints, and one makes up for the other.
        if each.conversation_id.int % ONE_IN:
            hear(hub, each)

    Hub._hear_change = badly  # type: ignore[method-assign]


@mutant
def hints_lost_for_good() -> None:
    """Of one conversation in a hundred no hint arrives, and nobody looks at what has settled."""
    from parley.realtime.hub import Hub

    async def look_at_nothing(*_: Any) -> None:
        pass

    hints_lost()
    Hub._look_at = look_at_nothing  # type: ignore[method-assign]


@mutant
def frames_lost() -> None:
    """One frame in a hundred is lost on its way to a connection, after it counts as told."""
    from parley.realtime.connections import Connection

    offer, chance = Connection.offer, random.Random(3)

    def badly(connection: Connection, frame: Any) -> None:
        if chance.randrange(ONE_IN):
            offer(connection, frame)

    Connection.offer = badly  # type: ignore[method-assign]


@mutant
def late_commits() -> None:
    """Commits take their time, as where a disk or a standby is waited for; nothing is broken."""
    from parley.messaging import operations

    def stall(_messages: Sequence[Any]) -> None:
        if random.random() < 0.4:
            time.sleep(random.uniform(0.02, LONGEST_STALL_S))

    operations.messages_sent.join(stall)


@mutant
def settled_too_early() -> None:
    """Readers believe that what began in an older generation has also ended; commits are late."""
    from parley.conversations import fence

    state = fence.state

    def hasty() -> fence.State:
        found = state()
        return dataclasses.replace(found, settled=max(found.settled, found.current - 1))

    late_commits()
    fence.state = hasty


def _send_by_thread() -> None:
    from parley.messaging.group_commit import GroupCommit

    GroupCommit._writer = lambda group: group._by_thread  # type: ignore[method-assign]


def _after_migrating(change: Callable[[], None]) -> None:
    """Do this once the tables are there, and before anything is served."""
    from parley.ops.management.commands import serve

    prepare = serve.prepare_database

    def prepare_and_break(*, verbosity: int) -> None:
        from django.db import connection

        prepare(verbosity=verbosity)
        try:
            change()
        finally:
            connection.close()

    serve.prepare_database = prepare_and_break


def main(name: str, *arguments: str) -> None:
    root = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(root / "src")]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parley.config.settings")
    django.setup()
    MUTANTS[name]()
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
