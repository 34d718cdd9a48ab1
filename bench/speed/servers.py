"""The product and the plain views, each served as one would, and the CPU that processes have."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2  # of the plain views: one a core of the machine that the targets were set on
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int) -> Iterator[int]:
    """Keep a server running within; lend its process id."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"a server did not start: {' '.join(process.args)}")  # type: ignore[arg-type]


def product(port: int) -> list[str]:
    return [sys.executable, "manage.py", "serve", "--port", str(port)]


def plain(port: int) -> list[str]:
    application = "django.core.wsgi:get_wsgi_application()"
    options = ["--workers", str(WORKERS), "--threads", "1", "--bind", f"127.0.0.1:{port}"]
    environment = ["--env", "DJANGO_SETTINGS_MODULE=plain.settings", "--log-level", "error"]
    return [sys.executable, "-m", "gunicorn", *options, *environment, application]


def wait_until_idle(port: int) -> None:
    """Wait until a server has done what clients who left had asked of it."""
    for _ in range(2 * WORKERS):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as probe:
            probe.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            probe.recv(1)


def family(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *map(int, found.stdout.split())]


def cpu_of(pids: list[int]) -> float:
    """Return the seconds of CPU that these processes have had."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def cpu_of_clients() -> float:
    """Return the seconds of CPU that children who have ended had: the players'."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
