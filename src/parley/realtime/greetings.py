"""What a live connection begins with: from where on it is told, and how much is unread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from django.db import connection

from parley.accounts.models import User
from parley.messaging import express, express_sync, queries
from parley.messaging.listings import is_heavy
from parley.messaging.seen import UnreadTotal
from parley.messaging.sync import here

Ask = Callable[..., Awaitable[Any]]


async def greet(ask: Ask, user: User) -> tuple[str, UnreadTotal]:
    """Return the cursor of someone who has everything, and how much is unread.

    ``ask`` asks in a thread what is not asked from the event loop.
    """
    cursor, total = None, None
    if await _is_asked_here(user):
        cursor, total = await asyncio.gather(
            _tried(express_sync.here(viewer_id=user.user_id)),
            _tried(express.count_unread(viewer_id=user.user_id)),
        )
    if cursor is None:
        cursor = await ask(here, viewer=user)
    return cursor, total or await ask(queries.count_unread, viewer=user)


async def place(ask: Ask, user: User) -> str:
    """Return the cursor alone."""
    found: str | None = None
    if await _is_asked_here(user):
        found = await _tried(express_sync.here(viewer_id=user.user_id))
    if found is None:
        found = await ask(here, viewer=user)
    return found


async def _is_asked_here(user: User) -> bool:
    """Whether there are statements for it, which are not for the conversations of heavy readers."""
    is_theirs = connection.vendor == "postgresql"
    return is_theirs and await _tried(is_heavy(viewer_id=user.user_id)) is False


async def _tried(question: Awaitable[Any]) -> Any:
    try:
        return await question
    except psycopg.Error:  # the thread says what is wrong
        return None
