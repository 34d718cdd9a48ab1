"""What anyone may be shown of a user: a plain value that both doors and lanes can write out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from parley.accounts.models import Role, User
from parley.kernel.database import instant_value, text_value, uuid_value


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
        """Return the same person, for those who may not see how to reach them."""
        # Written out: this is done for everyone in every list, and ``replace`` takes its time.
        return Person(
            self.user_id,
            self.username,
            self.first_name,
            self.last_name,
            None,
            None,
            self.role,
            self.created_at,
        )


# The columns of a Person, in its order: Person(*row) is one.
COLUMNS = tuple(Person.__dataclass_fields__)


def as_person(user: User) -> Person:
    """Return everything about a user that can be shown, contact details included."""
    return Person(*(getattr(user, column) for column in COLUMNS))


def as_user(person: Person) -> User:
    """Return the user whom a person with contact details shows, not read again."""
    return User(**{column: getattr(person, column) for column in COLUMNS})


def read_person(row: Sequence[Any]) -> Person:
    """Return the person of a row that begins with ``COLUMNS``, as a driver gives it."""
    user_id, username, first_name, last_name, email, phone_number, role, created_at = row[:8]
    return Person(
        uuid_value(user_id),
        text_value(username),
        first_name,
        last_name,
        email,
        phone_number,
        role,
        instant_value(created_at),
    )


Sharing = Callable[[UUID, Collection[UUID]], set[UUID]]


class Acquaintances:
    """Who of some people shares a conversation with the viewer.

    The layer above knows; it joins its answer when it is loaded. Without one nobody does.
    """

    def __init__(self) -> None:
        self._answer: Sharing | None = None

    def join(self, answer: Sharing) -> Sharing:
        self._answer = answer
        return answer

    def __call__(self, viewer_id: UUID, user_ids: Collection[UUID]) -> set[UUID]:
        return set() if self._answer is None else self._answer(viewer_id, user_ids)


acquaintances = Acquaintances()


def shown_to(viewer: User | None, people: Iterable[Person]) -> list[Person]:
    """Return the same people, without the contact details that are not for this viewer."""
    found = list(people)
    reachable = _reachable(viewer, {person.user_id for person in found})
    return [
        p if reachable is None or p.user_id in reachable else p.without_contact() for p in found
    ]


def may_see_contact(viewer_id: UUID, person: Person, *, is_admin: bool) -> bool:
    """Whether the contact details of someone in a conversation are for one of its participants."""
    parley: Any = settings.PARLEY
    return is_admin or person.user_id == viewer_id or parley.contact_details != "self"


def _reachable(viewer: User | None, user_ids: set[UUID]) -> set[UUID] | None:
    """Return whose contact details the viewer may see; None is everyone's."""
    parley: Any = settings.PARLEY
    if parley.contact_details == "everyone" or (viewer and viewer.role == Role.ADMIN):
        return None
    if viewer is None:
        return set()
    mine = {viewer.user_id}
    if parley.contact_details == "participants" and user_ids - mine:
        return mine | acquaintances(viewer.user_id, user_ids - mine)
    return mine
