"""Expected refusals: the domain raises them, each door has words and statuses for their kinds.

Refusal
├── Invalid        the request itself is wrong; ``attr`` names the field
├── NotFound       it does not exist, or the viewer may not know that it does
├── NotAllowed     the viewer can see the thing but may not do this to it
├── Conflict       it contradicts what is already stored
├── Gone           it was valid once and is not any more
└── Unavailable    not now; the same request may succeed in a moment
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """An expected no: the caller can act on it, so it is not logged as a fault."""

    code: ClassVar[str] = "refused"
    message: ClassVar[str] = "Refused."

    def __init__(self, message: str | None = None, *, attr: str | None = None) -> None:
        super().__init__(message or self.message)
        self.attr = attr

    @property
    def detail(self) -> str:
        return str(self.args[0])


class Invalid(Refusal):
    """The request is wrong in itself; ``attr`` names the offending field."""

    code = "invalid"
    message = "Invalid input."


class NotFound(Refusal):
    """Absent, or hidden from this viewer: the two look alike."""

    code = "not_found"
    message = "Not found."


class NotAllowed(Refusal):
    """The viewer can see the thing but may not do this to it."""

    code = "permission_denied"
    message = "You do not have permission to perform this action."


class Conflict(Refusal):
    """It contradicts what is already stored."""

    code = "conflict"
    message = "This contradicts what is already stored."


class Gone(Refusal):
    """It was valid once and is not any more."""

    code = "gone"
    message = "No longer available."


class Unavailable(Refusal):
    """Not now: the same request may succeed in a moment."""

    code = "unavailable"
    message = "The service is busy; try again in a moment."
