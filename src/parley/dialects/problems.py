"""An error on its way to a client, before the dialect has put it into its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong: a status, a code, a sentence; and in a 400 what is wrong with each field."""

    status: int
    code: str
    detail: str
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
