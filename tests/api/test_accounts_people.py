"""``/api/users/…``: oneself, the directory, and what admins change."""

from uuid import UUID

import pytest

from parley.accounts.models import AuditEntry, Role, User
from tests.api.test_accounts_session import Browser
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

ME = "/api/users/me/"
PASSWORD_URL = "/api/users/me/password/"
USERS = "/api/users/"
NEW = "a chair by the window"


def url_of(user: User) -> str:
    return f"{USERS}{user.user_id}/"


def errors(answer) -> list[tuple[str, str | None]]:
    return [(error["code"], error["attr"]) for error in answer.json()["errors"]]


class TestMe:
    def test_shows_my_contact_details(self, api, ada):
        answer = api(ada).get(ME)

        assert answer.status_code == 200
        assert (answer.json()["email"], answer.json()["phone_number"]) == ("ada@example.org", None)

    def test_needs_someone(self, api):
        for call in (api().get(ME), api().patch(ME, {}), api().post(PASSWORD_URL, {})):
            assert call.status_code == 401
            assert call.headers["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_changes_names_and_number(self, api, ada):
        body = {"first_name": " Ada", "last_name": "", "phone_number": "+44 20"}

        answer = api(ada).patch(ME, body).json()

        assert {key: answer[key] for key in body} == body
        assert api(ada).get(ME).json() == answer

    def test_changes_nothing_that_is_not_ones_own_to_change(self, api, ada):
        client = api(ada)
        before = User.objects.filter(user_id=ada.user_id).values().get()
        body = {
            "role": "admin",
            "is_staff": True,
            "is_superuser": True,
            "is_active": False,
            "username": "root",
            "user_id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "created_at": "2000-01-01T00:00:00Z",
            "password": "x",
            "groups": [1],
            "user_permissions": [1],
        }

        assert client.patch(ME, body).status_code == 200

        assert User.objects.filter(user_id=ada.user_id).values().get() == before

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({"first_name": None}, ("null", "first_name")),
            ({"first_name": "x" * 151}, ("max_length", "first_name")),
            ({"last_name": 5}, ("invalid", "last_name")),
            ({"phone_number": "5" * 33}, ("max_length", "phone_number")),
            ({"email": "nope", "current_password": PASSWORD}, ("invalid_email", "email")),
            ({"email": "new@example.org"}, ("required", "current_password")),
            (
                {"email": "new@example.org", "current_password": "wrong"},
                ("wrong_password", "current_password"),
            ),
            ({"email": "BEN@example.org", "current_password": PASSWORD}, ("unique", "email")),
        ],
    )
    def test_names_the_field_that_is_wrong(self, api, ada, ben, body, error):
        answer = api(ada).patch(ME, {"first_name": "Ada"} | body)

        assert (answer.status_code, errors(answer)) == (400, [error])
        assert User.objects.get(user_id=ada.user_id).first_name == ""

    def test_changes_the_address_with_the_password(self, api, ada):
        body = {"email": "new@example.org", "current_password": PASSWORD}

        assert api(ada).patch(ME, body).json()["email"] == "new@example.org"
        assert api(ada).patch(ME, body | {"email": None}).json()["email"] is None

    def test_takes_what_it_showed(self, api, ada):
        shown = api(ada).get(ME).json()

        assert api(ada).patch(ME, shown).json() == shown

    def test_refuses_the_eleventh_wrong_password(self, api, ada):
        client = api(ada)
        body = {"email": "new@example.org", "current_password": "wrong"}
        statuses = [client.patch(ME, body).status_code for _ in range(11)]

        assert statuses == [400] * 10 + [429]

    @pytest.mark.parametrize("method", ["post", "put", "delete"])
    def test_knows_no_other_method(self, api, ada, method):
        assert getattr(api(ada), method)(ME, {}).status_code == 405


class TestPassword:
    BODY = {"current_password": PASSWORD, "new_password": NEW}

    @pytest.fixture
    def proofs(self, api, ada) -> dict[str, Browser | str]:
        """Everything that ada can prove herself by, each twice."""
        credentials = {"username": "ada", "password": PASSWORD}
        found: dict[str, Browser | str] = {}
        for n in (1, 2):
            pair = api().post("/api/token/", credentials).json()
            found[f"bearer {n}"] = f"Bearer {pair['access']}"
            token = api().post("/api/token/opaque/", credentials).json()["token"]
            found[f"token {n}"] = f"Token {token}"
            browser = Browser()
            assert browser.sign_in().status_code == 200
            found[f"session {n}"] = browser
        return found

    def ask(self, api, proof: Browser | str, method: str, url: str, body: object = None):
        if isinstance(proof, Browser):
            return proof.send(method, url, body)
        return getattr(api(), method)(url, body, headers={"Authorization": proof})

    @pytest.mark.parametrize("asking", ["bearer 1", "token 1", "session 1"])
    def test_ends_every_credential_but_the_asking_one(self, api, proofs, asking):
        answer = self.ask(api, proofs[asking], "post", PASSWORD_URL, self.BODY)

        assert (answer.status_code, answer.content) == (204, b"")
        live = {
            name
            for name, proof in proofs.items()
            if self.ask(api, proof, "get", ME).status_code == 200
        }
        assert live == {asking}

    def test_ends_the_refresh_tokens_too(self, api, ada):
        pair = api().post("/api/token/", {"username": "ada", "password": PASSWORD}).json()
        api(ada).post(PASSWORD_URL, self.BODY)

        answer = api().post("/api/token/refresh/", {"refresh": pair["refresh"]})

        assert answer.status_code == 401

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({"current_password": "wrong"}, ("wrong_password", "current_password")),
            ({"current_password": None}, ("null", "current_password")),
            ({"new_password": "short"}, ("weak_password", "new_password")),
            ({"new_password": "ada@example.org"}, ("weak_password", "new_password")),
            ({"new_password": ["x"]}, ("invalid", "new_password")),
            ({"new_password": "a\0aaaaaaaaaa"}, ("invalid_characters", "new_password")),
        ],
    )
    def test_names_the_field_that_is_wrong(self, api, ada, body, error):
        answer = api(ada).post(PASSWORD_URL, self.BODY | body)

        assert (answer.status_code, errors(answer)) == (400, [error])
        assert (
            api().post("/api/token/", {"username": "ada", "password": PASSWORD}).status_code == 200
        )

    def test_refuses_the_eleventh_wrong_one(self, api, ada):
        client = api(ada)
        wrong = self.BODY | {"current_password": "wrong"}
        statuses = [client.post(PASSWORD_URL, wrong).status_code for _ in range(11)]

        assert statuses == [400] * 10 + [429]
        assert client.post(PASSWORD_URL, self.BODY).status_code == 429


class TestDirectory:
    def test_shows_active_people_without_their_contact_details(self, api, ada, ben, person):
        person("gone", is_active=False)

        answer = api(ada).get(USERS)

        assert list(answer.json()) == ["next", "previous", "results"]
        shown = [(u["username"], u["email"]) for u in answer.json()["results"]]
        assert shown == [("ada", "ada@example.org"), ("ben", None)]

    def test_walks_its_pages_both_ways(self, api, ada, person):
        for n in range(5):
            person(f"user{n}", first_name="Ada")

        pages = [api(ada).get(f"{USERS}?search=ada&limit=4").json()]
        pages.append(api(ada).get(pages[0]["next"]).json())
        back = api(ada).get(pages[1]["previous"]).json()

        names = [user["username"] for page in pages for user in page["results"]]
        assert names[0] == "ada"
        assert sorted(names) == ["ada", "user0", "user1", "user2", "user3", "user4"]
        assert (pages[1]["next"], back["results"]) == (None, pages[0]["results"])

    def test_takes_a_cursor_for_its_own_search_alone(self, api, ada, ben):
        first = api(ada).get(f"{USERS}?limit=1").json()
        cursor = first["next"].split("cursor=")[1].split("&")[0]

        for query in (f"search=b&cursor={cursor}", "cursor=x", f"cursor={cursor}x"):
            answer = api(ada).get(f"{USERS}?{query}")
            assert (answer.status_code, errors(answer)) == (400, [("invalid_cursor", "cursor")])

    @pytest.mark.parametrize("limit", ["0", "-1", "201", str(10**19)])
    def test_clamps_the_limit(self, api, ada, limit):
        assert api(ada).get(f"{USERS}?limit={limit}").status_code == 200

    @pytest.mark.parametrize("query", ["limit=x", "limit=²", f"search={'x' * 151}"])
    def test_refuses_other_nonsense(self, api, ada, query):
        assert api(ada).get(f"{USERS}?{query}").status_code == 400

    def test_needs_someone(self, api, ada):
        assert api().get(USERS).status_code == 401
        assert api().get(url_of(ada)).status_code == 401

    @pytest.mark.parametrize("size", [2, 30])
    def test_costs_the_same_at_any_size(self, api, ada, person, size, django_assert_num_queries):
        for n in range(size):
            person(f"user{n:02}")
        client = api(ada)

        with django_assert_num_queries(3):  # the session, its user, the page
            client.get(USERS)


class TestUser:
    def test_is_shown_by_id_with_or_without_dashes(self, api, ada, ben):
        for written in (str(ben.user_id), ben.user_id.hex, str(ben.user_id).upper()):
            answer = api(ada).get(f"{USERS}{written}/")
            assert (answer.status_code, answer.json()["username"]) == (200, "ben")

    @pytest.mark.parametrize("unknown", ["x", "0", str(UUID(int=0)), "9" * 32, "%00"])
    def test_is_not_found_where_there_is_none(self, api, ada, unknown):
        client = api(ada)

        assert client.get(f"{USERS}{unknown}/").status_code in {400, 404}
        assert client.patch(f"{USERS}{unknown}/", {"role": "host"}).status_code in {400, 404}

    def test_shows_contact_details_to_admins(self, api, ada, admin):
        assert api(admin).get(url_of(ada)).json()["email"] == "ada@example.org"

    def test_is_changed_by_admins_alone(self, api, ada, ben):
        for user in (ada, ben):
            for body in ({"role": "admin"}, {"is_active": False}, {}, {"role": 7}):
                answer = api(ada).patch(url_of(user), body)
                assert (answer.status_code, errors(answer)) == (403, [("not_an_admin", None)])

        assert not User.objects.exclude(role=Role.GUEST).exists()

    def test_gets_a_role_which_is_written_down(self, api, ada, admin):
        answer = api(admin).patch(url_of(ada), {"role": "host", "username": "x"})

        assert (answer.status_code, answer.json()["role"]) == (200, "host")
        assert answer.json()["username"] == "ada"
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.actor) == ("user.change_role", admin)

    def test_is_deactivated_and_all_of_theirs_ends(self, api, ada, admin):
        pair = api().post("/api/token/", {"username": "ada", "password": PASSWORD}).json()

        answer = api(admin).patch(url_of(ada), {"is_active": False})

        assert answer.status_code == 200
        header = {"Authorization": f"Bearer {pair['access']}"}
        assert api().get(ME, headers=header).status_code == 401
        assert (
            api().post("/api/token/", {"username": "ada", "password": PASSWORD}).status_code == 401
        )

    @pytest.mark.parametrize("body", [{"role": "guest"}, {"is_active": False}])
    def test_remains_where_nobody_else_is_an_admin(self, api, admin, body):
        answer = api(admin).patch(url_of(admin), body)

        assert (answer.status_code, errors(answer)) == (409, [("last_admin", None)])

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({"role": "king"}, ("invalid_choice", "role")),
            ({"role": None}, ("null", "role")),
            ({"role": ["admin"]}, ("invalid_choice", "role")),
            ({"is_active": None}, ("null", "is_active")),
            ({"is_active": "yes"}, ("invalid", "is_active")),
            ({"is_active": 1}, ("invalid", "is_active")),
        ],
    )
    def test_names_the_field_that_is_wrong(self, api, ada, admin, body, error):
        answer = api(admin).patch(url_of(ada), body)

        assert (answer.status_code, errors(answer)) == (400, [error])
        assert not AuditEntry.objects.exists()


class TestPages:
    """The same addresses, looked at in a browser."""

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("users/", 200),
            ("users/me/", 200),
            ("token/opaque/", 200),
            ("session/", 200),
            ("register/", 405),
            ("token/", 405),
            ("token/refresh/", 405),
            ("token/verify/", 405),
            ("token/blacklist/", 405),
            ("users/me/password/", 405),
        ],
    )
    def test_are_drawn_with_their_forms(self, api, ada, path, status):
        answer = api(ada).get(f"/api/{path}", headers={"Accept": "text/html"})

        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")
        assert b"Traceback" not in answer.content

    def test_sign_someone_up_by_their_form(self, api):
        body = {"username": "ada", "password": PASSWORD, "email": "", "first_name": "Ada"}

        answer = api().post(
            "/api/register/", body, format="multipart", headers={"Accept": "text/html"}
        )

        assert answer.status_code == 201
        assert User.objects.get().email is None
