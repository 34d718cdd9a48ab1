"""Who is in the conversations that are talked in now, remembered for a few seconds.

Where messages come one after the other, who hears of them need not be asked again for each: no one
comes or goes without a revision, which the next message would show. Roles and names may change
without; they are seen at once where this process changed them, and within four seconds else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.db.models.signals import post_save

from parley.accounts.models import User
from parley.kernel.threads import Threads
from parley.messaging import express_listening, listening
from parley.messaging.listening import Audience

LIFE_S = 4.0
MOST_PEOPLE = 20_000  # in all conversations together


class Audiences:
    """What was asked lately, in the loop where it can ask, else in a thread."""

    def __init__(self, thread: Threads) -> None:
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._known: dict[UUID, tuple[float, Audience | None]] = {}
        self._people = 0
        post_save.connect(self._saved, sender=User)

    def close(self) -> None:
        post_save.disconnect(self._saved, sender=User)

    async def of(
        self, conversation_ids: Collection[UUID], *, anew: Collection[UUID] = ()
    ) -> dict[UUID, Audience]:
        """Return who is in each of these conversations; large ones are left out.

        What is remembered of those in ``anew`` does not do.
        """
        known, now = self._known, self._loop.time()
        unknown = [
            where
            for where in conversation_ids
            if where in anew or known.get(where, (0.0,))[0] <= now
        ]
        if unknown:
            self._keep(known, unknown, await self._ask(unknown), now + LIFE_S)
        found = {where: known[where][1] for where in conversation_ids}
        return {where: audience for where, audience in found.items() if audience is not None}

    async def _ask(self, conversation_ids: Collection[UUID]) -> Mapping[UUID, Audience]:
        if connection.vendor == "postgresql":
            with contextlib.suppress(psycopg.Error):  # Django's connection goes, or says why not
                return await express_listening.find_audiences(conversation_ids)
        return await self._thread.ask(partial(listening.find_audiences, conversation_ids))

    def _keep(
        self,
        known: dict[UUID, tuple[float, Audience | None]],
        asked: Collection[UUID],
        found: Mapping[UUID, Audience],
        until: float,
    ) -> None:
        """Remember an answer in ``known``, which was let go of if anyone changed meanwhile."""
        self._people += len(asked) + sum(len(each.listeners) for each in found.values())
        if self._people > MOST_PEOPLE:
            self.forget()
        known.update({where: (until, found.get(where)) for where in asked})

    def forget(self) -> None:
        self._known, self._people = {}, 0

    def _saved(self, **_: Any) -> None:
        """Forget everything once a change of a user is committed, whichever thread made it."""
        transaction.on_commit(self._forget_soon, robust=True)

    def _forget_soon(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody is told any more
            self._loop.call_soon_threadsafe(self.forget)
