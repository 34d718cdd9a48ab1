"""``python manage.py demo``: a scene through the public API, of a server of its own if need be."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from parley.ops.demo.calls import UnexpectedAnswer, is_parley
from parley.ops.demo.scene import Scene
from parley.ops.demo.stage import Stage

MANAGE = Path(__file__).resolve().parents[5] / "manage.py"
SECONDS_TO_START = 60
SECONDS_TO_STOP = 15
NARROWEST = 100  # where the output goes to a file or a pipe
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
# What a server of our own takes from this process; no setting and no database of anybody's.
KEPT = ("PATH", "HOME", "LANG", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")


class Command(BaseCommand):
    help = "Play a scene through the public API, and say where to look at it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", help="the server (default: the one that HOST and PORT name)")

    def handle(self, *_args: Any, url: str | None, **_options: Any) -> None:
        console = Console(width=None if sys.stdout.isatty() else NARROWEST)
        named = (url or configured()).rstrip("/")
        if is_parley(named):
            play(named, console)
            return
        if url:
            raise CommandError(f"No Parley answers at {named}.")
        console.print(f"No Parley answers at {named}; one is started for this demo alone.")
        with own_server() as own:
            play(own, console)
            stay(own, console)


def play(url: str, console: Console) -> None:
    """Play the scene with people who are new, and say where to look.

    :raises CommandError: the server did not do its part.
    """
    stage = Stage(console)
    password = secrets.token_urlsafe(12)
    scene = Scene(url, suffix=secrets.token_hex(2), password=password, stage=stage)
    try:
        group = scene.play()
    except UnexpectedAnswer as unexpected:
        raise CommandError(str(unexpected)) from None
    names = [person.username for person in scene.cast]
    stage.addresses(url, group, usernames=names, password=password)


def stay(url: str, console: Console) -> None:
    """Keep a server of our own for as long as someone may be looking."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        console.input(f"\nThe server at {url} stops, and forgets it all, when you press Enter. ")
        return
    console.print(
        f"\nThe server at {url} has ended with the demo; `make serve` starts one to stay."
    )


def configured() -> str:
    """Return the address of the server that the settings describe."""
    chosen = settings.PARLEY
    host = EVERYWHERE.get(chosen.host, chosen.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{chosen.port}"


@contextmanager
def own_server() -> Iterator[str]:
    """Run a server with a database of its own, which goes with it.

    :raises CommandError: it does not start.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="parley-demo-", ignore_cleanup_errors=True) as folder:
        variables = {name: os.environ[name] for name in KEPT if name in os.environ}
        variables |= {"PARLEY_ENV_FILE": os.devnull, "PARLEY_DATA_DIR": folder, "PORT": str(port)}
        server = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, str(MANAGE), "serve"],
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait(server, url)
            yield url
        finally:
            stop(server)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(server: subprocess.Popen[str], url: str) -> None:
    """Wait until the server answers.

    :raises CommandError: it ends before that, or takes too long.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    while not is_parley(url):
        if server.poll() is not None:
            said = server.stderr.read().strip() if server.stderr else ""
            raise CommandError(f"The server did not start: {said}")
        if time.monotonic() > deadline:
            raise CommandError("The server took too long to start.")
        time.sleep(0.1)


def stop(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.communicate(timeout=SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        server.kill()
        server.communicate()
