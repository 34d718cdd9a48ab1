"""Signing in by cookie and out again, as the dialects for pages have it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import login, logout
from rest_framework.request import Request

from parley.accounts import operations
from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import User
from parley.http.requests import plain
from parley.http.security_log import note
from parley.http.signing_in import check_credentials


def sign_in(request: Request, *, username: str, password: str) -> User | None:
    """Begin a session for whoever has this name and password, or for nobody; the CSRF token
    changes.

    :raises TooManyFailures: there were too many wrong ones.
    """
    asked = plain(request)
    user = check_credentials(asked, login=username, password=password, door=request.path)
    if user is not None:
        login(asked, user)
    return user


def sign_out(request: Request, user: User) -> None:
    """End what the request was proved by: the session, or the sign-in or token that came."""
    proved: Any = request.auth
    assert isinstance(proved, Credential)  # noqa: S101 - the permission has seen to it
    note(plain(request), "sign_out", user_id=user.user_id, door=request.path)
    if proved.proof == Proof.SIGN_IN:
        operations.end_sign_in(sign_in_id=UUID(proved.key))
    elif proved.proof == Proof.TOKEN:
        operations.revoke_token(viewer=user, token_id=UUID(proved.key))
    else:
        logout(plain(request))
