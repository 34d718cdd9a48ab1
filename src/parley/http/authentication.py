"""The three proofs of identity: Bearer token, opaque token, session cookie with CSRF.

Whoever is proved is ``request.user``; by what is ``request.auth``, a :class:`Credential`. The first
class of the list gives an anonymous caller the challenge: 401 and ``WWW-Authenticate: Bearer``.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework import authentication
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from parley.accounts import operations, queries
from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import User
from parley.http import tokens
from parley.http.csrf import why_forged
from parley.http.problems import CsrfFailed
from parley.http.requests import plain

Proved = tuple[User, Credential]

CHALLENGE = 'Bearer realm="api"'
INNER = "parley.proved"


class TokenNotValid(AuthenticationFailed):
    """A credential was given, and it proves nothing."""

    default_code = "token_not_valid"
    default_detail = "Given token not valid for any token type"


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``.

    A live connection's own requests bear what proved it when it was opened. That lies in the ASGI
    scope, which no client can write to.
    """

    def authenticate(self, request: Request) -> Proved | None:
        scope: Any = getattr(plain(request), "scope", {})
        inner: Proved | None = scope.get(INNER)
        if inner is not None:
            return inner
        text = after_scheme(request, "Bearer")
        return None if text is None else bearer(text)

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Token <key>``, and as one client has it ``Token<key>``."""

    def authenticate(self, request: Request) -> Proved | None:
        text = after_scheme(request, "Token", spaced=False)
        return None if text is None else opaque(text)

    def authenticate_header(self, request: Request) -> str:
        return "Token"


class SessionAuthentication(authentication.SessionAuthentication):
    """The session cookie; what changes anything needs the CSRF token too."""

    def authenticate(self, request: Request) -> Proved | None:
        found = super().authenticate(request)
        return None if found is None else (found[0], session_credential(plain(request)))

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE

    def enforce_csrf(self, request: Request) -> None:
        """Refuse a request that another site may have made the browser send.

        :raises CsrfFailed: it may.
        """
        asked: Any = request  # the form in its body is read by the view's own parsers
        reason = why_forged(asked)
        if reason is not None:
            raise CsrfFailed(f"CSRF Failed: {reason}")


def after_scheme(request: Request, scheme: str, *, spaced: bool = True) -> bytes | None:
    """Return what the header Authorization has after this scheme; None for any other header.

    :raises TokenNotValid: there is nothing after it, or more than one word.
    """
    header = get_authorization_header(request).strip()
    head, rest = header[: len(scheme)], header[len(scheme) :]
    if head.lower() != scheme.lower().encode() or (spaced and rest[:1].strip()):
        return None
    words = rest.split()
    if len(words) != 1:
        raise TokenNotValid
    return words[0]


def bearer(text: bytes) -> Proved:
    """Return who an access token proves.

    :raises TokenNotValid: nobody, or not any more.
    """
    try:
        read = tokens.read_access(text)
    except tokens.BadToken:
        raise TokenNotValid from None
    return read.user, Credential(Proof.SIGN_IN, str(read.sign_in.sign_in_id))


def opaque(text: bytes) -> Proved:
    """Return who an opaque token proves.

    :raises TokenNotValid: nobody, or not any more.
    """
    at = timezone.now()
    found = queries.token_owner(digest=hash_token(text.decode("latin-1")), at=at)
    if found is None:
        raise TokenNotValid
    operations.note_token_use(token=found, at=at)
    return found.user, Credential(Proof.TOKEN, str(found.token_id))


def session_credential(request: HttpRequest) -> Credential:
    session: Any = request.session
    return Credential(Proof.SESSION, session.session_key or "")
