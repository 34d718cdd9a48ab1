"""``/api/session/``, and the forms that sign people in: cookies and CSRF as Django's."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from parley.accounts import operations
from parley.accounts.models import Role
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

URL = "/api/session/"
ME = "/api/users/me/"
FORMS = ["/api-auth/login/", "/admin/login/"]


class Browser:
    """A client that keeps cookies, and is asked for CSRF tokens as a real one is."""

    def __init__(self) -> None:
        self.client = APIClient(enforce_csrf_checks=True)

    def token(self) -> str:
        return self.client.get(URL).json()["csrf_token"]

    def sign_in(self, password: str = PASSWORD, **fields: object):
        body = (fields or {"username": "ada"}) | {"password": password}
        return self.send("post", URL, body)

    def send(self, method: str, url: str, body: object = None):
        headers = {"X-CSRFToken": self.token()}
        return getattr(self.client, method)(url, body, headers=headers)

    @property
    def session(self) -> str | None:
        cookie = self.client.cookies.get("sessionid")
        return cookie.value if cookie else None


@pytest.fixture
def browser() -> Browser:
    return Browser()


class TestSession:
    def test_is_nobodys_at_first(self, browser):
        answer = browser.client.get(URL)

        assert answer.status_code == 200
        assert list(answer.json()) == ["user", "csrf_token"]
        assert answer.json()["user"] is None
        assert "csrftoken" in answer.cookies

    def test_is_not_changed_by_other_methods(self, browser):
        assert browser.client.put(URL).status_code == 405

    @pytest.mark.parametrize("fields", [{"username": "ada"}, {"email": "ada@example.org"}])
    def test_is_ones_own_after_signing_in(self, browser, ada, fields):
        answer = browser.sign_in(**fields)

        assert (answer.status_code, answer.json()["username"]) == (200, "ada")
        assert browser.client.get(URL).json()["user"] == answer.json()
        assert browser.client.get(ME).json() == answer.json()

    def test_keeps_its_cookie_from_scripts_and_other_sites(self, browser, ada):
        cookie = browser.sign_in().cookies["sessionid"]

        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"

    def test_gets_another_key_with_the_sign_in(self, browser, ada, ben):
        browser.sign_in()
        first = browser.session
        browser.sign_in(username="ben")

        assert browser.session != first
        browser.client.cookies["sessionid"] = first
        assert browser.client.get(ME).status_code == 401

    def test_ends_at_sign_out(self, browser, ada):
        browser.sign_in()
        key = browser.session

        answer = browser.send("delete", URL)

        assert (answer.status_code, answer.content) == (204, b"")
        browser.client.cookies["sessionid"] = key
        assert browser.client.get(ME).status_code == 401
        assert browser.client.get(URL).json()["user"] is None

    def test_can_be_left_by_nobody(self, browser):
        assert browser.send("delete", URL).status_code == 204

    @pytest.mark.parametrize("method", ["post", "delete"])
    @pytest.mark.parametrize("headers", [{}, {"X-CSRFToken": "x" * 64}, {"X-CSRFToken": "short"}])
    def test_is_not_changed_without_its_csrf_token(self, browser, ada, method, headers):
        body = {"username": "ada", "password": PASSWORD}

        answer = getattr(browser.client, method)(URL, body, headers=headers)

        assert answer.status_code == 403
        assert answer.json()["errors"][0]["code"] == "csrf_failed"
        assert browser.session is None

    def test_changes_nothing_elsewhere_without_it(self, browser, ada):
        browser.sign_in()

        answer = browser.client.patch(ME, {"first_name": "Ada"})

        assert answer.status_code == 403
        assert browser.send("patch", ME, {"first_name": "Ada"}).status_code == 200

    def test_refuses_wrong_credentials(self, browser, ada):
        answer = browser.sign_in("wrong")

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer.json()["errors"][0]["code"] == "no_active_account"

    def test_refuses_the_eleventh_wrong_password(self, browser, ada):
        statuses = [browser.sign_in("wrong").status_code for _ in range(11)]

        assert statuses == [401] * 10 + [429]

    def test_ends_with_deactivation_and_stays_so(self, browser, ada, admin):
        browser.sign_in()
        operations.set_active(actor=admin, user=ada, is_active=False)
        assert browser.client.get(ME).status_code == 401

        operations.set_active(actor=admin, user=ada, is_active=True)
        assert browser.client.get(ME).status_code == 401

    def test_ends_when_an_admin_resets_the_password(self, browser, ada, admin):
        browser.sign_in()

        operations.reset_password(actor=admin, user=ada, new_password="a chair by the window")

        assert browser.client.get(ME).status_code == 401


class TestForms:
    """The browsable API's and the admin's own login forms."""

    @pytest.fixture
    def page(self) -> Client:
        return Client()

    @pytest.mark.parametrize("url", FORMS)
    @pytest.mark.parametrize("login", ["boss", "BOSS@example.org"])
    def test_take_username_or_address(self, page, person, url, login):
        person("boss", role=Role.ADMIN)

        answer = page.post(url, {"username": login, "password": PASSWORD, "next": "/api/"})

        assert (answer.status_code, answer.headers["Location"]) == (302, "/api/")

    @pytest.mark.parametrize("url", FORMS)
    def test_refuse_the_eleventh_wrong_password(self, page, person, url):
        person("boss", role=Role.ADMIN)
        answers = [page.post(url, {"username": "boss", "password": "no"}) for _ in range(11)]

        assert [answer.status_code for answer in answers] == [200] * 10 + [429]
        assert 290 <= int(answers[-1].headers["Retry-After"]) <= 300
        assert page.post(url, {"username": "boss", "password": PASSWORD}).status_code == 429

    @pytest.mark.parametrize("url", FORMS)
    def test_refuse_what_comes_from_elsewhere(self, person, url):
        person("boss", role=Role.ADMIN)
        page = Client(enforce_csrf_checks=True)

        answer = page.post(url, {"username": "boss", "password": PASSWORD})

        assert answer.status_code == 403

    def test_of_the_admin_take_admins_alone(self, page, ada):
        answer = page.post("/admin/login/", {"username": "ada", "password": PASSWORD})

        assert answer.status_code == 200
        assert page.get("/admin/").status_code == 302
