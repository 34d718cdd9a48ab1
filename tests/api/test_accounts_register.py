"""``POST /api/register/``."""

import pytest

from parley.accounts.models import User
from tests.conftest import PASSWORD
from tests.talk import in_parallel

pytestmark = pytest.mark.django_db

URL = "/api/register/"
KEYS = [
    "user_id",
    "username",
    "first_name",
    "last_name",
    "email",
    "phone_number",
    "role",
    "created_at",
]


@pytest.fixture
def register(api):
    def post(**body: object):
        return api().post(URL, {"username": "ada", "password": PASSWORD} | body)

    return post


class TestRegister:
    def test_answers_the_user(self, register):
        answer = register(email="Ada@example.org", first_name="Ada", phone_number="+44")

        assert answer.status_code == 201
        assert list(answer.json()) == KEYS
        user = User.objects.get()
        assert answer.json() == {
            "user_id": str(user.user_id),
            "username": "ada",
            "first_name": "Ada",
            "last_name": "",
            "email": "Ada@example.org",
            "phone_number": "+44",
            "role": "guest",
            "created_at": f"{user.created_at:%Y-%m-%dT%H:%M:%S.%f}Z",
        }

    @pytest.mark.parametrize("none", [None, ""])
    def test_takes_no_address_and_no_number(self, register, none):
        answer = register(email=none, phone_number=none).json()

        assert (answer["email"], answer["phone_number"]) == (None, None)

    def test_gives_nobody_more_than_a_guest_has(self, register):
        answer = register(
            role="admin",
            is_staff=True,
            is_superuser=True,
            is_active=False,
            user_id="01890a5d-ac96-774b-bcce-b302099a8057",
            created_at="2000-01-01T00:00:00Z",
            groups=[1],
            user_permissions=[1],
            email_verified=True,
            security_stamp="x",
            unknown={"a": 1},
        )

        user = User.objects.get()
        assert answer.json()["role"] == "guest"
        assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)
        assert str(user.user_id) != "01890a5d-ac96-774b-bcce-b302099a8057"
        assert user.created_at.year > 2000
        assert user.security_stamp != "x"

    @pytest.mark.parametrize("field", ["username", "password"])
    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (None, "null"),
            (7, "invalid"),
            (True, "invalid"),
            (["ada"], "invalid"),
            ({"$ne": ""}, "invalid"),
            ("", "blank"),
            ("  ", "blank"),
            ("a\0b", "invalid_characters"),
            ("x" * 5000, "max_length"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, register, field, value, code):
        answer = register(**{field: value})

        assert answer.status_code == 400
        assert answer.json()["type"] == "validation_error"
        [error] = answer.json()["errors"]
        assert (error["attr"], error["code"]) == (field, code)
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "nope"),
            ("email", 5),
            ("first_name", None),
            ("first_name", "x" * 151),
            ("last_name", []),
            ("phone_number", "5" * 33),
            ("username", "a@b"),
            ("username", "аdmin"),
            ("username", "\ud800"),
            ("password", "12345678"),
        ],
    )
    def test_names_every_other_field_too(self, api, field, value):
        import json

        body = json.dumps({"username": "ada", "password": PASSWORD} | {field: value})
        answer = api().post(URL, body, content_type="application/json")

        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, field)

    def test_names_all_missing_fields(self, api):
        errors = api().post(URL, {}).json()["errors"]

        assert {(e["attr"], e["code"]) for e in errors} == {
            ("username", "required"),
            ("password", "required"),
        }

    def test_says_that_a_name_is_taken(self, register, ada):
        [error] = register(username="ADA").json()["errors"]

        assert (error["attr"], error["code"]) == ("username", "unique")

    @pytest.mark.parametrize("body", ["[]", '"x"', "7", "null", "{", "", '{"username": NaN}'])
    def test_refuses_what_is_no_object(self, api, body):
        answer = api().post(URL, body, content_type="application/json")

        assert answer.status_code == 400

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_knows_no_other_method(self, api, method):
        assert getattr(api(), method)(URL).status_code == 405

    def test_refuses_another_media_type(self, api):
        assert api().post(URL, "x", content_type="text/plain").status_code == 415

    def test_is_answered_whatever_credential_comes_along(self, api):
        client = api()
        client.credentials(HTTP_AUTHORIZATION="Bearer stale")

        assert client.post(URL, {"username": "ada", "password": PASSWORD}).status_code == 201

    def test_lets_an_address_sign_up_so_often(self, settings, register):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_signup": "2/hour"})
        statuses = [register(username=f"ada{n}").status_code for n in range(3)]
        refused = register(username="another")

        assert statuses == [201, 201, 429]
        assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
        assert refused.json()["errors"][0]["code"] == "throttled"


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestRegisterAtOnce:
    def test_gives_a_name_to_exactly_one(self, register):
        came = in_parallel([register, lambda: register(username="Ada")] * 2)

        answers = [(a.status_code, a.json().get("errors", [{}])[0].get("attr")) for a in came]
        assert sorted(answers, key=str) == [(201, None)] + [(400, "username")] * 3
        assert User.objects.count() == 1
