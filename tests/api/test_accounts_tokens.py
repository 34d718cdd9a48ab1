"""``/api/token/…``: JSON Web Tokens in SimpleJWT's shapes, and what is refused for one."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import time_machine
from django.conf import settings as django_settings
from django.utils import timezone

from parley.accounts import operations
from parley.accounts.models import SignIn, User
from tests.conftest import PASSWORD
from tests.talk import in_parallel

pytestmark = pytest.mark.django_db

TOKEN = "/api/token/"
REFRESH = "/api/token/refresh/"
VERIFY = "/api/token/verify/"
BLACKLIST = "/api/token/blacklist/"
ME = "/api/users/me/"
NO_ACCOUNT = {"detail": "No active account found with the given credentials"}
NOT_VALID = {"detail": "Token is invalid or expired", "code": "token_not_valid"}
REQUIRED = ["This field is required."]
KEY = django_settings.SIMPLE_JWT["SIGNING_KEY"]


@pytest.fixture
def pair(api, ada) -> dict[str, str]:
    """Sign ada in."""
    return api().post(TOKEN, {"username": "ada", "password": PASSWORD}).json()


@pytest.fixture
def rotating(settings):
    settings.PARLEY = settings.PARLEY.model_copy(update={"refresh_rotation": True})


@pytest.fixture
def status_with(api):
    """Say what a request with this access token answers."""

    def get(access: str) -> int:
        return api().get(ME, headers={"Authorization": f"Bearer {access}"}).status_code

    return get


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, KEY, ["HS256"])


class TestObtain:
    @pytest.mark.parametrize("field", ["username", "email"])
    @pytest.mark.parametrize("login", ["ada", "ADA", "ada@example.org"])
    def test_takes_either_name_in_either_field(self, api, ada, field, login):
        answer = api().post(TOKEN, {field: login, "password": PASSWORD})

        assert answer.status_code == 200
        assert list(answer.json()) == ["refresh", "access"]

    @pytest.mark.parametrize("other", [None, ""])
    def test_passes_over_an_empty_field(self, api, ada, other):
        body = {"username": other, "email": "ada@example.org", "password": PASSWORD}

        assert api().post(TOKEN, body).status_code == 200

    def test_takes_a_form(self, api, ada):
        answer = api().post(TOKEN, {"username": "ada", "password": PASSWORD}, format="multipart")

        assert answer.status_code == 200

    def test_writes_who_and_how_long_into_the_tokens(self, pair, ada):
        access, refresh = claims(pair["access"]), claims(pair["refresh"])

        assert access["user_id"] == refresh["user_id"] == str(ada.user_id)
        assert access["sid"] == refresh["sid"] == str(SignIn.objects.get().sign_in_id)
        assert access["role"] == "guest"
        assert access["exp"] - access["iat"] == 15 * 60
        assert refresh["exp"] - refresh["iat"] == 24 * 3600
        assert (access["token_type"], refresh["token_type"]) == ("access", "refresh")

    @pytest.mark.parametrize(
        ("body", "answer"),
        [
            ({}, {"username": REQUIRED, "password": REQUIRED}),
            ({"username": "ada"}, {"password": REQUIRED}),
            ({"email": "ada"}, {"password": REQUIRED}),
            ({"password": "x"}, {"username": REQUIRED}),
            ({"email": "", "password": "x"}, {"email": ["This field may not be blank."]}),
            ({"email": None, "password": "x"}, {"email": ["This field may not be null."]}),
            ({"username": ["ada"], "password": "x"}, {"username": ["Not a valid string."]}),
            ({"username": 7, "password": "x"}, {"username": ["Not a valid string."]}),
            ({"username": "ada", "password": {}}, {"password": ["Not a valid string."]}),
        ],
    )
    def test_names_what_is_missing_or_wrong(self, api, ada, body, answer):
        found = api().post(TOKEN, body)

        assert (found.status_code, found.json()) == (400, answer)

    @pytest.mark.parametrize("body", ["[]", "[{}]", '"ada"', "5", "null", "{", "{]"])
    def test_refuses_what_is_no_object(self, api, body):
        for url in (TOKEN, REFRESH, VERIFY, BLACKLIST):
            found = api().post(url, body, content_type="application/json")
            assert found.status_code == 400
            assert found.json().keys() & {"detail", "non_field_errors"}

    @pytest.mark.parametrize("bad", ["a\\u0000", "\\ud800", "x" * 20_000])
    def test_refuses_text_that_is_none(self, api, bad):
        for url, field in ((TOKEN, "username"), (REFRESH, "refresh"), (VERIFY, "token")):
            body = f'{{"{field}": "{bad}", "password": "x"}}'
            found = api().post(url, body, content_type="application/json")
            assert (found.status_code, list(found.json())) == (400, [field])

    def test_says_the_same_to_everybody_else(self, api, ada, person):
        person("gone", is_active=False)
        wrong = [("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("a@b.c", PASSWORD)]

        for login, password in wrong:
            found = api().post(TOKEN, {"username": login, "password": password})
            assert (found.status_code, found.json()) == (401, NO_ACCOUNT)
            assert found.headers["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_knows_no_other_method(self, api):
        found = api().get(TOKEN)

        assert found.status_code == 405
        assert found.json() == {"detail": 'Method "GET" not allowed.'}

    def test_refuses_the_eleventh_wrong_password_but_not_the_right_one_elsewhere(self, api, ada):
        def post(password: str, address: str = "192.0.2.1"):
            body = {"username": "ada", "password": password}
            return api().post(TOKEN, body, REMOTE_ADDR=address)

        statuses = [post("wrong").status_code for _ in range(11)]
        refused = post(PASSWORD)

        assert statuses == [401] * 10 + [429]
        assert refused.status_code == 429
        assert 290 <= int(refused.headers["Retry-After"]) <= 300
        assert list(refused.json()) == ["detail"]
        assert post(PASSWORD, "192.0.2.2").status_code == 200

    def test_counts_username_and_address_as_one_account(self, api, ada):
        for n in range(10):
            login = ["ada", "Ada@example.org"][n % 2]
            api().post(TOKEN, {"username": login, "password": "wrong"})

        assert api().post(TOKEN, {"username": "ada", "password": PASSWORD}).status_code == 429

    def test_treats_unknown_names_alike(self, api):
        statuses = [
            api().post(TOKEN, {"username": "ghost", "password": "x"}).status_code for _ in range(11)
        ]

        assert statuses == [401] * 10 + [429]

    def test_does_not_believe_a_strangers_header(self, api, ada):
        for n in range(11):
            found = api().post(
                TOKEN,
                {"username": "ada", "password": "wrong"},
                headers={"X-Forwarded-For": f"198.51.100.{n}"},
            )

        assert found.status_code == 429


class TestRefresh:
    def test_answers_an_access_token_for_as_long_as_it_lives(self, api, pair, status_with):
        for hours in (0, 1, 23):
            with time_machine.travel(timezone.now() + timedelta(hours=hours)):
                answer = api().post(REFRESH, {"refresh": pair["refresh"]})
                assert (answer.status_code, list(answer.json())) == (200, ["access"])
                assert status_with(answer.json()["access"]) == 200

    def test_ends_after_a_day(self, api, pair):
        with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=30)):
            answer = api().post(REFRESH, {"refresh": pair["refresh"]})

        assert (answer.status_code, answer.json()) == (401, NOT_VALID)

    def test_carries_a_new_role(self, api, pair, ada, admin):
        operations.set_role(actor=admin, user=ada, role="host")

        found = api().post(REFRESH, {"refresh": pair["refresh"]}).json()["access"]

        assert claims(found)["role"] == "host"

    def test_needs_a_token(self, api):
        for url in (REFRESH, BLACKLIST):
            found = api().post(url, {})
            assert (found.status_code, found.json()) == (400, {"refresh": REQUIRED})

    @pytest.mark.parametrize("url", [REFRESH, BLACKLIST])
    def test_takes_no_access_token(self, api, pair, url):
        answer = api().post(url, {"refresh": pair["access"]})

        assert (answer.status_code, answer.json()) == (401, NOT_VALID)

    def test_allows_a_clock_that_is_some_seconds_off(self, api, pair, status_with):
        with time_machine.travel(timezone.now() - timedelta(seconds=5)):
            assert status_with(pair["access"]) == 200


@pytest.mark.usefixtures("rotating")
class TestRotation:
    def test_answers_both_tokens(self, api, pair, status_with):
        answer = api().post(REFRESH, {"refresh": pair["refresh"]}).json()

        assert list(answer) == ["access", "refresh"]
        assert answer["refresh"] != pair["refresh"]
        assert status_with(answer["access"]) == status_with(pair["access"]) == 200

    def test_refuses_a_used_token_and_ends_its_sign_in(self, api, pair, status_with):
        new = api().post(REFRESH, {"refresh": pair["refresh"]}).json()

        again = api().post(REFRESH, {"refresh": pair["refresh"]})

        assert (again.status_code, again.json()) == (401, NOT_VALID)
        assert status_with(new["access"]) == status_with(pair["access"]) == 401
        assert api().post(REFRESH, {"refresh": new["refresh"]}).status_code == 401

    def test_leaves_other_sign_ins_alone(self, api, pair, status_with):
        other = api().post(TOKEN, {"username": "ada", "password": PASSWORD}).json()
        for _ in range(2):
            api().post(REFRESH, {"refresh": pair["refresh"]})

        assert status_with(other["access"]) == 200

    def test_goes_on_past_a_day(self, api, pair):
        refresh = pair["refresh"]
        for hours in (20, 40, 60):
            with time_machine.travel(timezone.now() + timedelta(hours=hours)):
                refresh = api().post(REFRESH, {"refresh": refresh}).json()["refresh"]

    def test_ends_a_used_one_also_after_it_was_switched_off(self, api, pair, settings):
        api().post(REFRESH, {"refresh": pair["refresh"]})
        settings.PARLEY = settings.PARLEY.model_copy(update={"refresh_rotation": False})

        assert api().post(REFRESH, {"refresh": pair["refresh"]}).status_code == 401
        assert not SignIn.objects.exists()


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestRotationAtOnce:
    def test_lets_one_of_two_through(self, api, pair, rotating, status_with):
        came = in_parallel([lambda: api().post(REFRESH, {"refresh": pair["refresh"]})] * 4)

        statuses = sorted(answer.status_code for answer in came)
        assert statuses == [200, 401, 401, 401]
        assert status_with(pair["access"]) == 401
        assert not SignIn.objects.exists()


class TestVerify:
    def test_says_yes_to_either_token(self, api, pair):
        for token in pair.values():
            answer = api().post(VERIFY, {"token": token})
            assert (answer.status_code, answer.json()) == (200, {})

    def test_says_no_to_what_has_ended(self, api, pair):
        api().post(BLACKLIST, {"refresh": pair["refresh"]})

        for token in pair.values():
            answer = api().post(VERIFY, {"token": token})
            assert (answer.status_code, answer.json()) == (401, NOT_VALID)

    def test_needs_a_token(self, api):
        assert api().post(VERIFY, {}).json() == {"token": REQUIRED}


class TestBlacklist:
    def test_ends_the_sign_in_and_its_access_tokens(self, api, pair, status_with):
        more = api().post(REFRESH, {"refresh": pair["refresh"]}).json()["access"]

        answer = api().post(BLACKLIST, {"refresh": pair["refresh"]})

        assert (answer.status_code, answer.json()) == (200, {})
        assert status_with(pair["access"]) == status_with(more) == 401
        for url in (REFRESH, BLACKLIST):
            again = api().post(url, {"refresh": pair["refresh"]})
            assert (again.status_code, again.json()) == (401, NOT_VALID)

    def test_leaves_other_sign_ins_alone(self, api, pair, status_with):
        other = api().post(TOKEN, {"username": "ada", "password": PASSWORD}).json()

        api().post(BLACKLIST, {"refresh": pair["refresh"]})

        assert status_with(other["access"]) == 200


# --- forgeries


def encode(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(header: object, payload: object, key: str = KEY, digest: str = "sha256") -> str:
    content = f"{encode(header)}.{encode(payload)}"
    mac = hmac.new(key.encode(), content.encode(), digest).digest()
    return f"{content}.{encode(mac)}"


HEADER = {"alg": "HS256", "typ": "JWT"}


def payload_of(real: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {k: v for k, v in (real | changes).items() if v is not ...}


HUGE = b'{"alg": ' + b"9" * 5000 + b"}"
FORGERIES = {
    "alg none, no signature": lambda p: f"{encode({'alg': 'none'})}.{encode(p)}.",
    "alg None": lambda p: f"{encode({'alg': 'None'})}.{encode(p)}.",
    "alg nOnE, signed": lambda p: signed({"alg": "nOnE"}, p),
    "no alg": lambda p: signed({"typ": "JWT"}, p),
    "alg is null": lambda p: signed({"alg": None}, p),
    "alg is a list": lambda p: signed({"alg": ["HS256"]}, p),
    "HS512": lambda p: signed({"alg": "HS512"}, p, digest="sha512"),
    "RS256": lambda p: signed({"alg": "RS256"}, p),
    "another key": lambda p: signed(HEADER, p, key="another key that is long enough, too"),
    "the site's key": lambda p: signed(HEADER, p, key=django_settings.SECRET_KEY),
    "an empty key": lambda p: signed(HEADER, p, key=""),
    "kid of a file": lambda p: signed(HEADER | {"kid": "../../dev/null"}, p, key=""),
    "jku": lambda p: signed(HEADER | {"jku": "https://evil.example/k"}, p, key="x" * 40),
    "jwk": lambda p: signed(
        HEADER | {"jwk": {"kty": "oct", "k": encode(b"x" * 40)}}, p, key="x" * 40
    ),
    "an empty signature": lambda p: f"{encode(HEADER)}.{encode(p)}.",
    "no third part": lambda p: f"{encode(HEADER)}.{encode(p)}",
    "four parts": lambda p: signed(HEADER, p) + ".x",
    "a deep header": lambda p: f"{encode(b'[' * 3000 + b']' * 3000)}.{encode(p)}.x",
    "a header that is no object": lambda p: signed([1], p),
    "a huge number": lambda p: f"{encode(HUGE)}.{encode(p)}.x",
    "a payload that is no object": lambda p: signed(HEADER, [p]),
    "expired": lambda p: signed(HEADER, payload_of(p, exp=p["exp"] - 7200)),
    "no end": lambda p: signed(HEADER, payload_of(p, exp=...)),
    "an end in words": lambda p: signed(HEADER, payload_of(p, exp="never")),
    "not yet": lambda p: signed(HEADER, payload_of(p, iat=p["iat"] + 7200, nbf=p["iat"] + 7200)),
    "a refresh token": lambda p: signed(HEADER, payload_of(p, token_type="refresh")),
    "no type": lambda p: signed(HEADER, payload_of(p, token_type=...)),
    "no jti": lambda p: signed(HEADER, payload_of(p, jti=...)),
    "no sign-in": lambda p: signed(HEADER, payload_of(p, sid=...)),
    "no user": lambda p: signed(HEADER, payload_of(p, user_id=...)),
    "a sign-in that is none": lambda p: signed(HEADER, payload_of(p, sid="x")),
    "a sign-in that is a list": lambda p: signed(HEADER, payload_of(p, sid=[1])),
    "another user": lambda p: signed(
        HEADER, payload_of(p, user_id="01890a5d-ac96-774b-bcce-b302099a8057")
    ),
    "not a token": lambda p: "not-a-token",
    "dots": lambda p: "..",
    "bytes": lambda p: "\xff\xfe.\xff.\xff",
}


class TestForgeries:
    def test_are_held_against_a_token_that_is_valid(self, pair, status_with):
        assert status_with(signed(HEADER, claims(pair["access"]))) == 200

    @pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
    def test_prove_nothing(self, api, pair, forge, status_with):
        forged = forge(claims(pair["access"]))

        assert status_with(forged) == 401
        if forged.isascii() and "token_type" not in str(claims_or_none(forged)):
            for url, field in ((VERIFY, "token"), (REFRESH, "refresh"), (BLACKLIST, "refresh")):
                answer = api().post(url, {field: forged})
                assert (answer.status_code, answer.json()) == (401, NOT_VALID)

    @pytest.mark.parametrize(
        "header",
        ["Bearer", "Bearer ", "Bearer a b", "bearer x", "Token", "Token ", "Token a b", "Tokenx"],
    )
    def test_are_no_better_for_a_broken_header(self, api, header):
        answer = api().get(ME, headers={"Authorization": header})

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_are_not_taken_from_the_address(self, api, pair):
        assert api().get(f"{ME}?token={pair['access']}&access={pair['access']}").status_code == 401

    def test_of_the_other_schemes_prove_nothing(self, api, pair):
        for header in (
            f"Token {pair['access']}",
            f"Bearer {'0' * 40}",
            f"Bearer {pair['refresh']}",
        ):
            assert api().get(ME, headers={"Authorization": header}).status_code == 401


def claims_or_none(token: str) -> object:
    """What a token says, if it is one that we might have signed."""
    try:
        return claims(token)
    except jwt.InvalidTokenError:
        return None


class TestAccess:
    def test_lasts_a_quarter_of_an_hour(self, pair, status_with):
        for minutes, status in ((14, 200), (16, 401)):
            with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes)):
                assert status_with(pair["access"]) == status

    def test_ends_with_deactivation_and_stays_so(self, pair, ada, admin, status_with):
        operations.set_active(actor=admin, user=ada, is_active=False)
        assert status_with(pair["access"]) == 401

        operations.set_active(actor=admin, user=ada, is_active=True)
        assert status_with(pair["access"]) == 401

    def test_ends_with_the_user(self, pair, ada, status_with):
        User.objects.filter(user_id=ada.user_id).delete()

        assert status_with(pair["access"]) == 401

    def test_costs_one_query(self, api, pair, django_assert_num_queries):
        with django_assert_num_queries(1):
            answer = api().get(ME, headers={"Authorization": f"Bearer {pair['access']}"})

        assert answer.status_code == 200

    def test_says_what_is_wrong_in_the_shape_of_the_rest(self, api):
        answer = api().get(ME, headers={"Authorization": "Bearer x"}).json()

        assert answer["type"] == "client_error"
        assert [(e["code"], e["attr"]) for e in answer["errors"]] == [("token_not_valid", None)]


def test_the_key_of_tokens_is_not_the_key_of_the_site():
    assert hashlib.sha256(django_settings.SECRET_KEY.encode()).hexdigest() != KEY
    assert django_settings.SECRET_KEY != KEY
