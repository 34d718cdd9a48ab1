"""Passwords, sign-ins and opaque tokens: what is live, and what ends it."""

from datetime import timedelta
from time import perf_counter

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from knox.crypto import hash_token

from parley.accounts import operations, passwords, queries
from parley.accounts.credentials import Credential, Proof
from parley.accounts.models import AuditEntry, OpaqueToken, SignIn, User
from parley.accounts.operations import (
    ChangedMeanwhile,
    DeadSignIn,
    TokenNotFound,
    TooManyTokens,
    WrongPassword,
)
from parley.kernel.errors import Unavailable
from tests.conftest import PASSWORD
from tests.talk import in_parallel

pytestmark = pytest.mark.django_db

OTHER = "a chair by the window"


def begin(user: User, jti: str = "first") -> SignIn:
    at = timezone.now()
    return operations.begin_sign_in(
        user=user, refresh_jti=jti, expires_at=at + timedelta(hours=24), at=at
    )


def refresh(sign_in: SignIn, was: str, new: str) -> None:
    operations.refresh_sign_in(
        sign_in_id=sign_in.sign_in_id,
        refresh_jti=was,
        new_jti=new,
        expires_at=timezone.now() + timedelta(hours=24),
    )


def is_live(sign_in: SignIn) -> bool:
    found = queries.signed_in(sign_in_id=sign_in.sign_in_id, user_id=sign_in.user_id)
    return found is not None


def make_token(user: User, *, most: int = 5, lifetime: timedelta | None = timedelta(days=1)) -> str:
    at = timezone.now()
    return operations.create_token(user=user, lifetime=lifetime, most=most, at=at)[1]


def owner(text: str, *, later: timedelta = timedelta(0)) -> User | None:
    found = queries.token_owner(digest=hash_token(text), at=timezone.now() + later)
    return found and found[0]


class TestCheckCredentials:
    @pytest.mark.parametrize("login", ["ada", "ADA", "ada@example.org", "Ada@EXAMPLE.org"])
    def test_takes_username_or_address(self, ada, login):
        assert operations.check_credentials(login=login, password=PASSWORD) == ada

    @pytest.mark.parametrize(
        ("login", "password"),
        [
            ("ada", OTHER),
            ("ada", ""),
            ("ben", PASSWORD),
            ("", PASSWORD),
            ("ada\0", PASSWORD),
            ("\ud800", PASSWORD),
            ("ada", "\ud800"),
            ("ada", "x" * 100_000),
        ],
    )
    def test_knows_nobody_else(self, ada, login, password):
        assert operations.check_credentials(login=login, password=password) is None

    def test_knows_nobody_who_is_deactivated(self, person):
        person("ada", is_active=False)

        assert operations.check_credentials(login="ada", password=PASSWORD) is None

    def test_replaces_an_older_hash_and_ends_nothing(self, person):
        ada = person("ada", password=make_password(PASSWORD, hasher="pbkdf2_sha1"))
        sign_in = begin(ada)

        assert operations.check_credentials(login="ada", password=PASSWORD) == ada

        assert User.objects.get().password.startswith("argon2$argon2id$")
        assert is_live(sign_in)

    def test_takes_as_long_for_nobody_as_for_somebody(self, settings, person):
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
        person("ada", password=make_password(PASSWORD))
        person("off", password=make_password(PASSWORD), is_active=False)
        person("none", password=make_password(None))

        took: dict[str, list[float]] = {
            name: [] for name in ("ada", "ghost", "a@b.c", "off", "none")
        }
        for _ in range(5):
            for login, times in took.items():
                began = perf_counter()
                operations.check_credentials(login=login, password=OTHER)
                times.append(perf_counter() - began)

        known = min(took["ada"])
        assert all(0.5 < min(times) / known < 2 for times in took.values()), took

    def test_costs_one_query_for_anybody(self, ada, django_assert_num_queries):
        for login in ("ada", "ghost"):
            with django_assert_num_queries(1):
                operations.check_credentials(login=login, password=OTHER)

    def test_says_that_it_is_busy_rather_than_hash_without_end(self, ada, monkeypatch):
        monkeypatch.setattr(passwords, "LONGEST_WAIT", 0.01)
        taken = 0
        while passwords._places.acquire(blocking=False):
            taken += 1
        try:
            with pytest.raises(Unavailable):
                operations.check_credentials(login="ada", password=PASSWORD)
        finally:
            for _ in range(taken):
                passwords._places.release()


class TestChangePassword:
    def change(self, user: User, keep: Credential | None = None, current: str = PASSWORD) -> None:
        operations.change_password(
            user=user, current_password=current, new_password=OTHER, keep=keep
        )

    def test_ends_every_credential_but_the_asking_one(self, ada):
        asking, other = begin(ada), begin(ada)
        token = make_token(ada)

        self.change(ada, Credential(Proof.SIGN_IN, str(asking.sign_in_id)))

        assert (is_live(asking), is_live(other), owner(token)) == (True, False, None)
        assert operations.check_credentials(login="ada", password=OTHER) == ada
        assert operations.check_credentials(login="ada", password=PASSWORD) is None

    def test_keeps_an_asking_token(self, ada):
        sign_in, kept, other = begin(ada), make_token(ada), make_token(ada)
        token = OpaqueToken.objects.get(digest=hash_token(kept))

        self.change(ada, Credential(Proof.TOKEN, str(token.token_id)))

        assert (owner(kept), owner(other), is_live(sign_in)) == (ada, None, False)

    def test_leaves_others_alone(self, ada, ben):
        sign_in, token = begin(ben), make_token(ben)

        self.change(ada)

        assert is_live(sign_in)
        assert owner(token) == ben

    def test_needs_the_current_one(self, ada):
        with pytest.raises(WrongPassword) as caught:
            self.change(ada, current=OTHER)

        assert caught.value.attr == "current_password"
        assert operations.check_credentials(login="ada", password=PASSWORD) == ada

    def test_refuses_a_weak_one_and_changes_nothing(self, ada):
        sign_in = begin(ada)

        with pytest.raises(passwords.WeakPassword) as caught:
            operations.change_password(
                user=ada, current_password=PASSWORD, new_password="123", keep=None
            )

        assert caught.value.attr == "new_password"
        assert is_live(sign_in)

    def test_leaves_no_sign_in_that_was_proved_by_the_old_password(self, ada):
        proved = operations.check_credentials(login="ada", password=PASSWORD)
        self.change(ada)

        assert not is_live(begin(proved))
        assert owner(make_token(proved)) is None

    def test_ends_everything_however_it_is_done(self, ada):
        sign_in, token = begin(ada), make_token(ada)

        ada.set_password(OTHER)
        ada.save(update_fields=["password"])

        assert (is_live(sign_in), owner(token)) == (False, None)


class TestResetPassword:
    def test_ends_everything_and_is_written_down(self, ada, admin):
        sign_in = begin(ada)

        operations.reset_password(actor=admin, user=ada, new_password=OTHER)

        assert not is_live(sign_in)
        assert operations.check_credentials(login="ada", password=OTHER) == ada
        entry = AuditEntry.objects.get()
        assert (entry.actor, entry.action) == (admin, "user.reset_password")
        assert (entry.target_kind, entry.target_id) == ("user", str(ada.user_id))

    def test_refuses_an_account_that_was_changed_meanwhile(self, ada, admin):
        stale = User.objects.get(user_id=ada.user_id)
        operations.reset_password(actor=admin, user=ada, new_password=OTHER)

        with pytest.raises(ChangedMeanwhile):
            operations.reset_password(actor=admin, user=stale, new_password="yet another one")

        assert AuditEntry.objects.count() == 1


class TestSignIns:
    def test_live_until_they_end(self, ada):
        sign_in = begin(ada)

        assert is_live(sign_in)
        assert operations.end_sign_in(sign_in_id=sign_in.sign_in_id)
        assert not is_live(sign_in)
        assert not operations.end_sign_in(sign_in_id=sign_in.sign_in_id)

    def test_end_when_a_replaced_token_is_used(self, ada):
        sign_in = begin(ada)
        refresh(sign_in, "first", "second")

        with pytest.raises(DeadSignIn):
            refresh(sign_in, "first", "third")

        assert not is_live(sign_in)
        with pytest.raises(DeadSignIn):
            refresh(sign_in, "second", "third")

    def test_belong_to_one_person(self, ada, ben):
        sign_in = begin(ada)

        assert queries.signed_in(sign_in_id=sign_in.sign_in_id, user_id=ben.user_id) is None

    def test_forget_the_expired_ones_of_the_same_person(self, ada, ben):
        old, kept, other = begin(ada), begin(ada), begin(ben)
        long_ago = timezone.now() - timedelta(days=2)
        SignIn.objects.filter(pk__in=[old.pk, other.pk]).update(expires_at=long_ago)

        new = begin(ada)

        assert set(SignIn.objects.values_list("pk", flat=True)) == {kept.pk, other.pk, new.pk}

    def test_cost_one_query_to_prove(self, ada, django_assert_num_queries):
        sign_in = begin(ada)

        with django_assert_num_queries(1):
            assert is_live(sign_in)


class TestTokens:
    def test_are_kept_as_hashes(self, ada):
        text = make_token(ada)

        kept = OpaqueToken.objects.values().get()
        assert len(text) == 40
        assert owner(text) == ada
        assert text not in map(str, kept.values())
        assert not any(text[16:] in str(value) for value in kept.values())

    def test_expire(self, ada):
        text = make_token(ada, lifetime=timedelta(days=1))

        assert owner(text, later=timedelta(hours=23)) == ada
        assert owner(text, later=timedelta(hours=25)) is None

    def test_live_for_ever_where_no_end_is_set(self, ada):
        assert owner(make_token(ada, lifetime=None), later=timedelta(days=9_999)) == ada

    def test_are_so_many_and_no_more(self, ada, ben):
        for _ in range(3):
            make_token(ada, most=3)
        make_token(ben, most=3)

        with pytest.raises(TooManyTokens):
            make_token(ada, most=3)

        assert OpaqueToken.objects.filter(user=ada).count() == 3

    def test_that_are_dead_make_room(self, ada):
        make_token(ada, most=1)
        OpaqueToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))

        assert owner(make_token(ada, most=1)) == ada
        assert OpaqueToken.objects.count() == 1

    def test_are_revoked_by_their_owner_alone(self, ada, mallory):
        text = make_token(ada)
        token_id = OpaqueToken.objects.get().token_id

        with pytest.raises(TokenNotFound):
            operations.revoke_token(viewer=mallory, token_id=token_id)
        assert owner(text) == ada

        operations.revoke_token(viewer=ada, token_id=token_id)
        assert owner(text) is None

    def test_remember_about_when_they_were_used(self, ada, django_assert_num_queries):
        make_token(ada)
        at = timezone.now()
        for minutes, queries_made in ((0, 1), (1, 0), (9, 0), (11, 1)):
            token = OpaqueToken.objects.get()
            with django_assert_num_queries(queries_made):
                operations.note_token_use(token=token, at=at + timedelta(minutes=minutes))

        assert OpaqueToken.objects.get().last_used_at == at + timedelta(minutes=11)

    def test_are_listed_a_page_at_a_time(self, ada, ben):
        for _ in range(5):
            make_token(ada)
        make_token(ben)
        first = queries.list_tokens(viewer=ada, at=timezone.now(), position=None, size=3)
        rest = queries.list_tokens(viewer=ada, at=timezone.now(), position=first.next, size=3)
        back = queries.list_tokens(viewer=ada, at=timezone.now(), position=rest.previous, size=3)

        assert [len(first.items), len(rest.items)] == [3, 2]
        assert (rest.next, back.items) == (None, first.items)


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_one_of_several_refreshes_wins_and_the_sign_in_ends(self, ada):
        sign_in = begin(ada)

        came = in_parallel([lambda n=n: refresh(sign_in, "first", str(n)) for n in range(6)])

        assert sum(each is None for each in came) == 1
        assert sum(isinstance(each, DeadSignIn) for each in came) == 5
        assert not is_live(sign_in)

    def test_tokens_made_at_once_stay_within_their_number(self, ada):
        came = in_parallel([lambda: make_token(ada, most=3)] * 8)

        assert sum(isinstance(each, TooManyTokens) for each in came) == 5
        assert OpaqueToken.objects.count() == 3

    def test_one_of_two_password_changes_wins(self, ada):
        def change(new: str) -> None:
            user = User.objects.get(user_id=ada.user_id)
            operations.change_password(
                user=user, current_password=PASSWORD, new_password=new, keep=None
            )

        came = in_parallel([lambda: change(OTHER), lambda: change("the other chair")])

        [lost] = [each for each in came if each is not None]
        assert isinstance(lost, ChangedMeanwhile | WrongPassword)
        new = OTHER if came[0] is None else "the other chair"
        assert operations.check_credentials(login="ada", password=new) == ada
