"""``python manage.py load_sample``: fill the database with a made-up society."""

from __future__ import annotations

import secrets
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand
from django.utils import timezone
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from parley.accounts.operations.loading import load_people
from parley.conversations import fence
from parley.kernel.bulk import renew_statistics
from parley.messaging.operations.loading import History, Said, load_histories
from parley.ops.sample.society import Plan, Society

TRANSACTION_ROWS = 50_000
STEP = 500


def count(text: str) -> int:
    """Read a number of things: nothing below 0; ``1_000_000`` may be written so."""
    value = int(text)
    if value < 0:
        raise ArgumentTypeError("it cannot be negative")
    return value


class Command(BaseCommand):
    help = (
        "Add people, conversations and messages as lopsided as real ones; run again, it adds more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--users", type=count, default=1_000)
        parser.add_argument("--conversations", type=count, default=2_000)
        parser.add_argument("--messages", type=count, default=20_000)
        parser.add_argument("--seed", type=int, default=1, help="the same seed, the same society")
        parser.add_argument(
            "--password", help="everybody's password; without one nobody of them can sign in"
        )

    def handle(
        self,
        *_args: Any,
        users: int,
        conversations: int,
        messages: int,
        seed: int,
        password: str | None,
        **_options: Any,
    ) -> None:
        began = time.monotonic()
        name = f"sample-{secrets.token_hex(3)}"
        society = Society(users=users, seed=seed, now=timezone.now(), name=name)
        if not users:
            conversations = 0
        with bar(messages if conversations else 0) as advance:
            load_people(society.users(password=make_password(password)))
            plans = society.plans(conversations=conversations, messages=messages)
            for batch in batches(plans):
                load_histories(counted(society.history(plan), advance) for plan in batch)
                fence.tick()
            renew_statistics()
        self.stdout.write(
            f"{users:,} people ({name}-0 …), {conversations:,} conversations and "
            f"{sum(plan.length for plan in plans):,} messages in {time.monotonic() - began:.0f} s."
        )


def batches(plans: Sequence[Plan]) -> Iterator[list[Plan]]:
    """Divide the plans into transactions, each not much above what one should hold."""
    batch: list[Plan] = []
    size = 0
    for plan in plans:
        batch.append(plan)
        size += plan.length + len(plan.people)
        if size >= TRANSACTION_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def counted(history: History, advance: Callable[[int], None]) -> History:
    """Return the same history; while it is told, the bar moves."""

    def said() -> Iterator[Said]:
        passed = 0
        for passed, one in enumerate(history.said, start=1):
            yield one
            if passed % STEP == 0:
                advance(STEP)
        advance(passed % STEP)

    return replace(history, said=said())


@contextmanager
def bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show how many messages are loaded, and how long the rest will take."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("Messages", total=total)
        yield lambda step: progress.advance(task, step)
