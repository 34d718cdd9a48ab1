"""The security log: what is written about whom, and what never is."""

import pytest

from tests.api.test_accounts_session import Browser
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"
WRONG = "wrong-password-in-the-log"


@pytest.fixture
def written(caplog):
    """Everything that the security log says so far, an event a line."""
    caplog.set_level("DEBUG")

    def lines() -> list[dict[str, object]]:
        return [dict(r.msg) for r in caplog.records if r.name == "parley.security"]

    return lines


def named(lines: list[dict[str, object]]) -> list[object]:
    return [line["event"] for line in lines]


class TestSecurityLog:
    def test_says_who_from_where_and_in_which_request(self, api, ada, written):
        body = {"username": "ada", "password": PASSWORD}
        api().post("/api/token/", body, REMOTE_ADDR=ADDRESS, headers={"X-Request-ID": "abc-123"})

        [line] = written()
        assert (line["event"], line["user_id"]) == ("sign_in", str(ada.user_id))
        assert (line["address"], line["request_id"]) == (ADDRESS, "abc-123")
        assert line["timestamp"].endswith("Z")

    def test_has_each_thing_that_matters(self, api, ada, admin, written):
        credentials = {"username": "ada", "password": PASSWORD}
        pair = api().post("/api/token/", credentials).json()
        api().post("/api/token/", credentials | {"password": WRONG})
        api().post("/api/token/", {"username": WRONG, "password": WRONG})
        key = api().post("/api/token/opaque/", credentials).json()["token"]
        header = {"Authorization": f"Token {key}"}
        token_id = api().get("/api/token/opaque/", headers=header).json()["results"][0]["id"]
        api().delete(f"/api/token/opaque/{token_id}/", headers=header)
        api().post("/api/token/blacklist/", {"refresh": pair["refresh"]})
        api(admin).patch(f"/api/users/{ada.user_id}/", {"role": "host"})

        assert named(written()) == [
            "sign_in",
            "sign_in_failed",
            "sign_in_failed",
            "sign_in",
            "token_created",
            "token_revoked",
            "sign_out",
            "person_changed",
        ]
        changed = written()[-1]
        assert (changed["actor_id"], changed["role"]) == (str(admin.user_id), "host")

    def test_has_the_session_and_the_limit(self, ada, written):
        browser = Browser()
        browser.sign_in()
        browser.send("delete", "/api/session/")
        for _ in range(11):
            browser.sign_in(WRONG)

        assert named(written())[:2] == ["sign_in", "sign_out"]
        assert named(written())[-1] == "sign_in_throttled"

    def test_never_has_a_secret(self, api, ada, caplog, capfd):
        caplog.set_level("DEBUG")
        credentials = {"username": "ada", "password": PASSWORD}
        pair = api().post("/api/token/", credentials).json()
        key = api().post("/api/token/opaque/", credentials).json()["token"]
        api().post("/api/token/", {"username": WRONG, "password": WRONG})
        for header in (f"Bearer {pair['access']}x", f"Token {key}x", f"Bearer {pair['access']}"):
            api().get("/api/users/me/", headers={"Authorization": header})
        api().post("/api/token/refresh/", {"refresh": pair["refresh"]})

        out = caplog.text + "".join(capfd.readouterr())
        for secret in (PASSWORD, WRONG, key, pair["access"], pair["refresh"]):
            assert secret not in out
