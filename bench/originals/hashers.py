"""Passwords as ``token_mail`` kept them; nowhere else is a password looked at in what is timed."""

import hashlib

from django.contrib.auth.hashers import BasePasswordHasher


class TwiceSHA256(BasePasswordHasher):
    algorithm = "sha256"

    def salt(self):
        return ""

    def encode(self, password, salt):
        once = hashlib.sha256(password.encode()).hexdigest()
        return f"sha256${hashlib.sha256(once.encode()).hexdigest()}"

    def verify(self, password, encoded):
        return encoded == self.encode(password, "")
