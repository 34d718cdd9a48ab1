import logging

import pytest
from django.db import OperationalError
from django.test import Client

from parley.kernel.errors import Unavailable
from parley.messaging import queries
from tests.api.shapes import error

pytestmark = pytest.mark.django_db

PATHS = ["/", "/api/", "/api/nowhere/", "/nowhere", "/healthz", "/api/messages/", "/docs/",
         "/static/web/page.css", "/api-auth/login/", "/admin/login/"]  # fmt: skip


@pytest.fixture
def client():
    """A client that gets an answer to what goes wrong, too."""
    return Client(raise_request_exception=False)


def break_with(monkeypatch, failure):
    def fail(**_):
        raise failure

    monkeypatch.setattr(queries, "count_unread", fail)


class TestRequestId:
    @pytest.mark.parametrize("path", PATHS)
    def test_is_on_every_answer(self, client, path):
        ids = {client.get(path).headers["X-Request-ID"] for _ in range(2)}

        assert len(ids) == 2

    def test_is_kept_if_it_is_sane(self, client):
        for given in ("abc-123", "a" * 128, "01a1f8d6-ba02-7669-bb5a-06697531586d"):
            answer = client.get("/healthz", headers={"X-Request-ID": given})
            assert answer.headers["X-Request-ID"] == given

    @pytest.mark.parametrize("given", ["", " ", "a b", "a\x1bb", "é", "x" * 129, "<script>"])
    def test_is_replaced_if_it_is_not(self, client, given):
        answer = client.get("/healthz", headers={"X-Request-ID": given})

        assert answer.headers["X-Request-ID"] != given
        assert len(answer.headers["X-Request-ID"]) == 32


class TestHeaders:
    @pytest.mark.parametrize("path", PATHS)
    def test_protect_every_answer(self, client, path):
        headers = client.get(path).headers

        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]

    def test_keep_private_what_is_one_s_own(self, api, ada):
        for path in ("/api/messages/", "/api/users/me/", "/api/nowhere/", "/admin/"):
            assert api(ada).get(path).headers["Cache-Control"] == "no-store"

    def test_open_to_no_other_site(self, client):
        answer = client.get("/api/", headers={"Origin": "https://evil.example"})

        assert "Access-Control-Allow-Origin" not in answer.headers


class TestErrors:
    @pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
    def test_of_an_unknown_address_are_json(self, client, method):
        answer = getattr(client, method)("/api/nowhere/", headers={"Accept": "text/html"})

        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/json"
        assert error(answer) == ("not_found", None)

    def test_outside_the_api_are_a_page_for_people(self, client):
        page = client.get("/nowhere", headers={"Accept": "text/html"})

        assert page.status_code == 404
        assert b"There is nothing here" in page.content

    def test_of_a_foreign_host_are_refused(self, client):
        answer = client.get("/api/", headers={"Host": "evil.example"})

        assert (answer.status_code, error(answer)) == (400, ("parse_error", None))

    def test_that_nobody_foresaw_tell_nothing_and_are_logged(
        self, client, ada, monkeypatch, caplog
    ):
        break_with(monkeypatch, RuntimeError("a secret from /srv"))
        client.force_login(ada)

        with caplog.at_level(logging.ERROR):
            answer = client.get("/api/unread/")

        assert (answer.status_code, error(answer)) == (500, ("error", None))
        assert b"secret" not in answer.content
        assert [r.exc_info[1].args for r in caplog.records if r.name == "parley.http.refusals"] == [
            ("a secret from /srv",)
        ]

    @pytest.mark.parametrize(
        ("failure", "status"),
        [
            (Unavailable(), 503),
            (OperationalError("server closed the connection unexpectedly"), 503),
            (OperationalError("database or disk is full"), 507),
        ],
        ids=repr,
    )
    def test_of_a_database_in_trouble_say_to_try_again(
        self, client, ada, monkeypatch, failure, status
    ):
        break_with(monkeypatch, failure)
        client.force_login(ada)

        answer = client.get("/api/unread/")

        assert answer.status_code == status
        assert b"server closed" not in answer.content
        if status == 503:
            assert answer.headers["Retry-After"] == "1"

    def test_before_any_view_are_json_too(self, client, monkeypatch):
        from django.contrib.sessions.middleware import SessionMiddleware

        def fail(self, request):
            raise OperationalError("gone")

        monkeypatch.setattr(SessionMiddleware, "process_request", fail)

        answer = client.get("/api/")

        assert (answer.status_code, error(answer)) == (503, ("unavailable", None))

    def test_of_csrf_are_json_in_the_api(self, ada):
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)

        answer = client.post("/api/messages/", {}, content_type="application/json")

        assert (answer.status_code, error(answer)) == (403, ("csrf_failed", None))


class TestBounds:
    def test_hold_without_a_guard_before_them(self, client):
        answer = client.generic("POST", "/api/register/", b"x" * (1024 * 1024 + 1))

        assert (answer.status_code, error(answer)) == (413, ("request_too_large", None))

    @pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 5000, "²"])
    def test_take_a_length_that_is_none_for_too_much(self, client, length):
        answer = client.generic("POST", "/api/register/", b"{}", CONTENT_LENGTH=length)

        assert answer.status_code == 413

    def test_obey_the_setting(self, client, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"body_limit": 1024})

        assert client.generic("POST", "/api/register/", b"x" * 1025).status_code == 413

    @pytest.mark.parametrize("path", ["/api/%00/", "/%00", "/api/?a=%00", "/?a=%ff", "/api/\ufffd"])
    def test_refuse_an_address_that_is_not_text(self, client, path):
        assert client.get(path).status_code == 400

    def test_refuse_a_form_of_too_many_fields(self, api, ada):
        form = {f"f{n}": "x" for n in range(2_000)}

        answer = api(ada).post("/api/messages/", form, format="multipart")

        assert (answer.status_code, error(answer)[0]) == (400, "parse_error")


class TestSlashes:
    @pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
    def test_are_added_with_the_request_as_it_came(self, client, method):
        answer = getattr(client, method)("/api/messages?limit=2")

        assert answer.status_code == 308
        assert answer.headers["Location"] == "/api/messages/?limit=2"

    def test_lead_only_to_what_is_there(self, client):
        assert client.post("/api/nowhere").status_code == 404
