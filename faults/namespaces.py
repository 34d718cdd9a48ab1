"""A machine on a cable that can be pulled: a network namespace of Linux, for root."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers import NotHere

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
OURS, THEIRS = "10.213.77.1", "10.213.77.2"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another machine, as far as the network knows; we are ``OURS`` to it."""

    name: str

    async def connect(self, port: int) -> socket.socket:
        """Return a connection from there to a port of ours."""
        return await asyncio.to_thread(self._connect, port)

    def _connect(self, port: int) -> socket.socket:
        # A socket belongs to where its thread was when it was made.
        with (
            Path(f"/var/run/netns/{self.name}").open() as there,
            Path("/proc/self/ns/net").open() as here,
        ):
            _enter(there.fileno())
            try:
                made = socket.create_connection((OURS, port), timeout=10)
            finally:
                _enter(here.fileno())
        made.setblocking(False)
        return made

    def pull(self) -> None:
        """Pull the cable: nothing passes, and nobody is told."""
        _ip("-n", self.name, "link", "set", f"{self.name}-b", "down")


def _enter(number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(number, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Lend one, with a cable to here."""
    if os.geteuid() != 0:
        raise NotHere("only root may make a network namespace")
    name = f"pl{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        _ip("link", "add", f"{name}-a", "type", "veth", "peer", "name", f"{name}-b", "netns", name)
        _ip("addr", "add", f"{OURS}/30", "dev", f"{name}-a")
        _ip("-n", name, "addr", "add", f"{THEIRS}/30", "dev", f"{name}-b")
        _ip("link", "set", f"{name}-a", "up")
        _ip("-n", name, "link", "set", f"{name}-b", "up")
        yield Elsewhere(name)
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", f"{name}-a")
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", name)
