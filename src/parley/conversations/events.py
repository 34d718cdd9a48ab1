"""What happened, told after the commit to whoever listens in this process.

Events are hints: nothing that is stored depends on them, and a lost one costs seconds. Those with a
``revision`` stand for a change that any device finds again by syncing; the others are of the
    moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from parley.kernel.hooks import Hook

log = structlog.get_logger(__name__)


class Type(StrEnum):
    """What an event is about."""

    MESSAGES = "messages"  # sent, edited or retracted, up to ``revision``
    CREATED = "created"  # the conversation itself
    CHANGED = "changed"  # its title, or someone's role in it
    JOINED = "joined"  # ``user_ids`` are in it now
    LEFT = "left"  # ``user_ids`` are not in it any more
    OWN = (
        "own"  # ``user_ids`` (one person) changed something of their own: marks, watermark, mute …
    )
    REMOVED = "removed"  # one person removed ``message_id`` for themselves
    READ = "read"  # one person's receipt rose to ``seq``
    DELIVERED = "delivered"  # one person's devices have everything up to ``seq``


@dataclass(frozen=True, slots=True)
class Event:
    type: Type
    conversation_id: UUID
    revision: int | None = None
    user_ids: tuple[UUID, ...] = ()
    message_id: UUID | None = None
    seq: int | None = None
    # The message that was sent, as it was stored: whoever tells of it in this process need not ask.
    said: Any = field(default=None, compare=False, repr=False)


happened: Hook[Sequence[Event]] = Hook()


def tell(*events: Event) -> None:
    """Tell of events once the caller's transaction has committed; without one, at once.

    Telling never fails what has happened.
    """
    if events and happened.is_joined:
        transaction.on_commit(partial(_tell, events), robust=True)


def tell_committed(*events: Event) -> None:
    """Tell of events whose transaction has committed already."""
    if events and happened.is_joined:
        _tell(events)


def _tell(events: Sequence[Event]) -> None:
    try:
        happened(events)
    except Exception:
        log.exception("events could not be told; devices will notice and sync")
