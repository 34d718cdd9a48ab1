"""What a process counts of itself, for whatever watches over it: numbers, and nobody's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Values = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number with a name, one for each combination of its labels' values."""

    name: str
    says: str
    kind: str
    labels: tuple[str, ...]
    read: Callable[[], Values]


_known: dict[str, Metric] = {}


def known() -> list[Metric]:
    return [_known[name] for name in sorted(_known)]


def watch(name: str, says: str, read: Callable[[], float], *, kind: str = "gauge") -> None:
    """Have a number read whenever someone looks; of two by a name the last one stays."""
    _known[name] = Metric(name, says, kind, (), lambda: {(): read()})


class Counter:
    """How often something happened, by the values of some labels; one thread counts."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self._counted: dict[tuple[str, ...], int] = {}
        _known[name] = Metric(name, says, "counter", labels, self._counted.copy)

    def add(self, *values: str) -> None:
        self._counted[values] = self._counted.get(values, 0) + 1
