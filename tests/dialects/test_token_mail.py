"""What is token_mail's alone: its tokens, and the credentials that its clients put in the query."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from parley.accounts import operations as accounts
from parley.accounts.models import OpaqueToken, User
from parley.dialects.token_mail import claims
from tests.conftest import PASSWORD


def sign_up(client, name: str = "alice"):
    return client.post("/create_user/", {"username": name, "password": PASSWORD})


def header(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Token {token}"}


class TestCreateUser:
    def test_makes_a_guest_whose_password_has_a_good_hash(self, api, db):
        sign_up(api())

        alice = User.objects.get(username="alice")
        assert alice.role == "guest"
        assert alice.password.startswith("argon2")

    def test_takes_no_rights_from_the_body(self, api, db):
        rights = {"role": "admin", "is_staff": True, "is_superuser": True, "user_id": "1"}
        api().post("/create_user/", {"username": "alice", "password": PASSWORD} | rights)

        alice = User.objects.get(username="alice")
        assert (alice.role, alice.is_staff, alice.is_superuser) == ("guest", False, False)

    def test_keeps_no_token_that_could_be_used(self, api, db):
        token = sign_up(api()).json()["Token"]

        [kept] = OpaqueToken.objects.all()
        assert token not in (kept.digest, str(kept.token_id))

    def test_gives_a_token_that_does_not_expire(self, api, db):
        token = sign_up(api()).json()["Token"]

        with time_machine.travel(timezone.now() + timedelta(days=4_000)):
            assert api().get("/all/", **header(token)).status_code == 204

    def test_gives_one_that_does_where_a_setting_says_so(self, api, db, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"token_mail_days": 3})
        token = sign_up(api()).json()["Token"]

        with time_machine.travel(timezone.now() + timedelta(days=2)):
            assert api().get("/all/", **header(token)).status_code == 204
        with time_machine.travel(timezone.now() + timedelta(days=4)):
            assert api().get("/all/", **header(token)).status_code == 401

    def test_has_a_rate(self, api, db, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_signup": "1/hour"})
        sign_up(api(), "alice")

        answer = sign_up(api(), "bella")

        assert answer.status_code == 429
        assert list(answer.json()["errors"]) == ["non_field_errors"]
        assert int(answer["Retry-After"]) > 0

    def test_gives_a_token_that_can_be_had_again_and_be_revoked(self, api, db):
        sign_up(api())
        client = api()
        login = {"username": "alice", "password": PASSWORD}
        token = client.post("/api/token/opaque/", login).json()["token"]

        [made, _] = client.get("/api/token/opaque/", **header(token)).json()["results"]
        client.delete(f"/api/token/opaque/{made['id']}/", **header(token))

        assert api().get("/all/", **header(token)).status_code == 401


class TestClaims:
    @pytest.fixture
    def client(self, api, ada):
        claims.forget()
        return api(ada)

    def test_a_right_password_is_looked_at_once(self, client, monkeypatch):
        asked = []
        look = claims.passwords.is_right
        monkeypatch.setattr(
            claims.passwords, "is_right", lambda *given: asked.append(given) or look(*given)
        )

        for _ in range(3):
            answer = client.get("/all/", query_params={"username": "ada", "password": PASSWORD})
            assert answer.status_code == 204

        assert len(asked) == 1

    def test_a_wrong_password_is_looked_at_each_time_until_there_were_too_many(
        self, client, settings
    ):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_signin": "3/minute"})

        statuses = [
            client.get("/all/", query_params={"password": "wrong"}).status_code for _ in range(5)
        ]

        assert statuses == [401, 401, 401, 429, 429]
        assert client.get("/all/").status_code == 204

    def test_an_old_password_is_forgotten_with_the_change(self, client, api, ada):
        query = {"username": "ada", "password": PASSWORD}
        assert client.get("/all/", query_params=query).status_code == 204

        accounts.change_password(
            user=ada, current_password=PASSWORD, new_password="a kettle on the hob", keep=None
        )

        assert api(ada).get("/all/", query_params=query).status_code == 401

    def test_a_password_of_another_proves_nothing(self, client, api, ben):
        query = {"password": "a kettle on the hob"}
        ben.set_password("a kettle on the hob")
        ben.save()
        assert api(ben).get("/all/", query_params=query).status_code == 204

        assert client.get("/all/", query_params=query).status_code == 401

    def test_only_so_many_are_remembered(self, client, api, ada, ben, monkeypatch):
        monkeypatch.setattr(claims, "MOST_REMEMBERED", 1)
        for user in (ada, ben):
            api(user).get("/all/", query_params={"password": PASSWORD})

        assert len(claims._right) == 1

    @pytest.mark.parametrize("password", ["\x00", "\ud800", "x" * 2_000])
    def test_what_can_be_no_password_is_wrong(self, ada, rf, password):
        assert not claims.is_own_password(rf.get("/all/"), ada, password)
        assert not claims.is_own_name(ada, password)
