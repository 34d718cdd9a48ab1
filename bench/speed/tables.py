"""The figures: on the terminal, in a file, and in the README, each written by this."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.speed.servers import ROOT
from bench.speed.verdicts import Finding

RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- speed: written by make bench -->", "<!-- speed ends -->"
HEADINGS = ("", "a second", "p50 / p99 ms", "CPU ms: server + database, client", "targets")


def cells(found: Finding) -> tuple[str, ...]:
    """Return a row of the table as text."""
    targets = "; ".join(map(_told, found["targets"])) or "—"
    if "medians" not in found:
        values = ", ".join(f"{name} {value:g}" for name, value in found["values"].items())
        return found["row"], values or "—", "—", "—", targets
    ours = found["medians"]["product"]
    low, high = found["spread"]["product"]
    return (
        found["row"],
        f"{ours['rate']:,.0f} ({low:,}–{high:,})",
        f"{ours['p50']:.1f} / {ours['p99']:.1f}",
        f"{ours['server']:.3f} + {ours['database']:.3f}, {ours['client']:.3f}",
        targets,
    )


def _told(target: dict[str, Any]) -> str:
    found = "" if target["is"] is None else f"{target['is']:.3g} "
    return f"{found}({target['target']}) {target['verdict']}"


def show(console: Console, findings: list[Finding]) -> None:
    table = Table(title="medians (lowest and highest run)")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in {"", "targets"} else "right")
    for found in findings:
        table.add_row(*cells(found))
    console.print(table)


def markdown(kept: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the table, with the machine."""
    machine = kept["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for found in kept["rows"]:
        yield f"| {' | '.join(cells(found))} |"
    yield ""
    yield f"{machine['processors']}, load {machine['load before']:.1f} before; {versions};"
    yield f"{machine['date']}, `{machine['command']}`."
    yield "What grows with how much there is: `bench/results/cost.md`."


def with_table(text: str, kept: dict[str, Any]) -> str:
    """Return a page with the table between its markers.

    :raises ValueError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("no markers of the table")
    return "\n".join([before + begin, "", *markdown(kept), "", end + after])


def machine() -> dict[str, Any]:
    import django

    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processors": f"{len(models)} × {models[0] if models else platform.machine()}",
        "load before": os.getloadavg()[0],
        "versions": {"Python": platform.python_version(), "Django": django.__version__},
        "command": " ".join(["python -m bench.speed", *sys.argv[1:]]),
    }


def keep(kept: dict[str, Any]) -> Path:
    """Write the figures; the table of the README is made of nothing else."""
    path = RESULTS / f"speed-{kept['machine']['date']}.json"
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    README.write_text(with_table(README.read_text(), json.loads(path.read_text())))
    return path
