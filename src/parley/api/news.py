"""What is new: the unread total, and everything that changed since a cursor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts.models import User
from parley.api.bases import BaseViewSet
from parley.api.schema import operation
from parley.api.serializers import NewsSerializer, UnreadTotalSerializer
from parley.http.parameters import CURSOR, LIMIT, USERS, WAIT, Flag
from parley.messaging import queries
from parley.messaging.refusals import InvalidCursor, ResyncRequired
from parley.messaging.seen import News
from parley.messaging.sync import sync

VERIFY = Flag("verify", "`true`: count every message anew beside it, for comparison. This is slow.")

STEP_S = 0.5
MOST_WAITING = 200
waiting = threading.BoundedSemaphore(MOST_WAITING)


class UnreadViewSet(BaseViewSet):
    """How much I have not read."""

    @operation(answers={200: UnreadTotalSerializer}, takes=(VERIFY,))
    def retrieve(self, request: Request) -> Response:
        """My unread total. It stops at 1,000, and is then `capped`."""
        answer = self.shown(UnreadTotalSerializer, queries.count_unread(viewer=self.viewer), None)
        if VERIFY.read(request.query_params):
            anew = queries.recount_unread(viewer=self.viewer)
            answer.data["recount"] = {
                "messages": anew.messages,
                "conversations": anew.conversations,
            }
        return answer


class SyncViewSet(BaseViewSet):
    """Everything that changed, for clients that keep a copy."""

    @operation(
        answers={200: NewsSerializer},
        takes=(CURSOR, LIMIT, WAIT, USERS),
        refuses=(InvalidCursor, ResyncRequired),
    )
    def retrieve(self, request: Request) -> Response:
        """What changed since a cursor; without one, a first snapshot. Ask again while `more` is
        true.

        `limit` counts messages. The cursor is good for ever; one from before a restored backup
        answers 410.
        """
        query, people_of = request.query_params, self.people_of()
        found = listen(
            self.viewer, cursor=CURSOR.read(query) or None, limit=self.size, wait=WAIT.read(query)
        )
        named = {user_id for seen in found.conversations for user_id in seen.people()}
        return self.shown(NewsSerializer, found, people_of(named))


def listen(viewer: User, *, cursor: str | None, limit: int, wait: int) -> News:
    """Return what is new; if nothing is, look again for ``wait`` seconds, holding no connection
    meanwhile.

    Only where no live door stands before it (``realtime.longpoll`` waits there). Only so many wait
    at a time; beyond that the answer comes at once, and is empty.
    """
    deadline = time.monotonic() + wait
    found = sync(viewer=viewer, cursor=cursor, limit=limit)
    if wait == 0 or cursor is None or not is_empty(found):
        return found
    with _place() as has_place:
        while has_place and is_empty(found) and time.monotonic() < deadline:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(STEP_S, max(0, deadline - time.monotonic())))
            found = sync(viewer=viewer, cursor=found.cursor, limit=limit)
    return found


def is_empty(found: News) -> bool:
    return not (found.conversations or found.marks or found.removed or found.left or found.more)


@contextmanager
def _place() -> Iterator[bool]:
    """Take one of the places of those who wait, if one is free."""
    has_place = waiting.acquire(blocking=False)
    try:
        yield has_place
    finally:
        if has_place:
            waiting.release()
