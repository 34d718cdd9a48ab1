"""Signing up."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import Q

from parley.accounts import names, passwords
from parley.accounts.models import User
from parley.accounts.names import EmailTaken, Lookalike, UsernameTaken
from parley.kernel.database import in_transaction
from parley.kernel.hooks import Hook

# Called with the new user, in the transaction that creates them.
user_signed_up: Hook[User] = Hook()


def sign_up(
    *,
    username: str,
    password: str,
    email: str | None = None,
    first_name: str = "",
    last_name: str = "",
    phone_number: str | None = None,
) -> User:
    """Create a user, a guest, and return them.

    :raises Invalid: a field, which ``attr`` names, is not allowed, or is taken.
    """
    user = User(
        username=names.check_username(username),
        email=names.check_email(email),
        first_name=names.check_name(first_name, attr="first_name"),
        last_name=names.check_name(last_name, attr="last_name"),
        phone_number=names.check_phone_number(phone_number),
    )
    user.follow()
    passwords.check_strength(password, user=user, attr="password")
    refuse_taken(user)
    passwords.set_hashed(user, password)
    try:
        _create(user)
    except IntegrityError:
        refuse_taken(user)  # someone was faster
        raise
    return user


@in_transaction
def _create(user: User) -> None:
    with transaction.atomic():  # so that a caller's transaction survives a name that is taken
        user.save(force_insert=True)
    user_signed_up(user)


def refuse_taken(user: User) -> None:
    """Refuse a username or an address that is another's, or that can be mistaken for another's.

    :raises UsernameTaken: the username.
    :raises EmailTaken: the address.
    """
    lookalikes = names.lookalike_keys(user.username)
    claimed = Q(username_key__in=[user.username_key, *lookalikes])
    if user.email_key is not None:
        claimed |= Q(email_key=user.email_key)
    others = User.objects.filter(claimed).exclude(user_id=user.user_id)
    for username_key, email_key in others.values_list("username_key", "email_key"):
        if username_key == user.username_key:
            raise UsernameTaken(attr="username")
        if username_key in lookalikes:
            raise Lookalike(attr="username")
        if email_key is not None and email_key == user.email_key:
            raise EmailTaken(attr="email")
