"""The stage of a scene: servers of Parley in processes of their own, over a database of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg

from faults import clients, stores
from faults.clients import Person, Sender
from faults.history import History, Stored, check
from faults.stores import Daemon
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[1]
KEY = "a key for faults alone, and long enough"
SECONDS_TO_START = 60
SENDERS = 8
CONVERSATIONS = 3


@dataclass
class Server:
    """``manage.py serve``; with ``mutant`` one that was broken on purpose, by ``mutants.py``."""

    folder: Path
    environment: dict[str, str]
    port: int
    mutant: str | None = None
    before: Sequence[str] = ()  # a program that runs it, as ``strace``
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"server-{self.port}.log"

    async def start(self) -> None:
        """Start it, on the port that it always has, and wait until it answers."""
        program = ["faults/mutants.py", self.mutant] if self.mutant else ["manage.py"]
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [*self.before, sys.executable, *program, "serve"],
                cwd=ROOT,
                env=self.environment | {"PORT": str(self.port)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        async with asyncio.timeout(SECONDS_TO_START):
            while b"Parley answers at" not in self.log.read_bytes()[begin:]:
                if self.process.poll() is not None:
                    said = self.log.read_text()[-2_000:]
                    raise RuntimeError(f"a server did not start: {said}")
                await asyncio.sleep(0.05)

    def signal(self, which: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, which)

    async def ended(self) -> int | None:
        return await asyncio.to_thread(self.process.wait) if self.process else None

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Stage:
    """What a scene is given: where it plays, for how long, and who plays."""

    database: str
    seconds: float
    folder: Path
    stack: AsyncExitStack
    say: Callable[[str], None]
    store: Daemon | None = None
    broker: Daemon | None = None
    url: str = ""
    servers: list[Server] = field(default_factory=list)

    async def open_store(self, **options: str) -> str:
        """Start the database; return its URL. ``options`` are settings of PostgreSQL."""
        if self.database == "sqlite":
            self.url = f"sqlite:///{self.folder / 'parley.sqlite3'}"
            return self.url
        lent = stores.postgresql(**options) if self.database == "postgresql" else stores.mariadb()
        self.store = self.stack.enter_context(lent)
        await self.store.start()
        self.url = self.store.url
        return self.url

    async def open_broker(self) -> Daemon:
        self.broker = self.stack.enter_context(stores.redis())
        await self.broker.start()
        return self.broker

    async def serve(
        self,
        count: int = 1,
        *,
        url: str | None = None,
        mutant: str | None = None,
        before: Sequence[str] = (),
        **variables: str,
    ) -> list[Server]:
        """Start servers over the one database (behind another ``url``, if one is given)."""
        if not self.url:
            await self.open_store()
        if self.database == "mariadb" and count > 1 and self.broker is None:
            await self.open_broker()
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        given = {
            "DATABASE_URL": url or self.url,
            "DJANGO_SECRET_KEY": KEY,
            "PARLEY_ENV_FILE": os.devnull,
            "PARLEY_DATA_DIR": str(self.folder),
            "PARLEY_RATES": "off",
            "PARLEY_ACCESS_LOG": "off",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        }
        if self.broker is not None:
            given["REDIS_URL"] = f"{self.broker.url}/0"
        started = []
        for _ in range(count):
            server = Server(
                self.folder, kept | given | variables, free_port(), mutant, tuple(before)
            )
            self.stack.push_async_callback(server.kill)
            await server.start()
            self.servers.append(server)
            started.append(server)
        return started

    async def cast(self, address: str, count: int = SENDERS) -> list[Person]:
        return [await clients.sign_up(address, f"player{n}") for n in range(count)]

    async def groups(
        self, address: str, people: Sequence[Person], count: int = CONVERSATIONS
    ) -> list[str]:
        return [await clients.make_group(address, people[0], people[1:]) for _ in range(count)]

    async def judge(
        self, history: History, conversations: Sequence[str], viewer: Person, address: str
    ) -> dict[str, int]:
        """Read everything back, and count the violations."""
        stored: dict[str, list[Stored]] = {}
        for where in conversations:
            stored[where] = await clients.read_back(address, viewer, where)
        return check(history, stored)

    def faults_logged(self) -> int:
        """How many unforeseen failures the servers have logged."""
        logs = [server.log.read_text(errors="replace") for server in self.servers]
        return sum(text.count("Unforeseen failure") for text in logs)

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement on PostgreSQL as its operator would, whatever the servers do."""
        with psycopg.connect(self.url, autocommit=True) as own:
            cursor = own.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class Load:
    """Senders at work, until the scene that they are in is over; then they end what they began."""

    def __init__(self, senders: Sequence[Sender], conversations: Sequence[str]) -> None:
        self._senders, self._conversations = senders, conversations
        self._over = asyncio.Event()
        self._runs: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._runs = [
            asyncio.create_task(sender.run(self._conversations, self._over))
            for sender in self._senders
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if kind is not None:
            for run in self._runs:
                run.cancel()
            await asyncio.gather(*self._runs, return_exceptions=True)
            return
        async with asyncio.timeout(60):
            await asyncio.gather(*self._runs)
