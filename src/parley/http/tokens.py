"""JSON Web Tokens: a short-lived access token, and the refresh token that it was made from.

Claims: ``user_id``, ``sid`` (the sign-in) and ``role``, beside SimpleJWT's own. What a token says
of the role is for clients; what someone may do is read from the database, each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token
from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

from parley.accounts import operations, queries
from parley.accounts.models import User
from parley.accounts.queries import LiveSignIn
from parley.kernel import ids

USER = "user_id"
SIGN_IN = "sid"
ROLE = "role"
JTI = "jti"
MOST_KNOWN = 4_096  # tokens, of some hundred bytes


class BadToken(Exception):
    """It was not made here, has expired, is of the wrong kind, or its sign-in has ended."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a sign-in or a refresh answers; without rotation a refresh answers no refresh token."""

    refresh: str | None
    access: str


@dataclass(frozen=True, slots=True)
class Read:
    """A valid token of a live sign-in."""

    sign_in: LiveSignIn
    claims: Token

    @property
    def user(self) -> User:
        return self.sign_in.user


def sign_in(user: User) -> Pair:
    """Begin a sign-in and return its tokens."""
    refresh: Any = RefreshToken()
    began = operations.begin_sign_in(
        user=user,
        refresh_jti=refresh[JTI],
        expires_at=datetime_from_epoch(refresh["exp"]),
        at=timezone.now(),
    )
    refresh[USER], refresh[SIGN_IN] = str(user.user_id), str(began.sign_in_id)
    refresh[ROLE] = user.role
    return Pair(str(refresh), str(refresh.access_token))


def read_access(text: str | bytes) -> Read:
    """Return whose access token this is.

    :raises BadToken: it proves nothing, or not any more.
    """
    return _read(AccessToken, text)


def read_any(text: str) -> Read:
    """Return whose token this is, access or refresh.

    :raises BadToken: it proves nothing, or not any more; a refresh token may have been replaced.
    """
    try:
        return _read(AccessToken, text)
    except BadToken:
        read = _read(RefreshToken, text)
    if read.claims[JTI] != read.sign_in.refresh_jti:
        raise BadToken
    return read


def refresh(text: str) -> Pair:
    """Return a fresh access token; with ``PARLEY_REFRESH_ROTATION`` also a refresh token in its
    place.

    A refresh token that was replaced before ends its sign-in.

    :raises BadToken: it proves nothing, or not any more.
    """
    read = _read(RefreshToken, text)
    token: Any = read.claims
    token[ROLE] = read.user.role
    was = token[JTI]
    if settings.PARLEY.refresh_rotation:
        token.set_jti()
        token.set_exp()
        token.set_iat()
    try:
        operations.refresh_sign_in(
            sign_in_id=read.sign_in.sign_in_id,
            refresh_jti=was,
            new_jti=token[JTI],
            expires_at=datetime_from_epoch(token["exp"]),
        )
    except operations.DeadSignIn as dead:
        raise BadToken from dead
    return Pair(str(token) if was != token[JTI] else None, str(token.access_token))


def end(text: str) -> User:
    """End the sign-in of a refresh token, and return who it was.

    :raises BadToken: it proves nothing, or not any more.
    """
    read = _read(RefreshToken, text)
    operations.end_sign_in(sign_in_id=read.sign_in.sign_in_id)
    return read.user


@lru_cache(MOST_KNOWN)
def _verified(text: str | bytes) -> Token:
    """Return an access token that was signed here: it comes with each request of a quarter of an
    hour. Whether it has expired, and whether its sign-in is live, is for the caller to ask.
    """
    return AccessToken(cast(Any, text))


def _read(kind: type[Token], text: str | bytes) -> Read:
    try:
        token = _verified(text) if kind is AccessToken else kind(cast(Any, text))
        token.check_exp(current_time=aware_utcnow())
    except (TokenError, TypeError, ValueError, RecursionError) as bad:
        # The header is read before the signature is checked, so its JSON may be anything.
        raise BadToken from bad
    user_id, sign_in_id = (ids.parse(str(token.get(claim))) for claim in (USER, SIGN_IN))
    if user_id is None or sign_in_id is None:
        raise BadToken
    found = queries.signed_in(sign_in_id=sign_in_id, user_id=user_id)
    if found is None:
        raise BadToken
    return Read(found, token)
