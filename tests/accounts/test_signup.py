"""Signing up: who may be called what."""

import pytest
from django.db import connection

from parley.accounts import operations
from parley.accounts.models import Role, User
from parley.accounts.operations import user_signed_up
from parley.kernel.errors import Invalid
from parley.kernel.text import name_key
from tests.talk import in_parallel

PASSWORD = "a lamp in the corner"

pytestmark = pytest.mark.django_db


def sign_up(username: str, password: str = PASSWORD, **fields: str | None) -> User:
    return operations.sign_up(username=username, password=password, **fields)


def refusal_of(username: str, password: str = PASSWORD, **fields: str | None) -> Invalid:
    with pytest.raises(Invalid) as caught:
        sign_up(username, password, **fields)
    return caught.value


class TestSignUp:
    def test_makes_a_guest_who_can_sign_in(self):
        user = sign_up("ada", email="Ada@Example.org", first_name="Ada", phone_number="+44 1")

        assert (user.role, user.is_staff, user.is_superuser) == (Role.GUEST, False, False)
        assert operations.check_credentials(login="ADA", password=PASSWORD) == user
        assert operations.check_credentials(login="ada@example.ORG", password=PASSWORD) == user

    def test_keeps_names_as_they_came(self):
        user = sign_up("Ada.L+1", first_name=" Ada ", last_name="李", email="Ada@Example.org")

        found = User.objects.get(user_id=user.user_id)
        assert (found.username, found.first_name, found.last_name, found.email) == (
            "Ada.L+1",
            " Ada ",
            "李",
            "Ada@Example.org",
        )

    def test_takes_an_empty_address_for_none(self):
        sign_up("ada", email="", phone_number="")
        sign_up("ben", email=None)

        assert set(User.objects.values_list("email", "phone_number")) == {(None, None)}

    @pytest.mark.parametrize(
        "name", ["Grüße", "山田たろう", "김철수", "Вера", "ნინო", "علي", "o_o-1.a+b"]
    )
    def test_speaks_many_scripts(self, name):
        assert sign_up(name).username == name

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("", "blank"),
            (" ", "blank"),
            ("a" * 151, "max_length"),
            ("ﷺ" * 100, "max_length"),
            ("ada l", "invalid_username"),
            ("ada@home", "invalid_username"),
            ("ada\n", "invalid_username"),
            ("ada\0", "invalid_characters"),
            ("ada\ud800", "invalid_characters"),
            ("ad\u200ba", "invalid_username"),
            ("ad\u202ea", "invalid_username"),
            ("ad\u3164a", "invalid_username"),
            ("ad\u2060a", "invalid_username"),
            ("01890a5d-ac96-774b-bcce-b302099a8057", "invalid_username"),
            ("01890A5DAC96774BBCCEB302099A8057", "invalid_username"),
            ("аdmin", "mixed_scripts"),
            ("pаypal", "mixed_scripts"),
            ("ρay", "mixed_scripts"),
        ],
    )
    def test_refuses_names_that_disguise_or_confuse(self, name, code):
        refusal = refusal_of(name)

        assert (refusal.attr, refusal.code) == ("username", code)
        assert not User.objects.exists()

    @pytest.mark.parametrize("name", ["ada", "ADA", "ａｄａ", "Ada"])
    def test_refuses_a_name_that_is_taken_in_any_form(self, name):
        sign_up("aDa")

        refusal = refusal_of(name)

        assert (refusal.attr, refusal.code) == ("username", "unique")

    def test_refuses_a_name_that_looks_like_another_one_throughout(self):
        sign_up("coco")

        refusal = refusal_of("сосо")

        assert (refusal.attr, refusal.code) == ("username", "lookalike")

    @pytest.mark.parametrize("email", ["ada", "ada@", "@x.org", "a b@x.org", "a@x", "a@x.org\0"])
    def test_refuses_what_is_no_address(self, email):
        assert refusal_of("ada", email=email).attr == "email"

    def test_refuses_an_address_that_is_taken_in_any_form(self):
        sign_up("ada", email="ada@example.org")

        refusal = refusal_of("ben", email="ADA@example.org")

        assert (refusal.attr, refusal.code) == ("email", "unique")

    def test_refuses_an_address_whose_key_no_column_holds(self):
        assert refusal_of("ada", email=f"a@{'ﷺ' * 60}.{'ﷺ' * 60}.org").attr == "email"

    @pytest.mark.parametrize(
        ("field", "value"),
        [("first_name", "x" * 151), ("last_name", "\0"), ("phone_number", "1" * 33)],
    )
    def test_refuses_what_does_not_fit(self, field, value):
        assert refusal_of("ada", **{field: value}).attr == field

    @pytest.mark.parametrize(
        "password",
        ["short", "password123", "8461937502", "ada-lovelace", "x\ud800yyyyyyyyy", "y" * 1025],
    )
    def test_refuses_a_weak_password(self, password):
        refusal = refusal_of("ada-lovelace", password)

        assert (refusal.attr, refusal.code) == ("password", "weak_password")

    @pytest.mark.parametrize("password", ["Ω" * 64, "  spaced  out  ", "密码密码密码密码"])
    def test_takes_a_password_as_it_is(self, password):
        user = sign_up("ada", password)

        assert operations.check_credentials(login="ada", password=password) == user
        assert operations.check_credentials(login="ada", password=password.strip()[:-1]) is None

    def test_lets_others_join_its_transaction(self, request):
        seen = []

        @user_signed_up.join
        def note(user: User) -> None:
            seen.append((user.username, connection.in_atomic_block))

        request.addfinalizer(lambda: user_signed_up.leave(note))
        sign_up("ada")

        assert seen == [("ada", True)]


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestSignUpAtOnce:
    def test_gives_a_name_to_one_and_refuses_the_other(self):
        came = in_parallel([lambda: sign_up("ada"), lambda: sign_up("Ada")])

        [refused] = [each for each in came if isinstance(each, BaseException)]
        assert (refused.attr, refused.code) == ("username", "unique")
        assert User.objects.count() == 1

    def test_gives_an_address_to_one_and_refuses_the_other(self):
        email = "same@example.org"
        calls = [lambda n=n: sign_up(n, email=email) for n in ("ada", "ben", "cyd")]

        came = in_parallel(calls)

        refused = [each for each in came if isinstance(each, BaseException)]
        assert [(each.attr, each.code) for each in refused] == [("email", "unique")] * 2

    def test_keeps_nobody_when_a_joined_part_fails(self, request):
        @user_signed_up.join
        def fail(user: User) -> None:
            raise RuntimeError

        request.addfinalizer(lambda: user_signed_up.leave(fail))
        with pytest.raises(RuntimeError):
            sign_up("ada")

        assert not User.objects.exists()

    def test_hashes_outside_the_transaction(self, monkeypatch):
        from tests.hashers import QuickArgon2

        held = []
        encode = QuickArgon2.encode

        def watched(self, password, salt):
            held.append(connection.in_atomic_block)
            return encode(self, password, salt)

        monkeypatch.setattr(QuickArgon2, "encode", watched)
        sign_up("ada")

        assert held == [False]

    @pytest.mark.parametrize("name", ["Straße", "Istanbul", "ﬁsh", "ΑΣ", "e\u0301a", "Å"])
    def test_finds_a_name_again_on_every_database(self, name):
        user = sign_up(name)

        for form in (name, name_key(name), name.upper()):
            assert operations.check_credentials(login=form, password=PASSWORD) == user
