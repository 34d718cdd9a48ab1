"""``python manage.py serve``, as the person at the keyboard meets it."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from parley.conversations.models import Epoch
from parley.ops.management.commands.serve import prepare_database

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


@pytest.fixture
def start(tmp_path):
    """Start ``manage.py`` in a process of its own, with nothing set but what is given here."""
    started = []

    def starting(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        given = {"PARLEY_ENV_FILE": os.devnull, "PARLEY_DATA_DIR": str(tmp_path / "data")}
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=kept | given | {"PORT": "0"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield starting
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def address(process) -> str:
    """Wait until a server says where it answers."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if found := re.match(r"Parley answers at (http://\S+)/$", line):
            return found[1]
        if not line and process.poll() is not None:
            break
    return pytest.fail(f"it did not start: {process.stderr.read()}")


def refusal(process) -> str:
    """Return the one sentence that a start which failed has said."""
    said, complained = process.communicate(timeout=SECONDS)

    assert process.returncode not in (0, None)
    assert "Traceback" not in complained
    assert said == ""
    assert len(complained.splitlines()) == 1
    return complained


class TestServe:
    @pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
    def test_answers_and_ends_well(self, start, tmp_path, end):
        server = start("serve")
        url = address(server)

        with urllib.request.urlopen(f"{url}/static/admin/css/base.css") as answer:
            assert answer.status == 200
            assert "server" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
        server.send_signal(end)
        said, complained = server.communicate(timeout=SECONDS)

        assert server.returncode == 0
        assert said.endswith("Parley has stopped.\n")
        assert "Traceback" not in complained
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data" / "parley.sqlite3").stat().st_mode) == 0o600

    def test_serves_from_several_processes(self, start):
        server = start("serve", WORKERS="2")
        url = address(server)

        with urllib.request.urlopen(f"{url}/static/admin/css/base.css") as answer:
            assert answer.status == 200
        server.send_signal(signal.SIGINT)

        server.communicate(timeout=SECONDS)
        assert server.returncode == 0

    def test_has_the_live_doors_open(self, start):
        server = start("serve")
        url = address(server)

        with pytest.raises(InvalidStatus) as refused, connect(f"ws{url[4:]}/ws/"):
            pass
        assert refused.value.response.status_code == 401
        stranger = httpx.get(f"{url}/api/events/")
        assert stranger.status_code == 401
        assert stranger.headers["x-request-id"]
        assert stranger.headers["x-content-type-options"] == "nosniff"
        server.send_signal(signal.SIGINT)
        _, complained = server.communicate(timeout=SECONDS)
        assert server.returncode == 0
        assert "ERROR" not in complained  # a stranger is no fault of the server's

    @pytest.mark.parametrize("switch", ["", "off"])
    def test_tells_what_it_counts_unless_that_is_switched_off(self, start, switch):
        url = address(start("serve", **{"PARLEY_METRICS": switch} if switch else {}))
        httpx.get(f"{url}/api/unread/")

        answer = httpx.get(f"{url}/metrics")

        assert answer.status_code == (404 if switch else 200)
        assert switch or {
            'parley_http_requests_total{method="GET",status="401"} 1.0',
            "parley_live_connections 0.0",
            "parley_requests_waiting 0.0",
            "parley_sends_waiting 0.0",
        } <= set(answer.text.splitlines())

    @pytest.mark.parametrize("switch", ["off", "on"])
    def test_echoes_only_where_that_is_switched_on(self, start, switch):
        url = address(start("serve", PARLEY_WEBSOCKET_ECHO=switch))

        if switch == "on":
            with connect(f"ws{url[4:]}/ws/_echo") as line:
                line.send("hello")
                assert line.recv(timeout=SECONDS) == "hello"
        else:
            with pytest.raises(InvalidStatus) as refused, connect(f"ws{url[4:]}/ws/_echo"):
                pass
            assert refused.value.response.status_code == 403

    def test_answers_what_is_no_http_in_json(self, start):
        server = start("serve")
        url = urlsplit(address(server))

        with socket.create_connection((url.hostname, url.port), timeout=SECONDS) as line:
            line.sendall(b"no HTTP at all\r\n\r\n")
            answer = line.makefile("rb").read()

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/json" in answer

    def test_writes_no_secret_of_a_request_to_the_log(self, start):
        server = start("serve", LOGGER_LEVEL="DEBUG", PARLEY_LOG_FORMAT="json")
        url = address(server)
        query = "password=hunter2&username=hunter2"
        headers = {"Authorization": "Token hunter2", "Cookie": "sessionid=hunter2"}

        request = urllib.request.Request(f"{url}/static/admin/css/base.css?{query}", None, headers)
        urllib.request.urlopen(request).close()
        server.send_signal(signal.SIGINT)
        said, complained = server.communicate(timeout=SECONDS)

        assert "/static/admin/css/base.css" in complained
        assert "hunter2" not in said + complained

    def test_says_so_when_the_port_is_taken(self, start):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])

            assert f"Cannot listen on 127.0.0.1 port {port}" in refusal(start("serve", PORT=port))

    def test_says_so_when_the_folder_cannot_be(self, start, tmp_path):
        (tmp_path / "file").touch()

        said = refusal(start("serve", PARLEY_DATA_DIR=str(tmp_path / "file")))

        assert "set PARLEY_DATA_DIR to a folder that can" in said

    def test_says_so_when_a_setting_is_odd(self, start):
        assert "The setting WORKERS='many' is not usable" in refusal(start("serve", WORKERS="many"))

    def test_says_so_when_the_database_does_not_answer(self, start):
        nowhere = "postgres://ada:hunter2@127.0.0.1:1/talk"

        said = refusal(start("serve", DATABASE_URL=nowhere))

        assert "PostgreSQL at 127.0.0.1:1, talk" in said
        assert "hunter2" not in said


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestPrepareDatabase:
    def test_begins_an_epoch_for_good(self):
        before = Epoch.objects.count()

        prepare_database(verbosity=0)

        assert not connection.in_atomic_block
        assert Epoch.objects.count() > before


class TestManage:
    def test_finds_nothing_to_migrate(self, start):
        said, _ = start("makemigrations", "--check").communicate(timeout=SECONDS)

        assert said == "No changes detected\n"

    def test_has_nothing_to_warn_of_in_production(self, start):
        process = start("check", "--deploy", "--fail-level=WARNING")

        _, complained = process.communicate(timeout=SECONDS)

        assert process.returncode == 0, complained
