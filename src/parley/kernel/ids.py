"""Identifiers: UUIDv7 (RFC 9562), with a conversation's shard in the 12 bits after the version.

A conversation's id is born with its shard in ``rand_a``; the ids of its messages copy it. Every id
of a conversation's data thus names one of 4,096 virtual shards, for ever, without a look-up.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import time
from collections import deque
from datetime import datetime
from uuid import UUID

SHARDS = 4096
DRAW = 512
# MariaDB 10.11 takes no UUIDv8 whose ninth byte (the variant and six bits more) is this one.
REFUSED_BY_MARIADB = 0x80
WRITTEN = re.compile(
    "[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)


_drawn: deque[int] = deque()
if hasattr(os, "register_at_fork"):  # where processes fork, each draws its own
    os.register_at_fork(after_in_child=_drawn.clear)


def random_bits() -> int:
    """Return 64 bits of the system's randomness, which is asked for many of them at a time."""
    try:
        return _drawn.pop()
    except IndexError:
        _drawn.extend(struct.unpack(f"{DRAW}Q", os.urandom(8 * DRAW)))
        return _drawn.pop()


def new_id(*, shard: int | None = None, at: datetime | None = None) -> UUID:
    """Return a fresh UUIDv7, of this moment unless ``at`` says when.

    ``shard`` (0–4095) fills the bits after the version, random if not given.
    """
    milliseconds = time.time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1_000)
    chosen = random_bits() % SHARDS if shard is None else shard
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | chosen << 64 | 0b10 << 62 | random_bits() >> 2
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
    value |= 0x8 << 76 | 0b10 << 62
    if value >> 56 & 0xFF == REFUSED_BY_MARIADB:
        value |= 1 << 56
    return UUID(int=value)
