"""Setting and checking passwords: slow on purpose, so a few at a time, in no transaction."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from parley.accounts.models import User
from parley.kernel.errors import Invalid, Unavailable
from parley.kernel.text import is_storable

LONGEST_PASSWORD = 1024
LONGEST_WAIT = 10.0

# One hash takes 100 MiB and a core: a flood of sign-ins must not take all of them.
_places = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
_mine = threading.local()


class WeakPassword(Invalid):
    code = "weak_password"
    message = "This password is not allowed."


@contextmanager
def hashing() -> Iterator[None]:
    """Hold one of the few places for work on passwords. Within, the place is one's own already.

    :raises Unavailable: no place came free in time.
    """
    if getattr(_mine, "placed", False):
        yield
        return
    if not _places.acquire(timeout=LONGEST_WAIT):
        raise Unavailable
    _mine.placed = True
    try:
        yield
    finally:
        _mine.placed = False
        _places.release()


def check_strength(password: str, *, user: User, attr: str) -> None:
    """Refuse a password that is short, common, numeric or too much like its owner's names.

    :raises WeakPassword: it is, or it cannot be written in UTF-8, or has more than 1,024
        characters.
    """
    if not is_storable(password) or len(password) > LONGEST_PASSWORD:
        raise WeakPassword(attr=attr)
    try:
        password_validation.validate_password(password, user)
    except ValidationError as weak:
        raise WeakPassword(" ".join(weak.messages), attr=attr) from None


def is_right(user: User | None, password: str) -> bool:
    """Whether this is the user's password. For nobody it takes as long as for somebody."""
    if not is_storable(password) or len(password) > LONGEST_PASSWORD:
        return False
    with hashing():
        if user is None:
            make_password(password)
            return False
        return user.check_password(password)


def set_hashed(user: User, password: str) -> None:
    """Give the user a password, without saving."""
    with hashing():
        user.set_password(password)
