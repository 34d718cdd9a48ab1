"""The dialects on a server as it is used: what stays out of the log, what is not even read."""

from __future__ import annotations

import httpx
import pytest

from tests.dialects.serving import Served, serving

PASSWORD = "Mitternachts-Dampfer é&+%"
WRONG = "Fahrradklingel=ü/?#"
NAME = "wilhelmina"
JSON = {"Content-Type": "application/json"}


def sign_up(client: httpx.Client, name: str) -> dict[str, str]:
    """Sign up by ``create_user``; return the header that proves it from then on."""
    made = client.post("/create_user/", json={"username": name, "password": PASSWORD})
    assert made.status_code == 201, made.text
    return {"Authorization": f"Token {made.json()['Token']}"}


def speak_of_passwords(url: str) -> list[str]:
    """Say passwords and tokens wherever a client may put them; return what is secret."""
    with httpx.Client(base_url=url) as client:
        proof = sign_up(client, NAME)
        token = proof["Authorization"].split()[1]
        for password in (PASSWORD, WRONG, ""):
            query = {"username": NAME, "password": password}
            client.get("/all/", params=query, headers=proof)
            client.get("/unread", params=query, headers=proof)
            client.put("/mark_read/1/", params=query, headers=proof)
            client.delete("/delete/1", params=query, headers=proof)
            client.post("/write/", params=query, headers=proof, json={"sender": NAME} | query)
            client.get("/mark_read/one", params=query)
            client.get("/nowhere", params=query)
            client.get(f"/all/?password={password}&x=%FF")
            client.post("/api/token/", json=query)
            client.post("/api/token/", data=query)
            client.post("/create_user/", json=query)
            client.post("/create_user/", content=f'{{"password": "{password}"', headers=JSON)
            client.get("/users/login", params=query)
            client.post("/login/", json=query)
            client.post("/register/", json=query | {"email": "a@b.example"})
        client.get("/all/", headers={"Authorization": f"Token{token}"})
        pair = client.post("/api/token/", json={"username": NAME, "password": PASSWORD}).json()
        client.get(
            "/api/messaging/messages/", headers={"Authorization": f"Bearer {pair['access']}"}
        )
        client.get(f"/all/?token={token}")
    return [NAME, "Mitternachts", "Dampfer", "Fahrrad", "klingel", token, *pair.values()]


class TestLog:
    @pytest.mark.parametrize("log_format", ["console", "json"])
    def test_has_no_password_or_token_wherever_a_client_puts_one(self, log_format):
        with serving(LOGGER_LEVEL="DEBUG", PARLEY_LOG_FORMAT=log_format) as server:
            secrets = speak_of_passwords(server.url)
            server.stop()

            log = server.log()
        assert "/all/" in log
        assert "/mark_read/1/" in log
        assert [secret for secret in secrets if secret in log] == []
        assert "Traceback" not in log


@pytest.fixture(scope="module")
def server():
    with serving(PARLEY_BODY_LIMIT="2048", PARLEY_DIALECTS="bearer_mail") as found:
        yield found


def chunks(size: int):
    for _ in range(size // 256):
        yield b"x" * 256


class TestGuard:
    def test_refuses_a_huge_body_in_the_words_of_the_door(self, server: Served):
        for body in (b"x" * 4096, chunks(4096)):
            answer = httpx.post(f"{server.url}/api/messaging/write/", content=body, headers=JSON)

            assert answer.status_code == 413
            assert answer.text == '{"detail":"The request is too large."}'
            assert answer.headers["Content-Type"] == "application/json"

    def test_refuses_an_address_that_is_too_long(self, server: Served):
        answer = httpx.get(f"{server.url}/api/messaging/messages/?x={'x' * 9000}")

        assert answer.status_code == 414
        assert answer.text == '{"detail":"The address is too long."}'


class TestMounting:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/create_user/"),
            ("POST", "/write"),
            ("GET", "/all/"),
            ("PUT", "/mark_read/1/"),
            ("GET", "/users/token"),
            ("GET", "/messages/read_message"),
            ("POST", "/register/"),
            ("GET", "/users-list/"),
        ],
    )
    def test_answers_404_where_a_door_is_off(self, server: Served, method, path):
        answer = httpx.request(method, f"{server.url}{path}")

        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "not_found"

    def test_answers_where_a_door_is_on(self, server: Served):
        assert httpx.get(f"{server.url}/api/messaging/messages/").status_code == 401
        assert httpx.get(f"{server.url}/").json()["message"].startswith("Welcome")

    def test_shows_the_places_of_the_api_where_no_door_has_a_welcome(self):
        with serving(PARLEY_DIALECTS="none") as server:
            assert httpx.get(f"{server.url}/").json()["api"] == f"{server.url}/api/"
            assert httpx.get(f"{server.url}/api/messaging/messages/").status_code == 404

    def test_says_which_names_there_are(self):
        with (
            pytest.raises(AssertionError, match="expected names among bearer_mail"),
            serving(PARLEY_DIALECTS="bearer_mail, pigeon"),
        ):
            pass
