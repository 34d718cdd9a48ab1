"""``python manage.py backfill_handles``: numbers for users and messages that have none yet."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from parley.accounts import queries as accounts
from parley.dialects import handles
from parley.messaging import correspondence

BATCH = 2_000
LARGEST_BATCH = 10_000

Ids = list[UUID]


class Command(BaseCommand):
    help = (
        "Give a number to every user and message that has none, in the order of creation. "
        "It may be stopped, run again, and run beside a server that is in use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=BATCH, help="How many at a time.")

    def handle(self, *_: Any, batch: int, **__: Any) -> None:
        size = min(max(1, batch), LARGEST_BATCH)
        with _progress(self.stderr) as progress:
            users = _fill(
                progress,
                "users",
                accounts.count_everyone(),
                _users(size),
                handles.numbers_of_users,
            )
            messages = _fill(
                progress,
                "messages",
                correspondence.count_everything(),
                _messages(size),
                handles.numbers_of_messages,
            )
        self.stdout.write(f"{users} users and {messages} messages have their numbers.")


def _progress(stream: Any) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=getattr(stream, "_out", stream))
    return Progress(*columns, TimeRemainingColumn(), console=console)


def _fill(
    progress: Progress,
    what: str,
    total: int,
    batches: Iterator[Ids],
    number: Callable[[Ids], dict[UUID, int]],
) -> int:
    """Number one batch after the other, each in its own transaction; return how many there were."""
    task = progress.add_task(what, total=total)
    done = 0
    for batch in batches:
        done += len(number(batch))
        progress.update(task, completed=done, total=max(total, done))
    return done


def _users(size: int) -> Iterator[Ids]:
    after = None
    while batch := accounts.list_everyone(after=after, size=size):
        yield batch
        after = batch[-1]


def _messages(size: int) -> Iterator[Ids]:
    """Yield the ids of all messages; those of a batch in the order in which they were sent."""
    after = None
    while batch := correspondence.list_everything(after=after, size=size):
        yield [m.message_id for m in sorted(batch, key=lambda m: (m.sent_at, m.seq))]
        after = batch[-1].message_id
