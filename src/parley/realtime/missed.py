"""What a live connection has to know of a page of ``/api/sync/``, which it passes on as it is."""

from __future__ import annotations

import json
from uuid import UUID

import msgspec


class Given(msgspec.Struct):
    """A conversation of which a page gives what is new, up to this revision."""

    conversation_id: UUID
    revision: int


class Page(msgspec.Struct):
    conversations: list[Given]
    cursor: str
    more: bool


_reader = msgspec.json.Decoder(Page)


def read(answer: bytes) -> Page:
    return _reader.decode(answer)


def with_more(answer: bytes) -> bytes:
    """Return a last page as one that is not."""
    return json.dumps(json.loads(answer) | {"more": True}, separators=(",", ":")).encode()
