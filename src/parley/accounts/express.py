"""Who a credential proves, and who there is, asked from an event loop: the questions of
``queries``.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.contrib.sessions.backends.db import SessionStore
from django.utils.crypto import constant_time_compare

from parley.accounts.directory import Columns, Walk
from parley.accounts.models import Role, User
from parley.accounts.operations.credentials import COARSE
from parley.accounts.people import COLUMNS, Person, read_person
from parley.accounts.queries import (
    LIVE_OPAQUE,
    LIVE_SIGN_IN,
    SESSION_SQL,
    UserNotFound,
    addressed,
)
from parley.kernel.async_database import answer, database, rows
from parley.kernel.database import instant_value, uuid_value
from parley.kernel.paging import Page, Position
from parley.kernel.questions import Question
from parley.kernel.text import is_storable

PERSON = ", ".join(f"u.{column}" for column in COLUMNS)
SIGNED_IN = Question(f"SELECT {PERSON} {LIVE_SIGN_IN}", sign_in_id="uuid", user_id="uuid")
TOKEN_OWNER = Question(
    f"SELECT {PERSON}, t.token_id, t.last_used_at {LIVE_OPAQUE}", digest="text", at="timestamptz"
)
USER_SQL = (
    f"SELECT {PERSON}, u.security_stamp FROM accounts_user u WHERE u.user_id = %s AND u.is_active"  # noqa: S608
)
SEEN_SQL = f"SELECT {PERSON} FROM accounts_user u WHERE u.user_id = %s AND (u.is_active OR %s)"  # noqa: S608
RECIPIENT_SQL = "SELECT user_id FROM accounts_user WHERE {column} = %s AND is_active"


async def signed_in(*, sign_in_id: UUID, user_id: UUID) -> Person | None:
    """Return the user of a sign-in by JWT while both are live."""
    found = await answer(SIGNED_IN, sign_in_id, user_id)
    return read_person(found[0]) if found else None


async def token_owner(*, digest: str, at: datetime) -> tuple[Person, UUID] | None:
    """Return the user of an opaque token, and the token's id; nobody too if its use is to be noted,
    which writes.
    """
    found = await answer(TOKEN_OWNER, digest, at)
    if not found or found[0][-1] is None or instant_value(found[0][-1]) <= at - COARSE:
        return None
    return read_person(found[0]), uuid_value(found[0][-2])


async def session_user(*, session_key: str, at: datetime) -> Person | None:
    """Return the user of a session while both are live."""
    found = await rows(SESSION_SQL, [session_key, at])
    if not found:
        return None
    held: dict[str, str] = SessionStore().decode(found[0][0])
    users = await rows(USER_SQL, [uuid_value(held["_auth_user_id"])]) if held else []
    if not users:
        return None
    stamp = User(security_stamp=users[0][-1]).get_session_auth_hash()
    is_live = constant_time_compare(held.get("_auth_user_hash", ""), stamp)
    return read_person(users[0]) if is_live else None


async def find_person(*, user_id: UUID) -> Person | None:
    """Return an active user."""
    found = await rows(USER_SQL, [user_id])
    return read_person(found[0]) if found else None


async def find_recipient(*, name: str) -> UUID | None:
    """Return the id of the active user that a text names, if it names one."""
    if not is_storable(name):
        return None
    column, key = addressed(name)
    found = await rows(RECIPIENT_SQL.format(column=column), [key])
    return uuid_value(found[0][0]) if found else None


# --- on PostgreSQL, as rows that begin with a person in text, contact details included ------------


async def list_people(*, search: str, position: Position | None, size: int) -> Page[Columns]:
    """Return one page of the directory, as ``queries.list_people`` does.

    :raises Invalid: as there.
    """
    walk = Walk(search=search, position=position, size=size)
    while asked := walk.asks():
        walk.take(await database().rows(*asked, as_text=True))
    return walk.page()


async def get_person(*, viewer: User, user_id: UUID) -> Columns:
    """Return one person, as ``queries.get_person`` does.

    :raises UserNotFound: as there.
    """
    found = await database().rows(SEEN_SQL, [user_id, viewer.role == Role.ADMIN], as_text=True)
    if not found:
        raise UserNotFound
    return found[0]
