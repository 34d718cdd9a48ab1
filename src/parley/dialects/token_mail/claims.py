"""The second factor that this dialect's clients send with every request: username and password.

The token suffices (Q1). What is sent besides must be right; a password is looked at by the same
rules, and with the same limits on wrong ones, as anywhere else. One that was right is remembered
for a while, by a keyed digest in this process's memory alone, since looking at a password is made
to be slow and these clients send it every time.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict

from django.http import HttpRequest

from parley.accounts import passwords
from parley.accounts.models import User
from parley.accounts.operations import WrongPassword
from parley.http.signing_in import taking_password
from parley.kernel.text import is_storable, name_key

REMEMBERED_S = 600.0
MOST_REMEMBERED = 10_000

_key = secrets.token_bytes(32)
_right: OrderedDict[bytes, float] = OrderedDict()


def is_own_name(user: User, username: str) -> bool:
    """Whether this is how the user is called."""
    return is_storable(username) and name_key(username) == user.username_key


def is_own_password(request: HttpRequest, user: User, password: str) -> bool:
    """Whether this is the user's password.

    :raises TooManyFailures: there were too many wrong ones.
    """
    digest = _digest(user, password)
    if _right.get(digest, 0.0) > time.monotonic():
        return True
    try:
        with taking_password(request, account=str(user.user_id), user=user, door="token_mail"):
            if not passwords.is_right(user, password):
                raise WrongPassword
    except WrongPassword:
        return False
    _right[digest] = time.monotonic() + REMEMBERED_S
    while len(_right) > MOST_REMEMBERED:
        _right.popitem(last=False)
    return True


def _digest(user: User, password: str) -> bytes:
    """Return what a right password is remembered by; with the password the stamp changes."""
    said = f"{user.user_id} {user.security_stamp} {password}".encode(errors="surrogatepass")
    return hmac.digest(_key, said, "sha256")


def forget() -> None:
    """Forget every password that was right."""
    _right.clear()
