"""What goes out over a live connection: one JSON object an event, written once for its readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from parley.http.wire import instant


def encode(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


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
