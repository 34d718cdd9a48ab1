"""Live connections: what ``bench/connections.py`` finds, as rows of the table."""

from __future__ import annotations

import re
import subprocess
import sys

from bench.speed.servers import ROOT
from bench.speed.verdicts import Finding, Target, judge

FOUND = {
    "held": (r"^(\d+) x ", 1.0),
    "KiB each": (r": ([0-9.]+) KiB each", 1.0),
    "µs CPU a delivery": (r"a delivery: ([0-9.]+) µs", 1.0),
}
KINDS = {
    "websocket": (
        "WebSockets, idle and delivered to",
        (
            Target("held", 10_000),
            Target("KiB each", 25, most=True),
            Target("deliveries a second and core", 80_000),
            Target("× Channels + daphne", 25),
        ),
    ),
    "events": (
        "SSE, idle and delivered to",
        (Target("held", 10_000), Target("KiB each", 12, most=True)),
    ),
}


def measure(*, quick: bool) -> list[Finding]:
    return [_one(kind, 500 if quick else 10_000) for kind in KINDS]


def values(printed: str) -> dict[str, float]:
    """Return what a run of ``connections.py`` printed, by name."""
    found = {}
    for name, (pattern, scale) in FOUND.items():
        match = re.search(pattern, printed, re.MULTILINE)
        if match:
            found[name] = float(match[1]) * scale
    if found.get("µs CPU a delivery"):
        found["deliveries a second and core"] = round(1e6 / found["µs CPU a delivery"])
    return found


def _one(kind: str, sockets: int) -> Finding:
    name, targets = KINDS[kind]
    command = [sys.executable, "bench/connections.py", "--kind", kind, "--sockets", str(sockets)]
    command += ["--messages", "20"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    more = {"error": done.stderr[-500:]} if done.returncode else {}
    return judge(name, "live", values(done.stdout), targets, **more)
