"""``python manage.py runserver``, as a developer meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
PASSWORD = "a lamp in the corner"


@contextmanager
def runserver(folder, port, *arguments):
    """Run it in a group of its own, as a shell does; what it says goes to a file."""
    kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    given = {"PARLEY_ENV_FILE": os.devnull, "PARLEY_DATA_DIR": str(folder / "data")}
    # What it watches besides the project: a module of the developer's.
    given["PYTHONPATH"] = str(folder)
    environment = kept | given | {"PYTHONUNBUFFERED": "1"}
    call = [sys.executable, "manage.py"]
    subprocess.run([*call, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*call, "runserver", f"127.0.0.1:{port}", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(happened, folder):
    """Wait until something has happened, and return what it is."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if found := happened():
                return found
        time.sleep(0.1)
    return pytest.fail((folder / "log").read_text())


def sign_in(url):
    given = {"username": "ada", "password": PASSWORD}
    httpx.post(f"{url}/api/register/", json=given).raise_for_status()
    return httpx.post(f"{url}/api/token/", json=given).json()["access"]


def anew(module, log):
    """Change a module until that is noticed, and say whether the server has started a second time.

    What changes before it is ready to look is not noticed, and what changes afterwards once more
    would have it start a third time.
    """
    said = log.read_text()
    if "changed, reloading" not in said:
        module.touch()
    return said.count("Starting development server") > 1


@pytest.fixture(autouse=True)
def heard():
    """Let what a test starts hear Ctrl-C: in the background of a script it is ignored, and whoever
    is started there inherits that, as Python and Django's reloader leave it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestRunserver:
    def test_has_live_events_starts_anew_for_changed_code_and_ends_well(self, tmp_path):
        # Python imports it by itself when it starts, so it is code that is watched.
        module = tmp_path / "sitecustomize.py"
        module.touch()
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with runserver(tmp_path, port) as server:
            wait_for(lambda: httpx.get(f"{url}/healthz").is_success, tmp_path)
            headers = {"Authorization": f"Bearer {sign_in(url)}"}

            with connect(f"ws{url[4:]}/ws/", additional_headers=headers) as line:
                assert json.loads(line.recv(timeout=SECONDS))["type"] == "hello"
                said = {"participants": [], "kind": "group", "title": "Notes"}
                httpx.post(f"{url}/api/conversations/", json=said, headers=headers)
                event = json.loads(line.recv(timeout=SECONDS))
            assert event["type"].startswith("conversation.")

            log = tmp_path / "log"
            wait_for(lambda: anew(module, log), tmp_path)
            wait_for(lambda: httpx.get(f"{url}/healthz").is_success, tmp_path)

            os.killpg(server.pid, signal.SIGINT)
            assert server.wait(SECONDS) == 0
        assert "Traceback" not in log.read_text()

    def test_ends_well_without_the_reloader_too(self, tmp_path):
        port = free_port()
        with runserver(tmp_path, port, "--noreload") as server:
            url = f"http://127.0.0.1:{port}/healthz"
            wait_for(lambda: httpx.get(url).is_success, tmp_path)

            server.send_signal(signal.SIGINT)
            assert server.wait(SECONDS) == 0
        assert "Traceback" not in (tmp_path / "log").read_text()

    def test_says_so_when_the_port_is_taken(self, tmp_path):
        port = free_port()
        with runserver(tmp_path, port, "--noreload"):
            wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz").is_success, tmp_path)
            other = tmp_path / "other"
            other.mkdir()
            with runserver(other, port, "--noreload") as second:
                assert second.wait(SECONDS) == 1

        assert "That port is already in use." in (other / "log").read_text()
