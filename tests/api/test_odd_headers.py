"""Headers that no client should send: each is answered, and never by a 500."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

PATHS = (
    "/",
    "/api/",
    "/api/messages/",
    "/api/docs/",
    "/api/schema/",
    "/nowhere",
    "/api/nowhere/",
    "/healthz",
)
POSTED = (
    "/api/messages/",
    "/api/session/",
    "/api/register/",
    "/api/token/",
    "/api-auth/login/",
    "/admin/login/",
)
LONG = "x" * 500
MEDIA = (
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=\xff",
    f"multipart/form-data; boundary={LONG}",
    "multipart/form-data; boundary=b",
    "application/json; charset=utf-16",
    "application/json; charset=\xff",
    "application/x-www-form-urlencoded; charset=nope",
    "application/x-www-form-urlencoded; charset=utf-16",
    "",
    "/",
    ";",
    "application/json;" + "a=b;" * 500,
)
FILE = (
    b'--b\r\nContent-Disposition: form-data; name="username"; filename="x"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n--b--"
)
BODIES = (
    b"{}",
    b"a=%00&b=\xff",
    b"\xff" * 100,
    b"--b\r\n",
    FILE,
)
ACCEPTED = (
    "",
    "x",
    "*",
    "/",
    ";",
    ", ,",
    "a/b/c",
    "*/*;q=0",
    "text/html;q=abc",
    "text/html;charset=\xff",
    "application/json;;;",
    "application/json;version=9",
    "application/json;indent=99999999999",
    "application/json;indent=x",
    ",;" * 2000,
)


@pytest.fixture(params=[True, False], ids=["strict", "lenient"])
def client(request, ada):
    """Someone who is signed in, with and without Django's look at CSRF tokens."""
    found = Client(raise_request_exception=False, enforce_csrf_checks=request.param)
    found.force_login(ada)
    return found


class TestHeader:
    @pytest.mark.parametrize("path", PATHS)
    def test_of_what_is_accepted(self, client, path):
        for accepted in ACCEPTED:
            answer = client.get(path, headers={"Accept": accepted})
            assert answer.status_code < 500, accepted

    @pytest.mark.parametrize("path", POSTED)
    def test_of_what_is_sent(self, client, path):
        for media in MEDIA:
            for body in BODIES:
                answer = client.generic("POST", path, body, content_type=media)
                assert answer.status_code < 500, (media, body)

    @pytest.mark.parametrize(
        "proof",
        ["", " ", "Bearer", "Bearer \xff", "Bearer a.b.c", "Bearer " + LONG, "Token", "Token \xff",
         "Token a b", "Basic x", "\xff"],
    )  # fmt: skip
    def test_of_proof_that_proves_nothing(self, proof):
        answer = Client(raise_request_exception=False).get(
            "/api/messages/", headers={"Authorization": proof}
        )

        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "cookie",
        ["sessionid=\xff", f"sessionid={LONG}", "sessionid=%00", "sessionid=';--", "csrftoken=\xff",
         "=;=;="],
    )  # fmt: skip
    def test_of_cookies(self, cookie):
        answer = Client(raise_request_exception=False).get(
            "/api/messages/", headers={"Cookie": cookie}
        )

        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "name",
        ["If-Modified-Since", "If-None-Match", "Range", "X-Forwarded-For", "Forwarded", "Origin",
         "X-CSRFToken", "Referer", "X-HTTP-Method-Override", "Content-Encoding", "Expect"],
    )  # fmt: skip
    def test_of_other_kinds(self, client, name):
        for value in ("\xff", LONG, "bytes=0-1", "null"):
            for method in ("get", "post"):
                answer = getattr(client, method)("/api/messages/", headers={name: value})
                assert answer.status_code < 500, value


class TestMethod:
    @pytest.mark.parametrize("path", PATHS[1:5])
    def test_that_only_asks_is_answered(self, client, path):
        for method in ("HEAD", "OPTIONS"):
            assert client.generic(method, path).status_code < 500
        assert client.generic("TRACE", path).status_code in (403, 405)
