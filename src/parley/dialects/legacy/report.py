"""What an import shows: a bar while it runs, and afterwards what is there and what is here."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from parley.accounts import queries as accounts
from parley.dialects.legacy.ledger import Ledger
from parley.dialects.legacy.source import Source
from parley.messaging.queries import count_unread_exactly

SHOWN = 20  # of each kind of news; all of them are in the file
MOST_PEOPLE = 200
PEOPLE_BATCH = 500
HEADINGS = {
    "username": "Users with another name here",
    "e-mail lost": "Addresses that are somebody else's, or none",
    "no password": "Users whose password has to be set anew",
    "no admin": "Superusers who are no admins here",
    "user number": "Users with a new integer",
    "message number": "Messages with a new integer",
    "conversation id": "Conversations with a new id",
    "message id": "Messages with a new id",
    "subject cut": "Subjects that were cut; the whole stands before the message",
    "left out": "Left out",
}


class Report:
    """Listens to an import. With ``file`` everything it is told goes there as CSV, too."""

    def __init__(self, console: Console, file: Path | None) -> None:
        self._console = console
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._file = file.open("w", newline="", encoding="utf-8") if file else None
        self._csv = csv.writer(self._file) if self._file else None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    @contextmanager
    def bars(self) -> Iterator[None]:
        """Within, show how far the import is."""
        with self._progress:
            yield

    def begin(self, kind: str, total: int) -> None:
        self._task = self._progress.add_task(kind.capitalize(), total=total)

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def tell(self, what: str, old: object, new: object) -> None:
        self._counts[what] += 1
        if len(self._first[what]) < SHOWN:
            self._first[what].append((str(old), str(new)))
        if self._csv:
            self._csv.writerow([what, old, new])

    # --- afterwards

    def show(self, source: Source, ledger: Ledger) -> None:
        """Print what was told, and whether what is here is what was there."""
        for what, heading in HEADINGS.items():
            self._show_told(what, heading)
        counts = Table(title="Brought over", title_justify="left")
        for name in ("", "there", "here", ""):
            counts.add_column(name, justify="left" if not name else "right")
        for kind in source.layout.tables:
            if source.has(kind) and kind != "members":
                there, here = source.count(kind), ledger.brought(kind)
                counts.add_row(kind, str(there), str(here), _verdict(there, here))
        self._console.print(counts)
        if source.has_flags:
            self._show_unread(source, ledger)

    def _show_told(self, what: str, heading: str) -> None:
        if not self._counts[what]:
            return
        self._console.print(f"{heading}: {self._counts[what]}", markup=False)
        for old, new in self._first[what]:
            self._console.print(f"  {old} → {new}", markup=False)
        if self._counts[what] > SHOWN:
            self._console.print(f"  … and {self._counts[what] - SHOWN} more")

    def _show_unread(self, source: Source, ledger: Ledger) -> None:
        there = source.unread()
        table = Table(title="Unread", title_justify="left")
        for name in ("user", "there", "here", ""):
            table.add_column(name, justify="right" if name in ("there", "here") else "left")
        alike = unshown = 0
        for keys in ledger.walk("people", PEOPLE_BATCH):
            for key, (name, here) in _unread_here(keys).items():
                expected = there.get(int(key), 0)
                alike += here == expected
                if not (here or expected):
                    continue
                if table.row_count < MOST_PEOPLE:
                    table.add_row(name, str(expected), str(here), _verdict(expected, here))
                else:
                    unshown += 1
        self._console.print(table)
        if unshown:
            self._console.print(f"… and {unshown} more")
        self._console.print(
            f"{alike} of {ledger.brought('people')} users have as much unread here as there."
        )


def _unread_here(keys: dict[str, UUID]) -> dict[str, tuple[str, int]]:
    people = accounts.people(viewer=None, user_ids=keys.values())
    return {
        key: (people[user_id].username, count_unread_exactly(viewer_id=user_id))
        for key, user_id in keys.items()
        if user_id in people
    }


def _verdict(there: int, here: int) -> str:
    return "=" if there == here else "differs"
