"""What a delivery costs Channels under daphne (``bench/channels_app``), by the same clients.

Its packages are installed, as ``bench/requirements-channels.txt`` pins them, into an environment of
their own that goes away with it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from bench import connections
from bench.speed import servers
from bench.speed.websocket import frame

REQUIREMENTS = servers.ROOT / "bench" / "requirements-channels.txt"
SAID = frame(f'"{"x" * 80}"')
SECONDS = 60  # at most, for one message to reach everyone


def micros_a_delivery(folder: Path, *, sockets: int, messages: int) -> float:
    """Return the CPU of the server a delivery, in µs.

    :raises RuntimeError: it cannot be installed, or does not start.
    """
    port = servers.free_port()
    daphne = [_python(folder), "-m", "daphne", "-b", "127.0.0.1", "-p", str(port)]
    daphne += ["bench.channels_app.asgi:application"]
    with servers.serving(daphne, port) as pid:
        return 1e6 * asyncio.run(_deliver(port, pid, sockets, messages)) / (sockets * messages)


def _python(folder: Path) -> str:
    """Make the environment; return its Python."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    at = folder / "channels"
    python = str(at / "bin" / "python")
    install = [*uv, "pip", "install", "--python", python, "--require-hashes", "-r"]
    for command in ([*uv, "venv", "--python", sys.executable, str(at)], [*install, REQUIREMENTS]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise RuntimeError(f"Channels is not to be had: {done.stderr[-300:]}")
    return python


async def _deliver(port: int, pid: int, sockets: int, messages: int) -> float:
    """Say so many things to so many; return the seconds of CPU from the first to the last."""
    clients = await connections.open_all(port, "websocket", ["of nobody"], sockets)
    await _say(clients, 2)  # warm up
    before = servers.cpu_of([pid])
    await _say(clients, messages)
    spent = servers.cpu_of([pid]) - before
    for client in clients:
        client.transport.close()
    return spent


async def _say(clients: list[connections.Client], messages: int) -> None:
    for _ in range(messages):  # one after the other: its layer drops what waits
        wanted = connections.Client.delivered + len(clients)
        clients[0].transport.write(SAID)  # type: ignore[attr-defined]
        async with asyncio.timeout(SECONDS):
            while connections.Client.delivered < wanted:  # noqa: ASYNC110 - others count
                await asyncio.sleep(0.005)
