"""Conversations and participants as one viewer sees them: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SeenParticipant:
    user_id: UUID
    member_role: str
    read_seq: int
    delivered_seq: int
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Me:
    """The viewer's own side of a conversation."""

    member_role: str
    read_seq: int
    watermark: int
    muted_until: datetime | None
    archived_at: datetime | None
    pinned_at: datetime | None


@dataclass(frozen=True, slots=True)
class Blocked:
    user_id: UUID
    created_at: datetime
