"""Live connections: what ``bench/connections.py`` finds, as rows of the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bench.speed import channels
from bench.speed.servers import ROOT
from bench.speed.verdicts import Finding, Target, judge

COST = "µs CPU a delivery"
FOUND = {
    "held": (r"^(\d+) x ", 1.0),
    "KiB each": (r": ([0-9.]+) KiB each", 1.0),
    COST: (r"a delivery: ([0-9.]+) µs", 1.0),
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


def measure(folder: Path, *, quick: bool) -> list[Finding]:
    """Measure live connections, and what a delivery costs Channels to a thousand of them."""
    theirs, error = None, ""
    try:
        theirs = channels.micros_a_delivery(folder, sockets=200 if quick else 1_000, messages=10)
    except (RuntimeError, OSError, subprocess.TimeoutExpired, TimeoutError) as failed:
        error = f"Channels: {failed}"
        print(error, flush=True)
    found = [_one(kind, 500 if quick else 10_000, theirs) for kind in KINDS]
    return [each | {"error": error} for each in found] if error else found


def values(printed: str) -> dict[str, float]:
    """Return what a run of ``connections.py`` printed, by name."""
    found = {}
    for name, (pattern, scale) in FOUND.items():
        match = re.search(pattern, printed, re.MULTILINE)
        if match:
            found[name] = float(match[1]) * scale
    if found.get(COST):
        found["deliveries a second and core"] = round(1e6 / found[COST])
    return found


def _one(kind: str, sockets: int, theirs: float | None) -> Finding:
    name, targets = KINDS[kind]
    command = [sys.executable, "bench/connections.py", "--kind", kind, "--sockets", str(sockets)]
    command += ["--messages", "20"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
        )
    except subprocess.TimeoutExpired:
        return judge(name, "live", {}, targets, error="not done in 300 s")
    more = {"error": done.stderr[-500:]} if done.returncode else {}
    found = values(done.stdout)
    if theirs and found.get(COST) and kind == "websocket":
        found["µs with Channels + daphne"] = round(theirs)
        found["× Channels + daphne"] = round(theirs / found[COST], 1)
    return judge(name, "live", found, targets, **more)
