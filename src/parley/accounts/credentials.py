"""What a request proves itself by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Proof(StrEnum):
    SIGN_IN = "sign_in"
    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Credential:
    """One sign-in, opaque token or session: what someone is known by, and what can be ended.

    ``key`` is the sign-in's or the token's id, or the session's key.
    """

    proof: Proof
    key: str
