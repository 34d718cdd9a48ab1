"""Writing many people at once, for samples and measurements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parley.accounts.models import User
from parley.kernel.bulk import write_rows
from parley.kernel.database import in_transaction

COLUMNS = tuple(field.name for field in User._meta.concrete_fields)  # noqa: SLF001 - documented


@in_transaction
def load_people(users: Iterable[User]) -> None:
    """Store users that exist nowhere yet. Nothing is checked, and nobody is told.

    :raises IntegrityError: a name or an address is taken.
    """
    write_rows(User, COLUMNS, (_row(user) for user in users))


def _row(user: User) -> Sequence[object]:
    user.follow()
    return [getattr(user, column) for column in COLUMNS]
