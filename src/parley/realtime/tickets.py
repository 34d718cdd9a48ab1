"""Who opens a live connection by a ticket, and whose credentials still hold."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.exceptions import NotAuthenticated, Throttled

from parley.accounts import operations, queries
from parley.accounts.credentials import Credential, Proof
from parley.http.authentication import Proved, TokenNotValid
from parley.http.handshakes import live_session

CROWDED = Throttled(detail="You have too many live connections.")


class NotSignedIn(NotAuthenticated):
    """Nothing was given that proves who it is."""


def redeem(ticket: str) -> Proved:
    """Return whose ticket it is; it is used up.

    :raises TokenNotValid: it is unknown, used or expired, or what it was made from has ended.
    """
    found = operations.redeem_ticket(text=ticket, at=timezone.now())
    if found is None or not still_valid({found[1]}):
        raise TokenNotValid
    return found


def still_valid(credentials: set[Credential]) -> set[Credential]:
    """Return those that still prove an active user."""
    live = queries.still_valid(credentials=credentials, at=timezone.now())
    sessions = {each for each in credentials if each.proof is Proof.SESSION}
    return live | {session for session in sessions if live_session(session.key)}
