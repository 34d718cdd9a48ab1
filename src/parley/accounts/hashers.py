"""Password hashes from elsewhere; each is replaced at its owner's next sign-in."""

from __future__ import annotations

import hashlib
import re

from django.contrib.auth.hashers import Argon2PasswordHasher

ENCODED = re.compile(r"(?:sha256\$)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)


class ImportedSHA256(Argon2PasswordHasher):
    """An unsalted SHA-256 hash, stored only within an Argon2 hash of it.

    The system it comes from hashed a new password twice, the second time over ``sha256$`` and the
    hex digits of the first; what its administrators set by hand, it hashed once.
    """

    algorithm = "argon2_sha256"

    def encode(self, password: str, salt: str) -> str:
        return self.wrap(_twice(password), salt)

    def wrap(self, digest: str, salt: str) -> str:
        """Return what is stored for somebody of whose password only the old digest is known."""
        return super().encode(digest, salt)

    def verify(self, password: str, encoded: str) -> bool:
        # Each is tried, also after one that fits: how long it takes says nothing.
        candidates = (_twice(password), _once(_once(password)), _once(password))
        fits = [super(ImportedSHA256, self).verify(each, encoded) for each in candidates]
        return any(fits)


def _once(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _twice(password: str) -> str:
    return _once(f"sha256${_once(password)}")


def old_digest(encoded: str) -> str | None:
    """Return the digits of an unsalted SHA-256 hash; nothing if the text is none."""
    found = ENCODED.fullmatch(encoded)
    return found[1].lower() if found else None
