"""What anyone may be shown of a user: a plain value that both doors and lanes can write out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Person:
    """A user as the domain hands it out; contact details are for those who may see them."""

    user_id: UUID
    username: str
    first_name: str
    last_name: str
    email: str | None
    phone_number: str | None
    role: str
    created_at: datetime

    def without_contact(self) -> Person:
        return replace(self, email=None, phone_number=None)
