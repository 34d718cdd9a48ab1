"""What the runs of a row come to, and whether that is what was aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Runs = Mapping[str, Sequence["Run"]]
Finding = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What one run came to: requests a second, latencies in ms, CPU in ms a request."""

    rate: float
    p50: float
    p99: float
    server: float = 0.0
    database: float = 0.0
    client: float = 0.0


@dataclass(frozen=True)
class Target:
    """A bound on one value: at least so much, or (``most``) at most."""

    value: str
    bound: float
    most: bool = False

    def holds(self, found: float) -> bool:
        return found <= self.bound if self.most else found >= self.bound

    def __str__(self) -> str:
        return f"{self.value} {'≤' if self.most else '≥'} {self.bound:g}"


def medians(runs: Sequence[Run]) -> dict[str, float]:
    return {
        name: round(statistics.median(getattr(run, name) for run in runs), 4)
        for name in asdict(runs[0])
    }


def values_of(runs: Runs) -> dict[str, float]:
    """Return what targets are about, from the medians; who was not played gives no ratio."""
    of = {who: medians(played) for who, played in runs.items() if played}
    ours = of["product"]
    found = {"p50 ms": ours["p50"], "p99 ms": ours["p99"]}
    for who, theirs in of.items():
        if who != "product":
            found[f"× {who}"] = ours["rate"] / max(theirs["rate"], 1e-6)
    if "plain DRF" in of:
        spent = {who: of[who]["server"] + of[who]["database"] for who in ("product", "plain DRF")}
        found["× less CPU"] = spent["plain DRF"] / max(spent["product"], 1e-6)
    return {name: round(value, 3) for name, value in found.items()}


def judge(
    name: str, part: str, values: Mapping[str, float], targets: Sequence[Target], **more: Any
) -> Finding:
    """Return a row of the table; a target whose value was not measured is not said to hold."""
    judged = [
        {
            "target": str(target),
            "is": values.get(target.value),
            "verdict": _verdict(target, values.get(target.value)),
        }
        for target in targets
    ]
    return {"row": name, "part": part, "values": dict(values), "targets": judged, **more}


def _verdict(target: Target, found: float | None) -> str:
    if found is None:
        return "not measured"
    return "holds" if target.holds(found) else "missed"


def judge_runs(name: str, part: str, runs: Runs, targets: Sequence[Target]) -> Finding:
    played = {who: found for who, found in runs.items() if found}
    return judge(
        name,
        part,
        values_of(played),
        targets,
        medians={who: medians(found) for who, found in played.items()},
        spread={
            who: [round(min(run.rate for run in found)), round(max(run.rate for run in found))]
            for who, found in played.items()
        },
    )
