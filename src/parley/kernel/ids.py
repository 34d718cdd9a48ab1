"""Identifiers: UUIDv7 (RFC 9562), with a conversation's shard in the 12 bits after the version.

A conversation's id is born with its shard in ``rand_a``; the ids of its messages copy it. Every id
of a conversation's data thus names one of 4,096 virtual shards, for ever, without a look-up.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from datetime import datetime
from uuid import UUID

SHARDS = 4096
WRITTEN = re.compile(
    "[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)


def new_id(*, shard: int | None = None, at: datetime | None = None) -> UUID:
    """Return a fresh UUIDv7, of this moment unless ``at`` says when.

    ``shard`` (0–4095) fills the bits after the version, random if not given.
    """
    milliseconds = time.time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1_000)
    chosen = secrets.randbelow(SHARDS) if shard is None else shard
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | chosen << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def parse(text: str) -> UUID | None:
    """Return the id that a text writes, with or without dashes; nothing if it writes none."""
    return UUID(text) if WRITTEN.fullmatch(text) else None


def shard_of(value: UUID) -> int:
    """Return the 12 bits after the version."""
    return (value.int >> 64) & 0xFFF


def message_id(conversation_id: UUID) -> UUID:
    """Return a fresh message id in the shard of its conversation."""
    return new_id(shard=shard_of(conversation_id))


def direct_key(one: UUID, other: UUID) -> bytes:
    """Return the 32 bytes that name the one direct conversation of a pair, in either order."""
    return b"".join(sorted((one.bytes, other.bytes)))


def direct_conversation_id(key: bytes) -> UUID:
    """Return a fresh id for a direct conversation; its shard follows from the pair."""
    return new_id(shard=direct_shard(key))


def direct_shard(key: bytes) -> int:
    """Return the shard in which a pair's direct conversation lives."""
    return int.from_bytes(hashlib.sha256(key).digest()[:2]) % SHARDS


def group_id(sender_id: UUID, client_id: str) -> UUID:
    """Return the id (UUIDv8) of the group that this client id creates: a retry meets itself."""
    digest = hashlib.sha256(sender_id.bytes + client_id.encode()).digest()
    value = int.from_bytes(digest[:16])
    value &= ~(0xF << 76) & ~(0b11 << 62)
    return UUID(int=value | 0x8 << 76 | 0b10 << 62)
