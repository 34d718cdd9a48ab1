"""Changing people: their profile by themselves, their role and activity by admins."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from parley.accounts import names, passwords
from parley.accounts.audit import record
from parley.accounts.models import OpaqueToken, Role, SignIn, User, new_stamp
from parley.accounts.operations.signing import WrongPassword
from parley.accounts.operations.signup import refuse_taken
from parley.accounts.queries import NotAnAdmin, UserNotFound
from parley.kernel.database import in_transaction
from parley.kernel.errors import Conflict, Invalid


class PasswordNeeded(Invalid):
    code = "required"
    message = "Another e-mail address needs your current password."


class LastAdmin(Conflict):
    code = "last_admin"
    message = "There would be no active admin left; make someone else one first."


def update_profile(
    *, user: User, current_password: str | None = None, **changes: str | None
) -> None:
    """Change some of first_name, last_name, phone_number and email. Only these columns are written.

    :raises PasswordNeeded: the e-mail address changes, and no current password is given.
    :raises WrongPassword: the current password is another.
    :raises Invalid: a value is not allowed, or the address is taken; ``attr`` says which.
    """
    checked = {attr: _checked(attr, value) for attr, value in changes.items()}
    if checked.get("email", user.email) != user.email:
        if current_password is None:
            raise PasswordNeeded(attr="current_password")
        if not passwords.is_right(user, current_password):
            raise WrongPassword(attr="current_password")
        refuse_taken(_with(copy(user), checked))
    try:
        _write(user=user, changes=checked)
    except IntegrityError:
        refuse_taken(_with(copy(user), checked))  # someone was faster
        raise
    _with(user, checked)


@in_transaction
def _write(*, user: User, changes: dict[str, str | None]) -> None:
    # Locked, since the keys follow from several columns and must follow from them all.
    found = User.objects.select_for_update().get(user_id=user.user_id)
    with transaction.atomic():
        _with(found, changes).save(update_fields=[*changes])


def _with(user: User, changes: dict[str, str | None]) -> User:
    for attr, value in changes.items():
        setattr(user, attr, value)
    user.follow()
    return user


def _checked(attr: str, value: str | None) -> str | None:
    if attr == "email":
        return names.check_email(value)
    if attr == "phone_number":
        return names.check_phone_number(value)
    return names.check_name(value or "", attr=attr)


@in_transaction
def change_person(
    *, actor: User, user: User, role: str | None = None, is_active: bool | None = None
) -> None:
    """Change someone's role, or whether they may sign in; None leaves it as it is. Audited.

    :raises NotAnAdmin: the actor is none.
    :raises LastAdmin: nobody would be left who is.
    """
    if role is not None:
        set_role(actor=actor, user=user, role=role)
    if is_active is not None:
        set_active(actor=actor, user=user, is_active=is_active)


@in_transaction
def set_role(*, actor: User, user: User, role: str) -> None:
    """Give someone another role. Audited, if it was another.

    :raises NotAnAdmin: the actor is none.
    :raises LastAdmin: nobody would be left who is.
    """
    found = _locked(actor=actor, user=user)
    if found.role == role:
        return
    if role != Role.ADMIN:
        _refuse_last_admin(found)
    was, found.role = found.role, role
    found.save(update_fields=["role"])
    _note(actor, found, "user.change_role", was=was, now=role)
    user.role, user.is_staff, user.is_superuser = role, found.is_staff, found.is_superuser


@in_transaction
def set_active(*, actor: User, user: User, is_active: bool) -> None:
    """Deactivate someone, or let them sign in again. Audited, if it was otherwise.

    Deactivation ends all their credentials; being let in again brings none of them back.

    :raises NotAnAdmin: the actor is none.
    :raises LastAdmin: nobody would be left who is.
    """
    found = _locked(actor=actor, user=user)
    if found.is_active == is_active:
        return
    if not is_active:
        _refuse_last_admin(found)
        SignIn.objects.filter(user=found).delete()
        OpaqueToken.objects.filter(user=found).delete()
    found.is_active, found.security_stamp = is_active, new_stamp()
    found.save(update_fields=["is_active", "security_stamp"])
    _note(actor, found, "user.reactivate" if is_active else "user.deactivate")
    user.is_active, user.security_stamp = is_active, found.security_stamp


def _locked(*, actor: User, user: User) -> User:
    """Return the user as they are now, locked, with all admins: two of them may not demote each
    other.

    :raises NotAnAdmin: the actor is none, or not any more.
    """
    admins = User.objects.filter(role=Role.ADMIN, is_active=True)
    rows = (admins | User.objects.filter(user_id=user.user_id)).order_by("user_id")
    found = {row.user_id: row for row in rows.select_for_update()}
    now = found.get(actor.user_id)
    if now is None or now.role != Role.ADMIN or not now.is_active:
        raise NotAnAdmin
    if user.user_id not in found:
        raise UserNotFound
    return found[user.user_id]


def _refuse_last_admin(user: User) -> None:
    others = User.objects.filter(role=Role.ADMIN, is_active=True).exclude(user_id=user.user_id)
    if user.role == Role.ADMIN and user.is_active and not others.exists():
        raise LastAdmin


def _note(actor: User, user: User, action: str, **details: Any) -> None:
    record(
        actor=actor,
        action=action,
        target_kind="user",
        target_id=user.user_id,
        at=timezone.now(),
        **details,
    )
