"""Taking passwords: how every door checks one, with the limits on wrong ones, and the log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from parley.accounts import passwords, queries
from parley.accounts.models import User
from parley.accounts.operations import WrongPassword
from parley.http.addresses import rated_address
from parley.http.security_log import note
from parley.http.throttling import Failures, TooManyFailures
from parley.kernel.text import is_storable, name_key


def check_credentials(
    request: HttpRequest | None, *, login: str, password: str, door: str
) -> User | None:
    """Return the active user with this username or e-mail address and password, or nobody.

    ``door`` says in the log what was being signed in to.

    :raises TooManyFailures: for this account, or from this address, there were too many wrong ones.
    """
    user = queries.find_account(login=login)
    account = str(user.user_id) if user else _fingerprint(login)
    try:
        with taking_password(request, account=account, user=user, door=door):
            if not passwords.is_right(user, password) or not (user and user.is_active):
                raise WrongPassword
    except WrongPassword:
        return None
    note(request, "sign_in", user_id=user.user_id, door=door)
    return user


@contextmanager
def taking_password(
    request: HttpRequest | None, *, account: str, user: User | None, door: str
) -> Iterator[None]:
    """Within, a password is checked: a :class:`WrongPassword` that leaves it is counted and logged.

    :raises TooManyFailures: for this account, or from this address, there were too many wrong ones.
    """
    known = user.user_id if user else None
    failures = Failures(account=account, address=rated_address(request) if request else "unknown")
    try:
        with (
            passwords.hashing()
        ):  # few at a time, so that a burst gets hardly further than the rate
            failures.check()
            try:
                yield
            except WrongPassword:
                failures.add()
                raise
    except TooManyFailures:
        note(request, "sign_in_throttled", user_id=known, door=door)
        raise
    except WrongPassword:
        note(request, "sign_in_failed", user_id=known, door=door)
        raise


def _fingerprint(login: str) -> str:
    """Return what an unknown name is counted by; it may be a password in the wrong field."""
    name = name_key(login) if is_storable(login) else repr(login)
    return hashlib.sha256(name.encode()).hexdigest()


class PasswordBackend(ModelBackend):
    """How Django's own forms sign people in: the admin's, and the browsable API's; and whose a
    session is.
    """

    def get_user(self, user_id: UUID) -> User | None:
        user = queries.find_user(user_id=user_id)
        return user if user is not None and user.is_active else None

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        login = username or kwargs.get("email")
        if not login or password is None:
            return None
        return check_credentials(request, login=login, password=password, door="form")
