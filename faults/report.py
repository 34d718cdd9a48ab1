"""What faults are called, what they found, and how that is shown and kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from faults.history import History
from faults.stage import Stage

RESULTS = Path(__file__).resolve().parent / "results"
Scene = Callable[[Stage], Awaitable[list["Finding"]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was measured; ``wanted`` is what the criterion asks, None where it is told
    for information alone.
    """

    what: str
    measured: str
    holds: bool = True
    wanted: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One scene; ``databases`` are those that it can be played on, the first one by default."""

    name: str
    title: str
    scene: Scene
    databases: tuple[str, ...]
    seconds: float


FAULTS: dict[str, Fault] = {}


def fault(name: str, title: str, *databases: str, seconds: float = 15) -> Callable[[Scene], Scene]:
    """Register a scene under the name of its fault."""

    def register(scene: Scene) -> Scene:
        FAULTS[name] = Fault(name, title, scene, databases, seconds)
        return scene

    return register


# --- findings -------------------------------------------------------------------------------------


def at_most(what: str, measured: float, limit: float, unit: str = "") -> Finding:
    return Finding(what, _number(measured, unit), measured <= limit, f"≤ {_number(limit, unit)}")


def at_least(what: str, measured: float, limit: float, unit: str = "") -> Finding:
    return Finding(what, _number(measured, unit), measured >= limit, f"≥ {_number(limit, unit)}")


def equal(what: str, measured: object, wanted: object) -> Finding:
    return Finding(what, str(measured), measured == wanted, str(wanted))


def told(what: str, measured: object) -> Finding:
    return Finding(what, str(measured))


def safe(violations: Mapping[str, int]) -> Finding:
    """The criterion "Z": nothing acknowledged lost, nothing doubled, reordered or made up."""
    found = {name: count for name, count in violations.items() if count}
    shown = ", ".join(f"{name} {count}" for name, count in found.items()) or "all seven 0"
    return Finding("Z", shown, not found, "all seven 0")


def sent(history: History) -> list[Finding]:
    """What a load came to: how much was acknowledged, and no answer that nobody foresaw."""
    statuses = history.statuses()
    return [
        told("messages acknowledged", f"{len(history.acked):,} of {len(history.attempts):,}"),
        told("answers", ", ".join(f"{s or 'none'}: {n:,}" for s, n in sorted(statuses.items()))),
        equal("answers 500", statuses[500], 0),
    ]


def _number(value: float, unit: str) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"{text} {unit}" if unit and unit != "%" else f"{text}{unit}"


# --- results --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Result:
    """One run of a fault; ``seconds`` is how long it disturbed, ``took`` how long all of it lasted,
    in seconds, and ``error`` why it came to no findings.
    """

    name: str
    title: str
    database: str
    seconds: float
    findings: list[Finding] = field(default_factory=list)
    error: str | None = None
    took: float = 0.0
    at: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M"))

    @property
    def holds(self) -> bool:
        return self.error is None and all(finding.holds for finding in self.findings)


def keep(results: Iterable[Result]) -> None:
    """Write each result to a file of its own, and renew the table of all."""
    RESULTS.mkdir(exist_ok=True)
    for result in results:
        path = RESULTS / f"{result.name}-{result.database}.json"
        path.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")
    kept = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    (RESULTS / "README.md").write_text(_table(kept))


def _table(kept: list[dict[str, object]]) -> str:
    lines = [
        "# Faults: the last result of each",
        "",
        f"{_machine()}, Python {platform.python_version()}; other work may have run beside.",
        "Written by `python faults/run.py --write`; what each proves: docs/explanation/faults.md.",
        "All are scenes in `faults/scenes/`; F35 runs `tests/promises/test_interleavings.py`.",
        "",
        "| fault | database | disturbed, s | in all, s | when (UTC) | holds | measured (wanted) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in kept:
        findings = result["findings"]
        assert isinstance(findings, list)
        holds = result["error"] is None and all(finding["holds"] for finding in findings)
        shown = "; ".join(_cell(finding) for finding in findings) or str(result["error"])
        name = f"{result['name']} {result['title']}"
        took = f"{result['took']:.0f}" if result.get("took") else ""
        row = [name, result["database"], f"{result['seconds']:g}", took, result["at"]]
        lines.append(f"| {' | '.join(map(str, row))} | {'yes' if holds else '**no**'} | {shown} |")
    return "\n".join([*lines, ""])


def _machine() -> str:
    """Return the processors and the memory, as Linux says them."""
    models = [
        line.split(": ")[1]
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{len(models)} × {models[0]}, {size / 2**30:.0f} GiB"


def _cell(finding: dict[str, object]) -> str:
    wanted = f" ({finding['wanted']})" if finding["wanted"] else ""
    measured = finding["measured"] if finding["holds"] else f"**{finding['measured']}**"
    return f"{finding['what']}: {measured}{wanted}"
