"""Hashes that came with people from elsewhere."""

from __future__ import annotations

import hashlib

import pytest
from django.contrib.auth.hashers import check_password, identify_hasher

from parley.accounts.operations.importing import is_usable, legal_username, stored_password
from tests.conftest import PASSWORD


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


OLD = {
    "twice, as new users were": sha256(f"sha256${sha256(PASSWORD)}"),
    "twice, the digits alone": sha256(sha256(PASSWORD)),
    "once, as set by hand": sha256(PASSWORD),
}


class TestImportedSHA256:
    @pytest.mark.parametrize("digest", OLD.values(), ids=OLD)
    @pytest.mark.parametrize("prefix", ["sha256$", ""])
    def test_knows_a_password_that_was_hashed(self, digest, prefix):
        stored = stored_password(prefix + digest)

        assert identify_hasher(stored).algorithm == "argon2_sha256"
        assert len(stored) <= 128
        assert digest not in stored
        assert check_password(PASSWORD, stored)
        assert not check_password("not hers", stored)
        assert not check_password(digest, stored)


class TestStoredPassword:
    @pytest.mark.parametrize("odd", ["", "!abc", "plain text", "crypt$$abc", "x" * 200])
    def test_fits_nothing_where_the_old_one_is_of_no_known_kind(self, odd):
        assert not is_usable(odd)
        assert stored_password(odd).startswith("!")


class TestLegalUsername:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("ada", "ada"),
            ("ada@example.org", "ada-example.org"),
            ("a b", "a-b"),
            ("", "user"),
            ("0199c2d2-6f2e-7c52-9c5e-7f3a1b2c3d4e", "0199c2d2-6f2e-7c52-9c5e-7f3a1b2c3d4e-user"),
            ("аda", "user"),  # the first letter is Cyrillic
            ("x" * 200, "x" * 150),
        ],
    )
    def test_is_as_near_to_the_old_one_as_may_be(self, old, new):
        assert legal_username(old) == new
