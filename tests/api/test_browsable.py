import re

import pytest
from django.test import Client

from tests.conftest import PASSWORD
from tests.talk import direct, write_to

pytestmark = pytest.mark.django_db

PEOPLE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Browser:
    """A person's browser: asks for pages, keeps cookies, sends the forms that it is shown."""

    def __init__(self):
        self.client = Client(enforce_csrf_checks=True)

    def get(self, path):
        page = self.client.get(path, headers=PEOPLE)
        return page.status_code, page.content.decode()

    def send(self, path, action=None, **fields):
        """Fill in the page's first form and send it."""
        _, text = self.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)[1]
        page = self.client.post(
            action or path, fields | {"csrfmiddlewaretoken": token}, headers=PEOPLE
        )
        return page.status_code, page.content.decode(), page.headers.get("Location")

    def sign_in(self, name):
        return self.send("/api-auth/login/", username=name, password=PASSWORD)


@pytest.fixture
def browser():
    return Browser()


class TestSigningIn:
    def test_is_offered_to_strangers(self, browser):
        status, text = browser.get("/api/messages/")

        assert status == 401
        assert 'href="/api-auth/login/?next=/api/messages/"' in text
        assert "Login" in text
        assert "Logout" not in text

    @pytest.mark.parametrize("name", ["ada", "ADA", "ada@example.org"])
    def test_takes_a_username_or_an_address(self, browser, ada, name):
        status, _, location = browser.sign_in(name)

        assert (status, location) == (302, "/api/")
        assert "Logout" in browser.get("/api/messages/")[1]

    def test_goes_where_it_was_asked_to(self, browser, ada):
        _, _, location = browser.send(
            "/api-auth/login/", username="ada", password=PASSWORD, next="/api/messages/"
        )

        assert location == "/api/messages/"

    def test_goes_to_no_other_site(self, browser, ada):
        _, _, location = browser.send(
            "/api-auth/login/", username="ada", password=PASSWORD, next="https://evil.example/"
        )

        assert location == "/api/"

    @pytest.mark.parametrize("password", ["wrong", "", "a\0b"])
    def test_refuses_a_wrong_password(self, browser, ada, password):
        status, text, _ = browser.send("/api-auth/login/", username="ada", password=password)

        assert status == 200
        assert 'class="error"' in text

    def test_needs_the_form_s_own_token(self, ada):
        client = Client(enforce_csrf_checks=True)

        answer = client.post("/api-auth/login/", {"username": "ada", "password": PASSWORD})

        assert answer.status_code == 403

    def test_ends_with_logout(self, browser, ada):
        browser.sign_in("ada")

        status, _, location = browser.send("/api/", action="/api-auth/logout/")

        assert (status, location) == (302, "/api/")
        assert browser.get("/api/messages/")[0] == 401


class TestPages:
    @pytest.mark.parametrize(
        "path",
        [
            "/api/",
            "/api/conversations/",
            "/api/conversations/{talk}/",
            "/api/conversations/{talk}/messages/",
            "/api/conversations/{talk}/participants/",
            "/api/messages/",
            "/api/messages/{message}/",
            "/api/messages/{message}/receipts/",
            "/api/unread/",
            "/api/sync/",
            "/api/blocks/",
            "/api/users/",
            "/api/users/me/",
            "/api/token/opaque/",
        ],
    )
    def test_are_there_for_every_address(self, browser, ada, ben, path):
        sent = write_to(ben, ada, body="<script>alert(1)</script>")
        browser.sign_in("ada")

        status, text = browser.get(path.format(talk=sent.conversation_id, message=sent.message_id))

        assert status == 200
        assert "<title>" in text
        assert "<script>alert" not in text
        assert not re.search(r"<script>|\son\w+=|style=", text)

    @pytest.mark.parametrize(
        "path",
        ["read/", "star/"],
    )
    def test_of_what_is_only_done_show_how(self, browser, ada, ben, path):
        sent = write_to(ben, ada)
        browser.sign_in("ada")

        status, text = browser.get(f"/api/messages/{sent.message_id}/{path}")

        assert status == 405
        assert 'data-method="PUT"' in text
        assert 'data-method="DELETE"' in text

    def test_lead_on(self, browser, ada, ben):
        talk = direct(ada, ben)
        browser.sign_in("ada")

        _, text = browser.get(f"/api/conversations/{talk}/")

        for below in ("messages/", "participants/", "read/", "unread/"):
            assert f'href="/api/conversations/{talk}/{below}"' in text

    def test_load_everything_from_here(self, browser):
        _, text = browser.get("/api/")

        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
        assert len(assets) > 5
        for asset in assets:
            assert browser.client.get(asset).status_code == 200
        assert "https://" not in text


class TestForms:
    def test_send_a_message(self, browser, ada, ben):
        browser.sign_in("ada")

        status, text, _ = browser.send(
            "/api/messages/",
            conversation="",
            recipient="ben",
            recipients="",
            message_body="by hand",
            subject="",
            client_id="",
            reply_to="",
        )

        assert status == 201
        assert "by hand" in text

    def test_write_to_several(self, browser, ada, ben, cyd):
        browser.sign_in("ada")

        status, text, _ = browser.send(
            "/api/messages/", recipients="ben, cyd\r\n", message_body="to both"
        )

        assert status == 201
        assert "to both" in text

    def test_begin_a_group(self, browser, ada, ben, cyd):
        browser.sign_in("ada")

        status, text, _ = browser.send(
            "/api/conversations/",
            participants=f"{ben.user_id} {cyd.user_id}",
            kind="group",
            title="By hand",
        )

        assert status == 201
        assert "By hand" in text

    def test_read_up_to_a_message(self, browser, ada, ben):
        sent = write_to(ben, ada)
        browser.sign_in("ada")

        status, text, _ = browser.send(f"/api/conversations/{sent.conversation_id}/read/", seq="1")

        assert status == 200
        assert "unread_count" in text

    def test_are_refused_with_the_reason(self, browser, ada):
        browser.sign_in("ada")

        status, text, _ = browser.send("/api/messages/", recipient="nobody", message_body="x")

        assert status == 400
        assert "does_not_exist" in text

    def test_refuse_text_that_cannot_be_kept(self, browser, ada, ben):
        browser.sign_in("ada")

        status, text, _ = browser.send("/api/messages/", recipient="ben", message_body="a\0b")

        assert status == 400
        assert "invalid_characters" in text

    def test_show_what_is_there_to_be_changed(self, browser, ada, ben):
        sent = write_to(ada, ben, body="as it is")
        browser.sign_in("ada")

        _, text = browser.get(f"/api/messages/{sent.message_id}/")

        assert "&quot;message_body&quot;: &quot;as it is&quot;" in text.partition("<textarea")[2]


class TestJson:
    def test_is_what_programs_get(self, client):
        for accepted in ("*/*", "application/json", "text/plain;q=0.1,*/*"):
            answer = client.get("/api/", headers={"Accept": accepted})
            assert answer.headers["Content-Type"] == "application/json"

    def test_can_be_asked_for_in_a_browser(self, client):
        answer = client.get("/api/?format=json", headers=PEOPLE)

        assert answer.headers["Content-Type"] == "application/json"

    def test_lists_the_main_addresses(self, client):
        found = client.get("/api/").json()

        assert found["messages"] == "http://testserver/api/messages/"
        assert {"users", "conversations", "unread", "sync", "blocks", "schema"} < set(found)
