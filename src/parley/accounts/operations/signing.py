"""Proving who one is by a password, and changing it."""

from __future__ import annotations

from django.utils import timezone

from parley.accounts import passwords, queries
from parley.accounts.audit import record
from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import OpaqueToken, SignIn, User
from parley.kernel.database import in_transaction
from parley.kernel.errors import Conflict, Invalid


class WrongPassword(Invalid):
    code = "wrong_password"
    message = "The password is wrong."


class ChangedMeanwhile(Conflict):
    code = "changed_meanwhile"
    message = "The account was changed meanwhile; look at it and try again."


def check_credentials(*, login: str, password: str) -> User | None:
    """Return the active user with this username or e-mail address and password.

    Nobody by that name, a wrong password and a deactivated user take the same time.
    """
    user = queries.find_account(login=login)
    is_right = passwords.is_right(user, password)
    return user if user is not None and is_right and user.is_active else None


def change_password(
    *, user: User, current_password: str, new_password: str, keep: Credential | None
) -> None:
    """Give someone another password. Every credential of theirs ends, except the one to keep.

    A session to keep is the caller's to renew: it lives on with the stamp that ``user`` has
    afterwards.

    :raises WrongPassword: the current password is another.
    :raises WeakPassword: the new one is not allowed.
    :raises ChangedMeanwhile: the password or the account was changed at the same time.
    """
    if not passwords.is_right(user, current_password):
        raise WrongPassword(attr="current_password")
    passwords.check_strength(new_password, user=user, attr="new_password")
    stamp = user.security_stamp
    passwords.set_hashed(user, new_password)
    _replace(user=user, stamp=stamp, keep=keep)


@in_transaction
def _replace(*, user: User, stamp: str, keep: Credential | None) -> None:
    """Store the new hash and stamp, if the stamp is still what it was; the credential to keep
    takes the new one.
    """
    unchanged = User.objects.filter(user_id=user.user_id, security_stamp=stamp, is_active=True)
    if not unchanged.update(password=user.password, security_stamp=user.security_stamp):
        raise ChangedMeanwhile
    _end_all(user=user, keep=keep)


def _end_all(*, user: User, keep: Credential | None) -> None:
    """Delete what has another stamp than the user; it is dead already, and need not be kept."""
    sign_ins = SignIn.objects.filter(user=user)
    tokens = OpaqueToken.objects.filter(user=user)
    if keep and keep.proof == Proof.SIGN_IN:
        sign_ins.filter(sign_in_id=keep.key).update(security_stamp=user.security_stamp)
    if keep and keep.proof == Proof.TOKEN:
        tokens.filter(token_id=keep.key).update(security_stamp=user.security_stamp)
    for dead in (sign_ins, tokens):
        dead.exclude(security_stamp=user.security_stamp).delete()


def reset_password(*, actor: User, user: User, new_password: str) -> None:
    """Give someone another password as an admin; everything that was opened with the old one ends.
    Audited.

    :raises WeakPassword: it is not allowed.
    :raises ChangedMeanwhile: the account was changed at the same time, or is deactivated.
    """
    passwords.check_strength(new_password, user=user, attr="new_password")
    stamp = user.security_stamp
    passwords.set_hashed(user, new_password)
    _reset(actor=actor, user=user, stamp=stamp)


@in_transaction
def _reset(*, actor: User, user: User, stamp: str) -> None:
    _replace(user=user, stamp=stamp, keep=None)
    record(
        actor=actor,
        action="user.reset_password",
        target_kind="user",
        target_id=user.user_id,
        at=timezone.now(),
    )
