"""Sessions, as each request reads its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from parley.http.sessions import SessionStore

pytestmark = pytest.mark.databases


@pytest.fixture
def key(db) -> str:
    session = SessionStore()
    session["lamp"] = "in the corner"
    session.save()
    return str(session.session_key)


def test_hold_what_was_put_into_them(key):
    assert SessionStore(key)["lamp"] == "in the corner"


def test_that_are_over_hold_nothing_and_have_no_key(key):
    Session.objects.filter(pk=key).update(expire_date=timezone.now() - timedelta(seconds=1))

    over = SessionStore(key)

    assert (dict(over.items()), over.session_key) == ({}, None)


def test_that_there_are_not_hold_nothing_and_have_no_key(db):
    absent = SessionStore("a" * 32)

    assert (dict(absent.items()), absent.session_key) == ({}, None)
