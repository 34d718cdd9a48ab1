"""Questions about people, and about what they prove themselves by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, Q, QuerySet

from parley.accounts.credentials import Credential, Proof
from parley.accounts.directory import list_people
from parley.accounts.models import OpaqueToken, Role, SignIn, User
from parley.accounts.people import COLUMNS, Person, as_person, read_person, shown_to
from parley.kernel import ids
from parley.kernel.database import (
    among,
    columns,
    instances,
    instant_value,
    rows,
    text_value,
    uuid_value,
)
from parley.kernel.errors import Invalid, NotAllowed, NotFound
from parley.kernel.paging import Page, Position
from parley.kernel.text import is_storable, name_key

__all__ = [
    "count_people",
    "existing",
    "find_account",
    "find_recipient",
    "find_recipients",
    "find_user",
    "get_person",
    "get_user",
    "list_people",
    "list_tokens",
    "me",
    "people",
    "signed_in",
    "token_owner",
]


# Every request asks one of these: they are written out, for the ORM takes longer than the database.
LIVE_SIGN_IN = """
  FROM accounts_signin s JOIN accounts_user u ON u.user_id = s.user_id
 WHERE s.sign_in_id = %s AND s.user_id = %s AND s.security_stamp = u.security_stamp AND u.is_active
"""
LIVE_OPAQUE = """
  FROM accounts_opaquetoken t JOIN accounts_user u ON u.user_id = t.user_id
 WHERE t.digest = %s AND (t.expiry IS NULL OR t.expiry > %s)
   AND t.security_stamp = u.security_stamp AND u.is_active
"""
SESSION_SQL = "SELECT session_data FROM django_session WHERE session_key = %s AND expire_date > %s"
SIGN_IN_SQL = f"SELECT {columns(User, 'u')}, s.refresh_jti {LIVE_SIGN_IN}"
OPAQUE_SQL = f"SELECT {columns(User, 'u')}, t.token_id, t.last_used_at {LIVE_OPAQUE}"
USER_SQL = f"SELECT {columns(User, 'u')} FROM accounts_user u WHERE u.{{}} = %s"  # noqa: S608
PEOPLE_SQL = f"SELECT {', '.join(COLUMNS)} FROM accounts_user WHERE {{chosen}}"  # noqa: S608


class LiveSignIn(NamedTuple):
    """A sign-in by JWT; ``refresh_jti`` names its one valid refresh token."""

    user: User
    sign_in_id: UUID
    refresh_jti: str


class LiveToken(NamedTuple):
    """An opaque token that proves its user now."""

    user: User
    token_id: UUID
    digest: str
    last_used_at: datetime | None


class UserNotFound(NotFound):
    message = "No such user."


class NotAnAdmin(NotAllowed):
    code = "not_an_admin"
    message = "Only an admin may do this."


class UnknownPerson(Invalid):
    code = "does_not_exist"
    message = "No such user."


def people(*, viewer: User | None, user_ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Return people by id, deactivated ones too; ids that are nobody's are left out."""
    found = shown_to(viewer, known(user_ids=user_ids).values())
    return {person.user_id: person for person in found}


def known(*, user_ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Return people by id, with contact details that the caller shows only to those who may see
    them.
    """
    wanted = set(user_ids)
    if not wanted:
        return {}
    chosen, parameters = among("user_id", wanted)
    found = map(read_person, rows(PEOPLE_SQL.format(chosen=chosen), parameters, by_key=True))
    return {person.user_id: person for person in found}


def me(*, viewer: User) -> Person:
    """Return the viewer, as they see themselves."""
    return as_person(viewer)


def get_person(*, viewer: User, user_id: UUID) -> Person:
    """Return one person.

    :raises UserNotFound: there is no such user, or they are deactivated and the viewer is no admin.
    """
    is_seen = "" if viewer.role == Role.ADMIN else " AND is_active"
    found = rows(PEOPLE_SQL.format(chosen=f"user_id = %s{is_seen}"), [user_id], by_key=True)
    if not found:
        raise UserNotFound
    return shown_to(viewer, [read_person(found[0])])[0]


def get_user(*, viewer: User, user_id: UUID) -> User:
    """Return the user whom an admin wants to change.

    :raises UserNotFound: there is no such user, or the viewer may not see them.
    :raises NotAnAdmin: the viewer is none.
    """
    get_person(viewer=viewer, user_id=user_id)
    if viewer.role != Role.ADMIN:
        raise NotAnAdmin
    return User.objects.get(user_id=user_id)


def existing(*, user_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the ids that are active users'."""
    if not user_ids:
        return set()
    chosen, parameters = among("user_id", set(user_ids))
    sql = f"SELECT user_id FROM accounts_user WHERE {chosen} AND is_active"  # noqa: S608
    return {uuid_value(user_id) for (user_id,) in rows(sql, parameters)}


def count_people(*, most: int) -> int:
    """Return how many active users there are; from ``most`` on it means "at least"."""
    return User.objects.filter(is_active__in=[True]).order_by()[:most].count()


def find_recipient(*, name: str) -> UUID:
    """Return the id of the active user that the text names: by id, e-mail address or username.

    :raises UnknownPerson: it names nobody.
    """
    return find_recipients(names=[name])[0]


def find_recipients(*, names: Sequence[str], once_active: bool = False) -> list[UUID]:
    """Return the ids of the active users that the texts name, in their order, at the cost of at
    most three queries; with ``once_active`` of deactivated ones too.

    :raises UnknownPerson: one of them names nobody.
    """
    if not all(map(is_storable, names)):
        raise UnknownPerson
    wanted = [addressed(name) for name in names]
    found: dict[tuple[str, object], UUID] = {}
    for column in {column for column, _ in wanted}:
        keys = {key for by, key in wanted if by == column}
        found |= {(column, key): user_id for key, user_id in _called(column, keys, once_active)}
    if not found.keys() >= set(wanted):
        raise UnknownPerson
    return [found[key] for key in wanted]


def _called(
    column: str,
    keys: Collection[Any],
    once_active: bool,  # noqa: FBT001
) -> Iterator[tuple[object, UUID]]:
    chosen, parameters = among(column, keys)
    sql = f"SELECT {column}, user_id, is_active FROM accounts_user WHERE {chosen}"  # noqa: S608
    read = uuid_value if column == "user_id" else text_value
    for key, user_id, is_active in rows(sql, parameters):
        if is_active or once_active:
            yield read(key), uuid_value(user_id)


def find_account(*, login: str) -> User | None:
    """Return whoever signs in by this username or e-mail address, active or not."""
    if not is_storable(login):
        return None
    column, key = _named(login)
    return next(iter(instances(User, USER_SQL.format(column), [key], by_key=True)), None)


def find_user(*, user_id: UUID) -> User | None:
    """Return the user of a session, active or not."""
    return next(iter(instances(User, USER_SQL.format("user_id"), [user_id], by_key=True)), None)


def addressed(name: str) -> tuple[str, object]:
    """Return the column that a recipient is looked up in, and what to look for."""
    user_id = ids.parse(name)
    return _named(name) if user_id is None else ("user_id", user_id)


def _named(name: str) -> tuple[str, object]:
    """Return the same for a login; usernames have no ``@``."""
    return ("email_key" if "@" in name else "username_key"), name_key(name)


def signed_in(*, sign_in_id: UUID, user_id: UUID) -> LiveSignIn | None:
    """Return a sign-in by JWT, with its user, while both are live."""
    for user in instances(User, SIGN_IN_SQL, [sign_in_id, user_id], by_key=True):
        return LiveSignIn(user, sign_in_id, vars(user)["refresh_jti"])
    return None


def live_tokens(at: datetime) -> QuerySet[OpaqueToken]:
    """Tokens that are neither expired nor made under an older password."""
    unexpired = Q(expiry__isnull=True) | Q(expiry__gt=at)
    found: QuerySet[OpaqueToken] = OpaqueToken.objects.filter(unexpired)
    return found.filter(security_stamp=F("user__security_stamp"))


def token_owner(*, digest: str, at: datetime) -> LiveToken | None:
    """Return the user of an opaque token, by the hash of it, while both are live."""
    for user in instances(User, OPAQUE_SQL, [digest, at], by_key=True):
        token_id, used = (vars(user)[name] for name in ("token_id", "last_used_at"))
        return LiveToken(user, uuid_value(token_id), digest, used and instant_value(used))
    return None


def list_tokens(
    *, viewer: User, at: datetime, position: Position | None, size: int
) -> Page[OpaqueToken]:
    """Return one page of the viewer's live tokens, the newest first."""
    found = live_tokens(at).filter(user=viewer).order_by("-token_id")
    if position is not None:
        edge = UUID(str(position.key[0]))
        past = Q(token_id__gt=edge) if position.backward else Q(token_id__lt=edge)
        found = found.filter(past).order_by("token_id" if position.backward else "-token_id")
    return Page.cut(
        list(found[: size + 1]),
        size=size,
        position=position,
        key=lambda token: (str(token.token_id),),
    )


# --- the operator's walk over everyone; nobody is shown it


def count_everyone() -> int:
    """Return how many users there are, deactivated ones too."""
    return User.objects.count()


def list_everyone(*, after: UUID | None, size: int) -> list[UUID]:
    """Return the ids of the next users in their order, which to a moment is that of creation."""
    found = User.objects.order_by("user_id").values_list("user_id", flat=True)
    if after is not None:
        found = found.filter(user_id__gt=after)
    return list(found[:size])


def still_valid(*, credentials: Collection[Credential], at: datetime) -> set[Credential]:
    """Return those of the sign-ins and tokens that still prove an active user, in two queries."""
    keys: dict[Proof, list[str]] = {proof: [] for proof in Proof}
    for credential in credentials:
        keys[credential.proof].append(credential.key)
    sign_ins = SignIn.objects.filter(
        sign_in_id__in=keys[Proof.SIGN_IN],
        expires_at__gt=at,
        security_stamp=F("user__security_stamp"),
        user__is_active=True,
    )
    tokens = live_tokens(at).filter(token_id__in=keys[Proof.TOKEN], user__is_active=True)
    live = {Credential(Proof.SIGN_IN, str(key)) for key in sign_ins.values_list("pk", flat=True)}
    found = tokens.values_list("token_id", flat=True)
    return live | {Credential(Proof.TOKEN, str(key)) for key in found}
