"""Servers for the tests: one that runs here and lets us in, else one for this run alone."""

import getpass
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
from redis import Redis, RedisError

ROOT = Path(__file__).resolve().parents[1]
SECONDS_TO_START = 60


class NotHere(Exception):
    """There is no such server, and none can be started."""


def _own_name() -> str:
    """Return a database name that nobody else's run has; Django puts ``test_`` before it."""
    return f"parley_{secrets.token_hex(4)}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql() -> Iterator[str]:
    """Lend the URL of a database on PostgreSQL, which the tests' own is named after.

    :raises NotHere: none is running that lets us in, and none can be started.
    """
    name = _own_name()
    for url in _postgresql_candidates():
        if _postgresql_lets_in(url):
            yield f"{url}/{name}"
            return
    with _throwaway_postgresql() as url:
        yield f"{url}/{name}"


def _postgresql_candidates() -> Iterator[str]:
    if named := os.environ.get("PARLEY_TEST_POSTGRESQL"):
        yield named.rstrip("/")
        return
    for user in dict.fromkeys((getpass.getuser(), "postgres")):
        yield f"postgres://{user}@127.0.0.1:5432"
        yield f"postgres://{user}@{quote('/var/run/postgresql', safe='')}"


def _postgresql_lets_in(url: str) -> bool:
    may = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
    try:
        with psycopg.connect(f"{url}/postgres", connect_timeout=3) as connection:
            found = connection.execute(may).fetchone()
    except psycopg.Error:
        return False
    return bool(found and found[0])


@contextmanager
def _throwaway_postgresql() -> Iterator[str]:
    # Debian keeps the programs of each version apart, and out of the path.
    folders = map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    found = shutil.which("initdb", path=os.pathsep.join([os.environ["PATH"], *folders]))
    if found is None:
        raise NotHere("apt-get install postgresql brings it")
    port = free_port()
    with private_folder() as (folder, user):
        data = str(folder / "data")
        make = [found, "--pgdata", data, "--auth=trust", "--username=parley", "--encoding=UTF8"]
        run([*make, "--locale=C.UTF-8", "--no-sync"], user)
        server = [
            str(Path(found).resolve().parent / "postgres"),
            "-D",
            data,
            "-k",
            str(folder),
            "-p",
            str(port),
            "-F",
        ]
        url = f"postgres://parley@127.0.0.1:{port}"
        with running_server(server, user, folder, lambda: _postgresql_lets_in(url)):
            yield url


@contextmanager
def mariadb() -> Iterator[str]:
    """Lend the URL of a database on MariaDB or MySQL, which the tests' own is named after.

    :raises NotHere: none is running that lets us in, none can be started, or the driver cannot be
        built.
    """
    named = os.environ.get("PARLEY_TEST_MARIADB")
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not (named or program or _listens(3306)):
        raise NotHere("apt-get install mariadb-server brings it")
    _require_driver()
    name = _own_name()
    for url in [named.rstrip("/")] if named else _mariadb_candidates():
        if _mariadb_lets_in(url):
            yield f"{url}/{name}"
            return
    if program is None:
        raise NotHere("one runs here and lets nobody in; PARLEY_TEST_MARIADB can name an account")
    with _throwaway_mariadb(program) as url:
        yield f"{url}/{name}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _require_driver() -> None:
    """Install the driver where it is missing; it compiles against the headers of the server."""
    command = [sys.executable, str(ROOT / "tools" / "venv.py"), "requirements-mysql.txt"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise NotHere(
            "its driver cannot be built; apt-get install gcc pkg-config libmariadb-dev "
            "python3-dev brings what it compiles against"
        )


def _mariadb_candidates() -> list[str]:
    sockets = quote("/run/mysqld/mysqld.sock", safe="")
    return ["mysql://root@127.0.0.1:3306", f"mysql://{getpass.getuser()}@{sockets}"]


def _mariadb_lets_in(url: str) -> bool:
    import MySQLdb  # the driver is an extra, and has just been installed

    parts = urlsplit(url)
    where: dict[str, object] = {"host": parts.hostname, "port": parts.port or 3306}
    if "%2f" in parts.netloc.lower():
        where = {"unix_socket": "/run/mysqld/mysqld.sock"}
    login = {"user": parts.username, "password": parts.password or ""}
    probe = f"test_{_own_name()}"
    try:
        connection = MySQLdb.connect(**where, **login, connect_timeout=3)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {probe}")
            cursor.execute(f"DROP DATABASE {probe}")
        connection.close()
    except MySQLdb.Error:
        return False
    return True


@contextmanager
def _throwaway_mariadb(program: str) -> Iterator[str]:
    install = shutil.which("mariadb-install-db")
    if install is None:
        raise NotHere("apt-get install mariadb-server brings mariadb-install-db")
    port = free_port()
    with private_folder() as (folder, user):
        data = f"--datadir={folder / 'data'}"
        normal = "--auth-root-authentication-method=normal"
        run([install, "--no-defaults", data, normal, "--skip-test-db"], user)
        local = [f"--socket={folder / 'socket'}", f"--port={port}", "--bind-address=127.0.0.1"]
        settings = ["--character-set-server=utf8mb4", "--innodb-flush-method=nosync"]
        server = [program, "--no-defaults", data, *local, *settings]
        url = f"mysql://root@127.0.0.1:{port}"
        with running_server(server, user, folder, lambda: _mariadb_lets_in(url)):
            yield url


@contextmanager
def redis() -> Iterator[str]:
    """Lend the URL of Redis.

    :raises NotHere: none is running, and none can be started.
    """
    named = os.environ.get("PARLEY_TEST_REDIS", "redis://127.0.0.1:6379")
    if _redis_answers(named):
        yield named
        return
    program = shutil.which("redis-server")
    if program is None:
        raise NotHere("apt-get install redis-server brings it")
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with private_folder() as (folder, user):
        server = [program, "--port", str(port), "--save", "", "--dir", str(folder)]
        with running_server(server, user, folder, lambda: _redis_answers(url)):
            yield url


def _redis_answers(url: str) -> bool:
    try:
        return bool(Redis.from_url(url, socket_connect_timeout=3).ping())
    except RedisError:
        return False


@contextmanager
def private_folder() -> Iterator[tuple[Path, str | None]]:
    """Lend a temporary folder and the user who owns it: not root, whom these servers refuse."""
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="parley-server-") as name:
        if user:
            entry = pwd.getpwnam(user)
            os.chown(name, entry.pw_uid, entry.pw_gid)
        yield Path(name), user


def identity(user: str | None) -> dict[str, object]:
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def run(command: list[str], user: str | None) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", **identity(user)
    )
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise NotHere(f"{Path(command[0]).name} said: {''.join(last)}")


@contextmanager
def running_server(
    command: list[str], user: str | None, folder: Path, answers: object
) -> Iterator[None]:
    """Keep a server running within, from when it answers."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd="/", start_new_session=True, **identity(user)
        )
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotHere(f"{Path(command[0]).name} did not start")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()
