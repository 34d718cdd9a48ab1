"""What goes out over a live connection: one JSON object an event, written once for its readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from parley.http.wire import instant


def encode(content: Mapping[str, Any]) -> str:
    return msgspec.json.encode(content).decode()


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as text. Those of a change bear its conversation and revision.

    Where ``is_whole`` is false, more frames of this revision follow; where ``is_guess`` is true, no
    hint told of it.
    """

    type: str
    text: str
    conversation_id: UUID | None = None
    revision: int | None = None
    is_whole: bool = True
    is_guess: bool = False
    _wire: list[bytes] = field(default_factory=list, compare=False, repr=False)

    @property
    def wire(self) -> bytes:
        """The whole WebSocket frame (RFC 6455, 5.2), made once for all who get it."""
        if not self._wire:
            self._wire.append(_framed(self.text.encode()))
        return self._wire[0]


def _framed(data: bytes) -> bytes:
    size = len(data)
    if size < 126:  # noqa: PLR2004 - the protocol's own borders
        return b"\x81" + size.to_bytes(1) + data
    if size < 65_536:  # noqa: PLR2004
        return b"\x81\x7e" + size.to_bytes(2) + data
    return b"\x81\x7f" + size.to_bytes(8) + data


def event(
    type_: str,
    at: datetime,
    *,
    conversation_id: UUID | None = None,
    revision: int | None = None,
    content: Mapping[str, Any],
    beside: Mapping[str, Any] | None = None,
) -> Frame:
    """Write an event: ``{type, conversation, revision, at, …}``, then what it is about, then the
    rest.
    """
    head: dict[str, Any] = {"type": type_}
    if conversation_id is not None:
        head["conversation"] = str(conversation_id)
    if revision is not None:
        head["revision"] = revision
    head["at"] = instant(at)
    text = encode(head | dict(content) | dict(beside or {}))
    return Frame(type_, text, conversation_id, revision)
