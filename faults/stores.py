"""Databases and brokers that may be killed: servers of a run's own, on free ports."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis, RedisError

from tests import servers

SECONDS_TO_START = 60


@dataclass
class Daemon:
    """A server program; ``url`` is how to reach it."""

    command: list[str]
    user: str | None
    log: Path
    url: str
    answers: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                self.command,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **servers.identity(self.user),
            )
        async with asyncio.timeout(SECONDS_TO_START):
            while not await asyncio.to_thread(self.answers):
                if self.process.poll() is not None:
                    raise servers.NotHere(f"{Path(self.command[0]).name} did not start")
                await asyncio.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and what it started, and wait until it has."""
        if self.process is None or self.process.poll() is not None:
            return
        if how is signal.SIGKILL:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        self.process.wait()

    async def restart(self, how: signal.Signals) -> None:
        await asyncio.to_thread(self.end, how)
        await self.start()


@contextmanager
def postgresql(**options: str) -> Iterator[Daemon]:
    """Lend a cluster that keeps what it says; ``options`` are its settings."""
    folders = map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    program = shutil.which("initdb", path=os.pathsep.join([*folders, os.environ["PATH"]]))
    if program is None:
        raise servers.NotHere("apt-get install postgresql brings it")
    port = servers.free_port()
    with servers.private_folder() as (folder, user):
        data = folder / "data"
        make = [program, "--pgdata", str(data), "--auth=trust", "--username=parley"]
        servers.run([*make, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"], user)
        settings = [f"-c{name}={value}" for name, value in options.items()]
        server = str(Path(program).resolve().parent / "postgres")
        url = f"postgres://parley@127.0.0.1:{port}/postgres"
        command = [server, "-D", str(data), "-k", str(folder), "-p", str(port), *settings]
        yield from _lent(
            Daemon(command, user, folder / "log", url, lambda: _postgresql_answers(url)),
            signal.SIGQUIT,  # at once: nothing of it is needed any more
        )


def _postgresql_answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


@contextmanager
def mariadb() -> Iterator[Daemon]:
    """Lend a MariaDB with a database in it."""
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    install = shutil.which("mariadb-install-db")
    if program is None or install is None:
        raise servers.NotHere("apt-get install mariadb-server brings it")
    port = servers.free_port()
    with servers.private_folder() as (folder, user):
        data = f"--datadir={folder / 'data'}"
        normal = "--auth-root-authentication-method=normal"
        servers.run([install, "--no-defaults", data, normal, "--skip-test-db"], user)
        local = [f"--socket={folder / 'socket'}", f"--port={port}", "--bind-address=127.0.0.1"]
        url = f"mysql://root@127.0.0.1:{port}/parley"
        yield from _lent(
            Daemon(
                [program, "--no-defaults", data, *local],
                user,
                folder / "log",
                url,
                lambda: _mariadb_answers(port),
            ),
            signal.SIGKILL,
        )


def mariadb_connection(port: int, **more: Any) -> Any:
    import MySQLdb

    return MySQLdb.connect(
        host="127.0.0.1", port=port, user="root", connect_timeout=3, autocommit=True, **more
    )


def _mariadb_answers(port: int) -> bool:
    import MySQLdb

    try:
        connection = mariadb_connection(port)
    except MySQLdb.Error:
        return False
    connection.cursor().execute("CREATE DATABASE IF NOT EXISTS parley CHARACTER SET utf8mb4")
    connection.close()
    return True


@contextmanager
def redis() -> Iterator[Daemon]:
    """Lend a Redis that keeps nothing."""
    program = shutil.which("redis-server")
    if program is None:
        raise servers.NotHere("apt-get install redis-server brings it")
    port = servers.free_port()
    url = f"redis://127.0.0.1:{port}"
    with servers.private_folder() as (folder, user):
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        yield from _lent(
            Daemon([*command, "--dir", str(folder)], user, folder / "log", url, lambda: _pong(url)),
            signal.SIGKILL,
        )


def _pong(url: str) -> bool:
    try:
        with Redis.from_url(url, socket_connect_timeout=3) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _lent(daemon: Daemon, end: signal.Signals) -> Iterator[Daemon]:
    try:
        yield daemon
    finally:
        daemon.end(end)
