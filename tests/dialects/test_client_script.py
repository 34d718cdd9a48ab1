"""``test_requests.py`` at the root: the client that ``session_mail`` was shipped with."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.conftest import PASSWORD
from tests.dialects.serving import ROOT

SCRIPT = ROOT / "test_requests.py"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def script(live_server, monkeypatch):
    """The script as a module, speaking to a server, of which loading it asked nothing."""
    monkeypatch.setenv("BASE_URL", live_server.url)
    found = importlib.util.spec_from_file_location("client_script", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    with module.client:
        yield module


class TestClientScript:
    def test_does_nothing_when_it_is_imported(self, script):
        assert "X-CSRFToken" not in script.headers
        assert not script.client.cookies

    def test_has_a_function_for_everything(self, script):
        assert len(script.get_csrf_token()) == 64
        ada = script.register("ada", "ada@example.org", PASSWORD)
        script.login("ada", PASSWORD)
        number = script.write_message(ada, "Milk", "List")
        assert script.get_messages_id() == [number]
        assert script.get_unread_messages_id() == []
        assert script.read_message(number)["body"] == "Milk"
        script.delete_message(number)
        script.logout()

        with pytest.raises(RuntimeError, match="cannot list messages: 401"):
            script.get_messages_id()

    def test_plays_a_scene_as_often_as_one_likes(self, live_server):
        environment = {"PATH": os.environ["PATH"], "BASE_URL": live_server.url}
        for _ in range(2):
            played = subprocess.run(
                [sys.executable, Path(SCRIPT)],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

            assert played.returncode == 0, played.stderr
            assert "Lunch: At one?" in played.stdout
            assert "has hers still: At one?" in played.stdout


class TestClientOfBefore:
    def test_sends_the_token_as_cookie_and_header_and_keeps_both_after_signing_in(
        self, live_server
    ):
        with requests.Session() as client:
            token = client.get(f"{live_server.url}/users/token").json()["csrfToken"]
            pair = {"cookies": {"csrftoken": token}, "headers": {"X-CSRFToken": token}}
            login = {"username": "ada", "password": PASSWORD}

            made = client.post(
                f"{live_server.url}/users/register", json=login | {"email": ""}, **pair
            )
            entered = client.post(f"{live_server.url}/users/login", json=login, **pair)
            ada = made.json()["user_id"]
            letter = {"receiver_id": ada, "body": "Milk", "subject": "List"}
            wrote = client.post(f"{live_server.url}/messages/write_message", json=letter, **pair)
            left = client.post(f"{live_server.url}/users/logout", **pair)

        answers = [made, entered, wrote, left]
        assert [answer.status_code for answer in answers] == [200] * 4, [a.text for a in answers]
