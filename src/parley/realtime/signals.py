"""What people do at the moment, of which nothing is stored: typing, coming and going."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

SIGNALS = ("typing", "presence", "who", "here")
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Signal:
    """``kind`` is one of ``SIGNALS``; ``state`` is that of a presence.

    ``who`` is asked by a process that begins to listen, of nobody in particular: who is there?
    ``here`` is what each process answers, and says now and then.
    """

    kind: str
    user_id: UUID
    conversation_id: UUID | None = None
    state: str = ""
