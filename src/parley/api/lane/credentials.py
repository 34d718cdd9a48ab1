"""Who asks, by the three proofs of identity; what was proved is remembered for a few seconds.

An entry lives four seconds since its last check, so that what is revoked ends within five; and when
this process itself lets something change an account, all of them end at once.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from parley.accounts import express
from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import User
from parley.accounts.people import Person, as_user
from parley.api.lane.requests import Arrived, NotMine
from parley.http import wire
from parley.http.authentication import INNER
from parley.http.csrf import why_forged
from parley.http.tokens import SIGN_IN, USER
from parley.kernel import ids
from parley.messaging.listings import is_heavy

LIFE_S = 4.0
MOST = 20_000
SAFE = {"GET"}

Key = bytes | str | Credential  # a header, a session's key; of a live connection what it proved


@dataclass(frozen=True, slots=True)
class Proved:
    """Who asks, with how they are shown to themselves, and until when that holds.

    The lists of heavy readers are not read here; of one who is not known as such yet they may be.
    """

    viewer: User
    person: wire.Json
    until: float
    by: Credential
    is_heavy: bool = False


class Found(NamedTuple):
    """Whom a credential proves now, and for how many seconds at the most."""

    person: Person
    by: Credential
    left: float = LIFE_S


class Credentials:
    """What was proved lately."""

    def __init__(self) -> None:
        self._known: dict[Key, Proved] = {}

    def forget(self) -> None:
        self._known = {}

    async def prove(self, request: Arrived) -> Proved:
        """Return who asks.

        :raises NotMine: nobody, as far as can be seen here.
        """
        inner = request.scope.get(INNER)
        if inner is not None:
            return await self.of_connection(*inner)
        header = request.headers.get(b"authorization")
        if header is not None:
            return self._fresh(header) or await self.learn(by_header(header), header)
        asked = ASGIRequest(dict(request.scope), BytesIO())
        key = asked.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if not key:
            raise NotMine
        proved = self._fresh(key) or await self.learn(_by_session(key), key)
        if request.scope["method"] not in SAFE and why_forged(asked) is not None:
            raise NotMine
        return proved

    async def of_connection(self, viewer: User, by: Credential) -> Proved:
        """Return who asks by a live connection, which was opened by a credential.

        :raises NotMine: nobody, as far as can be seen here.
        """
        return self._fresh(by) or await self.learn(_by_connection(viewer, by))

    def _fresh(self, key: Key) -> Proved | None:
        found = self._known.get(key)
        return found if found is not None and time.monotonic() < found.until else None

    async def learn(self, asking: Awaitable[Found], key: Key | None = None) -> Proved:
        """Return whom something proves now, and remember them, by a key or by what they proved,
        unless all was forgotten meanwhile.

        :raises NotMine: nobody, as far as can be seen here.
        """
        known = self._known
        found = await asking
        until = time.monotonic() + min(LIFE_S, found.left)
        heavy = await is_heavy(viewer_id=found.person.user_id)
        proved = Proved(as_user(found.person), wire.person(found.person), until, found.by, heavy)
        if len(known) >= MOST:
            self.forget()
        known[key or found.by] = proved
        return proved


async def by_header(header: bytes) -> Found:
    """Return whom a header Authorization proves now.

    :raises NotMine: nobody, as far as can be seen here.
    """
    scheme, _, text = header.partition(b" ")
    if scheme == b"Bearer":
        return await _by_bearer(text)
    if scheme == b"Token" and text.isalnum():
        digest = hash_token(text.decode("latin-1"))
        found = await express.token_owner(digest=digest, at=timezone.now())
        if found is not None:
            person, token_id = found
            return Found(person, Credential(Proof.TOKEN, str(token_id)))
    raise NotMine


async def _by_bearer(text: bytes) -> Found:
    try:
        token = AccessToken(cast(Any, text))  # the stubs want what it returns
    except (TokenError, TypeError, ValueError, RecursionError):
        raise NotMine from None
    sign_in_id, user_id = (_id(token.get(claim)) for claim in (SIGN_IN, USER))
    left = float(token["exp"]) - time.time()
    found = await express.signed_in(sign_in_id=sign_in_id, user_id=user_id)
    if found is None:
        raise NotMine
    return Found(found, Credential(Proof.SIGN_IN, str(sign_in_id)), left)


def _id(claim: object) -> UUID:
    found = ids.parse(str(claim))
    if found is None:
        raise NotMine
    return found


async def _by_connection(viewer: User, by: Credential) -> Found:
    """Return whom a live connection is of: whether it may go on is looked after by the hub."""
    person = await express.find_person(user_id=viewer.user_id)
    if person is None:
        raise NotMine
    return Found(person, by)


async def _by_session(key: str) -> Found:
    person = await express.session_user(session_key=key, at=timezone.now())
    if person is None:
        raise NotMine
    return Found(person, Credential(Proof.SESSION, key))
