"""The cursor of ``sync``: what a client knows, signed, in about 2 KB at most.

It is bound to its user by the key it is signed with, and versioned. The list of shards is there
from day one, of length one.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.core.signing import BadSignature, Signer

from parley.messaging.refusals import InvalidCursor

VERSION = 1
SHARD = 0
MOST_KNOWN = 64
LEFT = -1
UNNOTED = -1
WHOLE_VERSION = 2**62  # past every seq


@dataclass(frozen=True, slots=True)
class Known:
    """How much of one conversation a client has: messages by revision, marks by (version, seq).

    ``revision`` is ``LEFT`` where it was told that the person is no longer in it. ``version`` is
    ``UNNOTED`` where of the marks only those of the settled generations are known.
    """

    revision: int
    version: int
    seq: int = WHOLE_VERSION


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over several pages: where it stands, and what ``settled`` was when it began.

    It goes by (generation, conversation); without a generation it is the first snapshot and goes by
    conversation. ``begun`` is a conversation of which a page held only a part.
    """

    settled: int
    gen: int | None = None
    conversation_id: UUID | None = None
    begun: tuple[UUID, Known] | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything of generation ``settled`` and before is known, and of some conversations more than
    that.
    """

    issued_gen: int
    nonce: str
    settled: int
    known: dict[UUID, Known] = field(default_factory=dict)
    under_way: Pass | None = None

    def write(self, user_id: UUID) -> str:
        """Return it as this user's opaque text."""
        at, found = self.under_way, list(self.known.items())
        content = [
            VERSION,
            [[SHARD, self.issued_gen, self.nonce, self.settled]],
            at and [at.settled, at.gen, _pack(at.conversation_id), _pack_begun(at.begun)],
            _pack(*(conversation_id for conversation_id, _ in found)),
            [known.revision for _, known in found],
            [known.version for _, known in found],
        ]
        return _signer(user_id).sign_object(content, compress=True)

    @classmethod
    def read(cls, text: str, user_id: UUID) -> Cursor:
        """Return what the text says.

        :raises InvalidCursor: it is broken or forged, was given to someone else, or is of another
            version.
        """
        try:
            version, shards, at, ids, revisions, versions = _signer(user_id).unsign_object(text)
            if version != VERSION:
                raise InvalidCursor(attr="cursor")
            [[_, issued_gen, nonce, settled]] = shards
            known = map(Known, revisions, versions)
            return cls(
                issued_gen,
                nonce,
                settled,
                dict(zip(_unpack(ids), known, strict=True)),
                at and _unpack_pass(*at),
            )
        except (BadSignature, ValueError, TypeError, zlib.error):
            raise InvalidCursor(attr="cursor") from None


@lru_cache(maxsize=10_000)
def _signer(user_id: UUID) -> Signer:
    return Signer(salt=f"parley.sync.{user_id.hex}", sep="~")


def _pack(*ids: UUID | None) -> str:
    packed = b"".join(found.bytes for found in ids if found)
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def _unpack(text: str) -> list[UUID]:
    packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return [UUID(bytes=packed[at : at + 16]) for at in range(0, len(packed), 16)]


def _pack_begun(begun: tuple[UUID, Known] | None) -> list[Any] | None:
    if begun is None:
        return None
    conversation_id, known = begun
    return [_pack(conversation_id), known.revision, known.version, known.seq]


def _unpack_pass(settled: int, gen: int | None, at: str, begun: list[Any] | None) -> Pass:
    conversation_id = next(iter(_unpack(at)), None)
    if begun is None:
        return Pass(settled, gen, conversation_id)
    [begun_id] = _unpack(begun[0])
    return Pass(settled, gen, conversation_id, (begun_id, Known(*begun[1:])))


def is_under_way(text: str, user_id: UUID) -> bool:
    """Whether this cursor continues a pass that had begun; one that cannot be read does not."""
    try:
        return Cursor.read(text, user_id).under_way is not None
    except InvalidCursor:
        return False
