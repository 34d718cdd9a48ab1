"""What a live connection begins with: from where on it is told, and how much is unread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from django.db import connection

from parley.accounts.models import User
from parley.messaging import express, express_sync, listings, queries
from parley.messaging.seen import UnreadTotal
from parley.messaging.sync import here

Ask = Callable[..., Awaitable[Any]]


async def greet(ask: Ask, user: User, *, is_heavy: bool | None = None) -> tuple[str, UnreadTotal]:
    """Return the cursor of someone who has everything, and how much is unread.

    ``ask`` asks in a thread what is not asked from the event loop; ``is_heavy`` is whether they are
    a heavy reader, if that is known.
    """
    cursor, total = None, None
    if await _is_asked_here(user, is_heavy=is_heavy):
        cursor, total = await asyncio.gather(
            _tried(express_sync.here(viewer_id=user.user_id)),
            _tried(express.count_unread(viewer_id=user.user_id)),
        )
    if cursor is None:
        cursor = await ask(here, viewer=user)
    return cursor, total or await ask(queries.count_unread, viewer=user)


async def place(ask: Ask, user: User, *, is_heavy: bool | None = None) -> str:
    """Return the cursor alone."""
    found: str | None = None
    if await _is_asked_here(user, is_heavy=is_heavy):
        found = await _tried(express_sync.here(viewer_id=user.user_id))
    if found is None:
        found = await ask(here, viewer=user)
    return found


async def _is_asked_here(user: User, *, is_heavy: bool | None) -> bool:
    """Whether there are statements for it, which are not for the conversations of heavy readers."""
    if connection.vendor != "postgresql":
        return False
    if is_heavy is None:
        is_heavy = await _tried(listings.is_heavy(viewer_id=user.user_id))
    return is_heavy is False


async def _tried(question: Awaitable[Any]) -> Any:
    try:
        return await question
    except psycopg.Error:  # the thread says what is wrong
        return None
