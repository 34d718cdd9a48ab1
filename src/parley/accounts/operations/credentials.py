"""Sign-ins by JWT, and opaque tokens: beginning, refreshing and ending them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import OpaqueToken, SignIn, Ticket, User
from parley.accounts.queries import LiveToken, live_tokens
from parley.kernel.database import in_transaction
from parley.kernel.errors import Conflict, NotAllowed, NotFound
from parley.kernel.text import check_text

LONGEST_TOKEN_NAME = 100
# An access token outlives its refresh token by no more than this; so long the row is kept.
GRACE = timedelta(hours=1)
# "Last used" is this coarse, so that a busy token is not a write a request.
COARSE = timedelta(minutes=10)
TICKET_LIFETIME = timedelta(seconds=30)


class DeadSignIn(NotAllowed):
    code = "token_not_valid"
    message = "Token is invalid or expired"


class TooManyTokens(Conflict):
    code = "too_many_tokens"
    message = "You have as many tokens as one may have; revoke one first."


class TokenNotFound(NotFound):
    message = "No such token."


def begin_sign_in(*, user: User, refresh_jti: str, expires_at: datetime, at: datetime) -> SignIn:
    """Begin a sign-in, under the stamp that the user was proved by. Their expired ones go."""
    SignIn.objects.filter(user=user, expires_at__lt=at - GRACE).delete()
    return SignIn.objects.create(
        user=user,
        security_stamp=user.security_stamp,
        refresh_jti=refresh_jti,
        created_at=at,
        expires_at=expires_at,
    )


def refresh_sign_in(
    *, sign_in_id: UUID, refresh_jti: str, new_jti: str, expires_at: datetime
) -> None:
    """Replace the one refresh token that is valid by another.

    A token that was replaced before is in two hands, so its sign-in ends. Of two requests at once
    with the same token, the second comes with one that was replaced.

    :raises DeadSignIn: the token is not the valid one; the sign-in has ended.
    """
    sign_in = SignIn.objects.filter(sign_in_id=sign_in_id)
    if not sign_in.filter(refresh_jti=refresh_jti).update(
        refresh_jti=new_jti, expires_at=expires_at
    ):
        sign_in.delete()
        raise DeadSignIn


def end_sign_in(*, sign_in_id: UUID) -> bool:
    """End a sign-in and every token made from it; say whether there was one."""
    return SignIn.objects.filter(sign_in_id=sign_in_id).delete()[0] > 0


@in_transaction
def create_token(
    *, user: User, name: str = "", lifetime: timedelta | None, most: int, at: datetime
) -> tuple[OpaqueToken, str]:
    """Make an opaque token and return it with its text, which is told this once; without a
    lifetime it never expires.

    :raises TooManyTokens: the user has ``most`` live ones.
    :raises Invalid: the name is too long, or cannot be stored.
    """
    check_text(name, attr="name", longest=LONGEST_TOKEN_NAME, may_be_blank=True)
    # The user's row is the lock: two requests at once do not both take the last place.
    User.objects.select_for_update().get(user_id=user.user_id)
    live = live_tokens(at).filter(user=user).values("digest")
    if live.count() >= most:
        raise TooManyTokens
    OpaqueToken.objects.filter(user=user, expiry__lte=at).delete()
    token, text = OpaqueToken.objects.create(
        user=user, expiry=lifetime, name=name, security_stamp=user.security_stamp
    )
    return token, text


def revoke_token(*, viewer: User, token_id: UUID) -> None:
    """End one of the viewer's tokens.

    :raises TokenNotFound: it is not theirs, or there is none.
    """
    if not OpaqueToken.objects.filter(user=viewer, token_id=token_id).delete()[0]:
        raise TokenNotFound


def note_token_use(*, token: LiveToken, at: datetime) -> None:
    """Remember about when a token was last used."""
    if token.last_used_at is None or token.last_used_at <= at - COARSE:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lte=at - COARSE)
        OpaqueToken.objects.filter(stale, digest=token.digest).update(last_used_at=at)


def issue_ticket(*, user: User, credential: Credential, at: datetime) -> tuple[str, datetime]:
    """Return a ticket and when it expires; expired ones of everybody go."""
    Ticket.objects.filter(expires_at__lt=at).delete()
    text = secrets.token_urlsafe(32)
    Ticket.objects.create(
        digest=_digest(text),
        user=user,
        proof=credential.proof.value,
        key=credential.key,
        expires_at=at + TICKET_LIFETIME,
    )
    return text, at + TICKET_LIFETIME


def redeem_ticket(*, text: str, at: datetime) -> tuple[User, Credential] | None:
    """Return whose ticket it was, and what it was made from; it is used up. None: it was none."""
    found = Ticket.objects.filter(digest=_digest(text), expires_at__gt=at)
    ticket = found.select_related("user").first()
    if ticket is None or not found.delete()[0]:  # of two who come at once, one deletes it
        return None
    return ticket.user, Credential(Proof(ticket.proof), ticket.key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
