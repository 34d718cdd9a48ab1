"""``python manage.py serve``: from a checkout to a server that answers, in one command."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

from parley.conversations import epochs, fence
from parley.ops import durability

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

APPLICATION = "parley.config.asgi:application"
BACKLOG = 4096  # as many as the kernel allows: everyone reconnects at once after a restart
SHUTDOWN_SECONDS = 10
LAST_S = 0.5  # how long, at the end, whoever keeps a connection may ask once more
SHORT_KEY = 32
DEAF_MS = 20_000  # how long a client may not take what was sent; then the kernel cuts it off

log = structlog.get_logger(__name__)

WELCOME = """
Parley answers at {url}/

  Look around      {url}/api/         the API in a browser, with a sign-in
                   {url}/docs/        every endpoint, to try
                   {url}/admin/       for admins
  Make an account  curl {url}/api/register/ -d username=ada -d password='choose a good one'
  Make an admin    {python} manage.py createsuperuser

  Data             {data}
  Ctrl-C stops it; nothing is lost.
"""


class PoliteServer(Server):
    """A server that tells when it answers, and whose end by a signal is a success."""

    def __init__(self, config: Config, welcome: str = "") -> None:
        super().__init__(config)
        self.welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.welcome:
            print(self.welcome, flush=True)  # noqa: T201 - for the person who started it

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections; answer on those there are, and only then end them."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(LAST_S)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            try:
                yield
            finally:
                # Left here, they would be raised again once everything has ended well.
                self._captured_signals.clear()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address.

    :raises CommandError: the address is taken, or is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    if os.name != "nt":  # there it would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # each connection has what its listener has
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAF_MS)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(
            f"Cannot listen on {host} port {port} ({error.strerror}); "
            "choose another with HOST and PORT."
        ) from None
    listener.set_inheritable(True)
    return listener


def raise_limits() -> None:
    """Have as many files open, and so connections, as the system lets us."""
    if resource is None:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def prepare_database(*, verbosity: int) -> None:
    """Bring the tables up to date, test the locks that we rely on, begin an epoch, and say how
    durable commits are.

    :raises CommandError: it cannot be reached or written, or does not keep them.
    """
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=verbosity)
        fence.self_test()
        epochs.begin()
        durability.report()
    except (DatabaseError, InterfaceError) as error:
        reason = str(error).partition("\n")[0]
        raise CommandError(f"The database ({described()}) cannot be used: {reason}") from None
    except RuntimeError as error:
        raise CommandError(str(error)) from None
    finally:
        connection.close()


def described() -> str:
    """Say where the data are, without the password."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(found["NAME"])
    port = f":{found['PORT']}" if found["PORT"] else ""
    return f"{connection.display_name} at {found['HOST'] or 'localhost'}{port}, {found['NAME']}"


def server_config(*, workers: int) -> Config:
    """Return how uvicorn is to run: the fast parts pinned, nothing said about versions."""
    chosen = settings.PARLEY
    return Config(
        APPLICATION,
        workers=workers,
        http="parley.config.lines:StreamLine",
        ws="parley.config.lines:Line",
        ws_per_message_deflate=False,
        server_header=False,
        proxy_headers=bool(chosen.proxies),
        forwarded_allow_ips=chosen.proxies,
        log_config=None,  # Django's set-up has done it
        access_log=chosen.access_log,
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - recognised, not bound
    return f"http://{shown}:{port}"


class Command(BaseCommand):
    help = "Prepare the database, then serve until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = settings.PARLEY
        parser.add_argument("--host", default=chosen.host, help="address to listen on (HOST)")
        parser.add_argument("--port", default=chosen.port, type=int, help="port (PORT)")
        parser.add_argument(
            "--workers", default=chosen.workers, type=int, help="processes (WORKERS)"
        )

    def handle(self, *_args: Any, host: str, port: int, workers: int, **options: Any) -> None:
        os.umask(0o077)  # what the server creates is for nobody else to read
        raise_limits()
        listener = listen(host, port)
        prepare_database(verbosity=options["verbosity"] - 1)
        if settings.PARLEY.secret_key and len(settings.SECRET_KEY) < SHORT_KEY:
            log.warning("DJANGO_SECRET_KEY is short; 32 random characters or more keep tokens safe")
        config = server_config(workers=workers)
        welcome = WELCOME.format(url=address(listener), python=_python(), data=described())
        if workers > 1:
            self.stdout.write(welcome)
            logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # tells of a worker's death
            Multiprocess(config, sockets=[listener]).run()
        else:
            PoliteServer(config, welcome).run(sockets=[listener])
        self.stdout.write("Parley has stopped.")


def _python() -> str:
    """Return how the person at the keyboard calls this Python."""
    return os.path.relpath(sys.executable) if sys.prefix != sys.base_prefix else sys.executable
