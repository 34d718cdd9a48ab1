"""The container, without one: its files, and its command and environment against MariaDB."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import yaml

from tests.servers import NotHere, mariadb

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 90
INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.MULTILINE)
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
PASSWORD = "a lamp in the corner"


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, those of its last stage at the end."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return INSTRUCTION.findall(text)


def command(name: str) -> list[str]:
    """Return a command that is written as a list, to be run by our Python."""
    [*_, found] = [words for instruction, words in instructions() if instruction == name]
    program, *arguments = json.loads(found[found.index("[") :])
    assert program == "python"
    return [sys.executable, *arguments]


def compose() -> dict:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))


def filled(service: str, env_file: dict[str, str]) -> dict[str, str]:
    """Return a service's environment, filled in as compose does."""

    def value(found: re.Match[str]) -> str:
        return env_file.get(found[1]) or found[2] or ""

    environment = compose()["services"][service]["environment"]
    return {name: VARIABLE.sub(value, str(given)) for name, given in environment.items()}


class TestDockerfile:
    def test_makes_an_image_in_two_stages_that_leaves_the_compiler_behind(self):
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        last = text.rpartition("\nFROM ")[2]

        assert text.count("\nFROM python:3.11-slim") == 2
        assert "gcc" not in last
        assert "--require-hashes" in text

    def test_runs_as_nobody_in_particular_and_is_looked_after(self):
        names = dict(instructions())

        assert names["USER"] == "10001"
        assert names["EXPOSE"] == "8000"
        assert command("HEALTHCHECK")[1:] == ["docker/healthcheck.py"]
        assert command("CMD")[1:] == ["manage.py", "serve"]

    def test_copies_what_there_is_and_what_the_builder_is_given(self):
        given = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        copied = [w.split()[:-1] for i, w in instructions() if i == "COPY" and "--from" not in w]

        for name in [name for names in copied for name in names]:
            assert (ROOT / name).exists()
            assert f"!{name}" in given
        assert given[1] == "*"


class TestCompose:
    def test_waits_for_mysql_8_and_publishes_port_8000(self):
        web, db = (compose()["services"][name] for name in ("web", "db"))

        assert db["image"].startswith("mysql:8")
        assert web["depends_on"] == {"db": {"condition": "service_healthy"}}
        assert web["ports"] == ["8000:8000"]
        assert (ROOT / "docker" / web["build"]["context"]).resolve() == ROOT
        assert web["environment"]["MYSQL_HOST"] == "db"
        assert web["read_only"]

    def test_needs_only_what_its_users_set(self):
        named = set(VARIABLE.findall(json.dumps(compose())))
        without_default = {name for name, default in named if not default}

        assert without_default - {"PARLEY_DIALECTS", "PARLEY_PROXIES"} == {
            "DJANGO_ALLOWED_HOSTS",
            "DJANGO_SECRET_KEY",
            "MYSQL_PASSWORD",
            "MYSQL_ROOT_PASSWORD",
        }

    def test_refuses_nothing_that_is_asked_without_the_env_file(self):
        """``docker compose exec web …`` reads the file too, and has no ``--env-file``."""
        assert ":?" not in (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")


# --- the same command, outside


@contextmanager
def database(env_file: dict[str, str]):
    """Do what the image of MySQL does at its first start; lend where that is."""
    import MySQLdb

    with mariadb() as url:
        parts = urlsplit(url)
        host, port = unquote(parts.hostname or ""), parts.port or 3306
        where = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": port}
        root = MySQLdb.connect(**where, user=parts.username, password=parts.password or "")
        name, user = env_file["MYSQL_DATABASE"], env_file["MYSQL_USER"]
        password = env_file["MYSQL_PASSWORD"]
        with root.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            cursor.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'")
            cursor.execute(f"CREATE USER '{user}'@'localhost' IDENTIFIED BY '{password}'")
            for place in ("%", "localhost"):
                cursor.execute(f"GRANT ALL ON {name}.* TO '{user}'@'{place}'")
        try:
            yield {"MYSQL_HOST": host, "MYSQL_PORT": str(port)}
        finally:
            with root.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")
                for place in ("%", "localhost"):
                    cursor.execute(f"DROP USER '{user}'@'{place}'")
            root.close()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def environment(tmp_path):
    """The environment of ``web``, with a database to match and a port that is free."""
    tail = secrets.token_hex(4)
    env_file = {
        "MYSQL_ROOT_PASSWORD": "not needed here",
        "MYSQL_DATABASE": f"test_container_{tail}",
        "MYSQL_USER": f"container_{tail}",
        "MYSQL_PASSWORD": secrets.token_hex(8),
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(40),
        "DJANGO_ALLOWED_HOSTS": "chat.example.org,localhost",
    }
    of_image = {"PYTHONUNBUFFERED": "1", "PARLEY_DATA_DIR": str(tmp_path)}
    try:
        with database(env_file) as where:
            here = {"PORT": free_port(), "PARLEY_ENV_FILE": os.devnull, "PATH": os.environ["PATH"]}
            yield of_image | filled("web", env_file) | where | here
    except NotHere as reason:
        pytest.skip(str(reason))


def run(arguments: list[str], env: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, env=env | more, capture_output=True, text=True, check=False
    )


def await_health(server: subprocess.Popen[str], env: dict[str, str]) -> None:
    deadline = time.monotonic() + SECONDS
    while run(command("HEALTHCHECK"), env).returncode:
        assert server.poll() is None, server.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)


class TestContainer:
    def test_serves_is_healthy_takes_commands_and_ends_well(self, environment):
        server = subprocess.Popen(
            command("CMD"),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            await_health(server, environment)
            manage = [sys.executable, "manage.py"]
            migrated = run([*manage, "migrate"], environment)
            created = run(
                [*manage, "createsuperuser", "--noinput"],
                environment,
                DJANGO_SUPERUSER_USERNAME="ada",
                DJANGO_SUPERUSER_EMAIL="ada@example.org",
                DJANGO_SUPERUSER_PASSWORD=PASSWORD,
            )
            answer = httpx.post(
                f"http://127.0.0.1:{environment['PORT']}/api/token/",
                json={"email": "ada@example.org", "password": PASSWORD},
                headers={"Host": "chat.example.org"},
            )
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=SECONDS)
        finally:
            server.kill()
            server.communicate()

        assert migrated.returncode == 0, migrated.stderr
        assert created.returncode == 0, created.stderr
        assert set(answer.json()) == {"refresh", "access"}
        assert server.returncode == 0
        assert run(command("HEALTHCHECK"), environment).returncode == 1
