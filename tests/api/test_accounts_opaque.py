"""``/api/token/opaque/``: tokens for ``Authorization: Token``."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from parley.accounts import operations
from parley.accounts.models import OpaqueToken
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

URL = "/api/token/opaque/"
ME = "/api/users/me/"


@pytest.fixture
def make(api, ada):
    def post(**body: object):
        return api().post(URL, {"username": "ada", "password": PASSWORD} | body)

    return post


@pytest.fixture
def key(make) -> str:
    return make().json()["token"]


@pytest.fixture
def get(api):
    def with_header(header: str, url: str = ME):
        return api().get(url, headers={"Authorization": header})

    return with_header


class TestCreate:
    def test_tells_the_token_and_its_end(self, make):
        answer = make(name="bot")

        assert answer.status_code == 201
        assert list(answer.json()) == ["token", "expires_at"]
        assert len(answer.json()["token"]) == 40
        end = answer.json()["expires_at"]
        assert end.startswith(f"{timezone.now() + timedelta(days=365):%Y-%m-%d}")
        assert end.endswith("Z")

    def test_takes_an_address(self, api, ada):
        body = {"email": "Ada@example.org", "password": PASSWORD}

        assert api().post(URL, body).status_code == 201

    def test_has_no_end_where_so_set(self, make, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"token_days": 0})

        assert make().json()["expires_at"] is None

    @pytest.mark.parametrize(
        ("body", "attr"),
        [
            ({"name": "x" * 101}, "name"),
            ({"name": 5}, "name"),
            ({"name": "\0"}, "name"),
            ({"password": None}, "password"),
            ({"username": None}, "username"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, make, body, attr):
        answer = make(**body)

        assert answer.status_code == 400
        assert [e["attr"] for e in answer.json()["errors"]] == [attr]

    def test_refuses_a_wrong_password_in_the_shape_of_the_rest(self, make):
        answer = make(password="wrong")

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        [error] = answer.json()["errors"]
        assert error["code"] == "no_active_account"

    def test_refuses_the_eleventh_wrong_one(self, make):
        statuses = [make(password="wrong").status_code for _ in range(11)]

        assert statuses == [401] * 10 + [429]

    def test_makes_so_many_and_no_more(self, make, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"tokens": 2})
        answers = [make() for _ in range(3)]

        assert [a.status_code for a in answers] == [201, 201, 409]
        assert answers[2].json()["errors"][0]["code"] == "too_many_tokens"


class TestUse:
    @pytest.mark.parametrize("form", ["Token {}", "Token{}", "token {}", "TOKEN   {}"])
    def test_proves_its_owner_in_either_spelling(self, get, key, form):
        answer = get(form.format(key))

        assert (answer.status_code, answer.json()["username"]) == (200, "ada")

    @pytest.mark.parametrize("forge", [str.upper, lambda k: k[:-1], lambda k: k[:15] + "0" * 25])
    def test_proves_nobody_when_altered(self, get, key, forge):
        if forge(key) == key:
            pytest.fail("the token has no letter")

        assert get(f"Token {forge(key)}").status_code == 401

    def test_ends_with_its_time(self, get, key):
        with time_machine.travel(timezone.now() + timedelta(days=366)):
            assert get(f"Token {key}").status_code == 401

    def test_ends_with_deactivation(self, get, key, ada, admin):
        operations.set_active(actor=admin, user=ada, is_active=False)

        assert get(f"Token {key}").status_code == 401

    def test_costs_one_query_most_of_the_time(self, get, key, django_assert_num_queries):
        get(f"Token {key}")

        with django_assert_num_queries(1):
            assert get(f"Token {key}").status_code == 200


class TestList:
    def test_shows_no_secret(self, get, make):
        key = make(name="bot").json()["token"]

        answer = get(f"Token {key}", URL)

        [token] = answer.json()["results"]
        keys = ["id", "name", "prefix", "created_at", "expires_at", "last_used_at"]
        assert list(token) == keys
        assert (token["name"], token["prefix"]) == ("bot", key[:8])
        assert key[8:20] not in answer.content.decode()
        assert token["last_used_at"] is not None

    def test_has_my_own_in_pages(self, api, make, ada, mallory):
        for n in range(3):
            make(name=str(n))
        client = api(ada)

        first = client.get(f"{URL}?limit=2").json()
        second = client.get(first["next"]).json()

        assert [t["name"] for t in first["results"] + second["results"]] == ["2", "1", "0"]
        assert second["next"] is None
        assert client.get(second["previous"]).json()["results"] == first["results"]
        assert api(mallory).get(URL).json()["results"] == []

    def test_needs_someone(self, api):
        assert api().get(URL).status_code == 401


class TestDelete:
    def test_ends_that_token_alone(self, get, make, key):
        other = make().json()["token"]
        token_id = OpaqueToken.objects.order_by("token_id").first().token_id

        answer = self.delete(other, token_id)

        assert (answer.status_code, answer.content) == (204, b"")
        assert (get(f"Token {key}").status_code, get(f"Token {other}").status_code) == (401, 200)

    def delete(self, key: str, token_id: object):
        from rest_framework.test import APIClient

        return APIClient().delete(f"{URL}{token_id}/", headers={"Authorization": f"Token {key}"})

    def test_does_not_know_the_tokens_of_others(self, api, key, mallory):
        token_id = OpaqueToken.objects.get().token_id

        for unknown in (token_id, "01890a5d-ac96-774b-bcce-b302099a8057", "x", "0"):
            assert api(mallory).delete(f"{URL}{unknown}/").status_code == 404
        assert OpaqueToken.objects.exists()
