"""What another site may have made a browser send is refused; a program's own requests are not."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory

from parley.http.csrf import why_forged
from tests.conftest import PASSWORD

SECRET = "s" * 32
OWN, OTHER = "https://testserver", "https://elsewhere.example"


def asked(token: str | None = SECRET, form: str | None = None, **headers: str):
    """A request under HTTPS with the cookie; the token is in a header, or in a form."""
    if token is not None:
        headers["X-CSRFToken"] = token
    data = {} if form is None else {"csrfmiddlewaretoken": form}
    request = RequestFactory().post("/", data, secure=True, headers=headers)
    request.COOKIES["csrftoken"] = SECRET
    return request


class TestWhyForged:
    @pytest.mark.parametrize("headers", [{}, {"Referer": f"{OWN}/page"}, {"Origin": OWN}])
    def test_lets_pass_what_bears_the_token_in_a_header(self, headers):
        assert why_forged(asked(**headers)) is None

    @pytest.mark.parametrize(
        "headers", [{"Referer": f"{OTHER}/page"}, {"Origin": OTHER}, {"Origin": "null"}]
    )
    def test_refuses_what_comes_from_another_site(self, headers):
        assert why_forged(asked(**headers)) is not None

    def test_refuses_what_bears_no_token_or_another(self):
        assert why_forged(asked(None)) == "CSRF token missing."
        assert why_forged(asked("x" * 32)) is not None

    def test_refuses_a_form_that_does_not_say_where_it_comes_from(self):
        assert why_forged(asked(None, form=SECRET)) is not None
        assert why_forged(asked(form=SECRET)) is not None
        assert why_forged(asked(None, form=SECRET, Referer=f"{OWN}/page")) is None


@pytest.mark.django_db
class TestUnderHTTPS:
    def test_clients_of_session_mail_sign_in_and_write(self, ada):
        client = Client(enforce_csrf_checks=True)

        def post(path: str, **body: object):
            token = client.get("/users/token", secure=True).json()["csrfToken"]
            headers = {"X-CSRFToken": token}
            return client.post(path, body, "application/json", secure=True, headers=headers)

        signed_in = post("/users/login", username="ada", password=PASSWORD)
        written = post("/messages/write_message", receiver_id=0, body="Hello", subject="Hello")

        assert signed_in.status_code == 200
        assert written.json() == {"error": "The receiver_id: '0' is not exists"}
