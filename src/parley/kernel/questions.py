"""One statement for all who ask the same of the database at once.

There is no timer: who asks alone waits for nobody. What is asked while an answer is on its way goes
along with what else is asked until then. Each sees what was committed before they asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable

from parley.kernel.pipelines import HOLE, Rows

LARGEST = 64  # keys in a statement

Key = tuple[Hashable, ...]


class Question:
    """A statement about one key, and the same about many.

    It names the values of its key, in the order of ``columns``, by ``%s``, or by their column of
    the row ``asked``. Their text must need no quotes in an array.
    """

    def __init__(self, sql: str, *, as_text: bool = False, **columns: str) -> None:
        self.one, self.as_text = sql, as_text
        names = iter(columns)
        about = HOLE.sub(lambda at: "%%" if at[1] == "%" else f"asked.{next(names)}", sql)
        arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
        # A loop over the keys keeps the order that each has its rows in.
        self.many = (
            f"SELECT found.*, asked.place FROM unnest({arrays})"  # noqa: S608 - the parts are ours
            f" WITH ORDINALITY AS asked ({', '.join(columns)}, place)"
            f" CROSS JOIN LATERAL ({about}) AS found"
        )


Ask = Callable[[Question, list[str]], Awaitable[Rows]]


class Gathered:
    """The keys of one question, of which one statement at a time is on its way."""

    def __init__(self, question: Question, ask: Ask) -> None:
        self._question, self._ask = question, ask
        self._turn = asyncio.Lock()
        self._next: dict[Key, Rows] = {}
        self._task: asyncio.Task[None] | None = None

    async def rows(self, keys: Iterable[Key]) -> list[Rows]:
        """Return the rows of each key.

        :raises psycopg.Error: as of any statement.
        """
        mine, answers = list(keys), []
        for key in mine:
            if self._task is None or (len(self._next) >= LARGEST and key not in self._next):
                self._begin()
            self._next.setdefault(key, [])
            answers.append((self._next, self._task))
        for task in dict.fromkeys(task for _, task in answers if task is not None):
            await asyncio.shield(task)  # others ask too
        return [found[key] for key, (found, _) in zip(mine, answers, strict=True)]

    def _begin(self) -> None:
        self._next = {}
        self._task = asyncio.create_task(self._go(self._next))
        # Whoever asked may have left.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _go(self, found: dict[Key, Rows]) -> None:
        async with self._turn:
            if found is self._next:  # from now on it is too late to go along
                self._task = None
            places = list(found.values())
            columns = [array(column) for column in zip(*found, strict=True)]
            for row in await self._ask(self._question, columns):
                places[row[-1] - 1].append(row[:-1])


def array(values: Iterable[object]) -> str:
    """Return an array as PostgreSQL reads it, of values whose text needs no quotes."""
    return f"{{{','.join(map(str, values))}}}"
