"""Bringing people over from another system, with the passwords and tokens they have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.hashers import identify_hasher, make_password
from knox.crypto import hash_token
from knox.settings import CONSTANTS

from parley.accounts import names
from parley.accounts.hashers import ImportedSHA256, old_digest
from parley.accounts.models import OpaqueToken, User
from parley.kernel.database import in_transaction
from parley.kernel.errors import Invalid
from parley.kernel.ids import new_id
from parley.kernel.text import is_storable, name_key

STAND_IN = "-"  # for a character that no username may have


@dataclass(frozen=True, slots=True)
class OldPerson:
    """A user as another system kept them; ``password`` is as :func:`stored_password` made it.

    ``user_id`` is an id to keep, if it is free.
    """

    username: str
    email: str
    password: str
    first_name: str
    last_name: str
    phone_number: str | None
    role: str
    is_active: bool
    created_at: datetime
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Who became of an old person, and the address that could not be kept."""

    user: User
    lost_email: str | None


@dataclass(frozen=True, slots=True)
class OldToken:
    user_id: UUID
    text: str
    name: str


@in_transaction
def import_people(old: Sequence[OldPerson]) -> list[NewPerson]:
    """Create users, each with the nearest legal and free username; no address is used twice.

    Ids, passwords and times are kept where they can be. Nobody's names are judged by their looks.

    :raises IntegrityError: someone took one of the names meanwhile; the same again goes well.
    """
    taken_ids = set(
        User.objects.filter(user_id__in=[p.user_id for p in old]).values_list("user_id", flat=True)
    )
    usernames = _free_usernames([person.username for person in old])
    emails = _free_emails([person.email for person in old])
    found = [
        NewPerson(
            _user(person, username, email, keep_id=person.user_id not in taken_ids),
            lost_email=person.email if person.email and not email else None,
        )
        for person, username, email in zip(old, usernames, emails, strict=True)
    ]
    User.objects.bulk_create([new.user for new in found])
    return found


def _user(person: OldPerson, username: str, email: str | None, *, keep_id: bool) -> User:
    user = User(
        user_id=person.user_id if person.user_id and keep_id else new_id(),
        username=username,
        email=email,
        password=person.password,
        first_name=_text(person.first_name, names.LONGEST_NAME),
        last_name=_text(person.last_name, names.LONGEST_NAME),
        phone_number=_text(person.phone_number or "", names.LONGEST_PHONE_NUMBER) or None,
        role=person.role,
        is_active=person.is_active,
        created_at=person.created_at,
    )
    user.follow()
    return user


def _text(value: str, longest: int) -> str:
    return value[:longest] if is_storable(value) else ""


# --- passwords ------------------------------------------------------------------------------------


def stored_password(encoded: str) -> str:
    """Return the hash to store: as it is, within a better one, or one that fits nothing.

    It may take as long as hashing a password does, so it is not for transactions.
    """
    digest = old_digest(encoded)
    if digest is not None:
        hasher = ImportedSHA256()
        return hasher.wrap(digest, hasher.salt())
    return encoded if is_usable(encoded) else make_password(None)


def is_usable(encoded: str) -> bool:
    """Whether someone can sign in with a hash of this kind."""
    if old_digest(encoded) is not None:
        return True
    longest = User._meta.get_field("password").max_length or 0  # noqa: SLF001 - documented
    if not encoded or encoded.startswith("!") or len(encoded) > longest:
        return False
    try:
        identify_hasher(encoded)
    except ValueError:
        return False
    return True


# --- names ----------------------------------------------------------------------------------------


def _free_usernames(wanted: Sequence[str]) -> list[str]:
    """Return a legal username for each, none of them anybody's, in order of asking."""
    legal = [legal_username(name) for name in wanted]
    taken = _taken_usernames(legal)
    found = []
    for name in legal:
        free = _suffixed(name, taken)
        taken.add(name_key(free))
        found.append(free)
    return found


def _taken_usernames(legal: Collection[str]) -> set[str]:
    keys = {name_key(name) for name in legal}
    return set(User.objects.filter(username_key__in=keys).values_list("username_key", flat=True))


def _suffixed(name: str, taken: set[str]) -> str:
    """Return the name, or the first of name-2, name-3 … that is free."""
    number, candidate = 1, name
    while name_key(candidate) in taken or (number > 1 and _taken_usernames([candidate])):
        number += 1
        suffix = f"-{number}"
        candidate = name[: names.LONGEST_USERNAME - len(suffix)] + suffix
    return candidate


def legal_username(name: str) -> str:
    """Return the name as it may stand here: other characters become dashes.

    What is not legal even so gets a word in its place.
    """
    replaced = "".join(c if names.USERNAME.fullmatch(c) else STAND_IN for c in name)
    for candidate in (
        name,
        replaced[: names.LONGEST_USERNAME],
        f"{replaced[:140]}-user".lstrip("-"),
        "user",
    ):
        try:
            return names.check_username(candidate)
        except Invalid:
            continue
    raise AssertionError("unreachable")


def _free_emails(wanted: Sequence[str]) -> list[str | None]:
    """Return each address that is one and nobody's yet; the first of two owners keeps it."""
    legal = [_legal_email(address) for address in wanted]
    keys = {name_key(address) for address in legal if address}
    taken = set(User.objects.filter(email_key__in=keys).values_list("email_key", flat=True))
    found: list[str | None] = []
    for address in legal:
        key = name_key(address) if address else None
        found.append(None if key in taken else address)
        taken.add(key)
    return found


def _legal_email(address: str) -> str | None:
    try:
        return names.check_email(address)
    except Invalid:
        return None


# --- tokens ---------------------------------------------------------------------------------------


@in_transaction
def import_tokens(old: Iterable[OldToken]) -> int:
    """Let old keys go on working as opaque tokens that never expire; return how many are new."""
    by_digest = {hash_token(token.text): token for token in old}
    known = OpaqueToken.objects.filter(digest__in=by_digest).values_list("digest", flat=True)
    for digest in known:
        del by_digest[digest]
    stamps = dict(
        User.objects.filter(user_id__in={t.user_id for t in by_digest.values()}).values_list(
            "user_id", "security_stamp"
        )
    )
    tokens = [
        OpaqueToken(
            digest=digest,
            token_key=token.text[: CONSTANTS.TOKEN_KEY_LENGTH],
            user_id=token.user_id,
            name=token.name,
            security_stamp=stamps[token.user_id],
        )
        for digest, token in by_digest.items()
    ]
    OpaqueToken.objects.bulk_create(tokens)
    return len(tokens)
