"""Which door an address leads to, for errors that arise before any view: each door words its own.

A door that does not speak the canonical shape says so here, when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rest_framework.exceptions import APIException

Voice = Callable[[APIException], bytes]

_voices: dict[str, Voice] = {}


def speak(paths: Iterable[str], voice: Voice) -> None:
    """Have errors at these paths, and below them, written by a voice: JSON in UTF-8."""
    _voices.update(dict.fromkeys(paths, voice))


def voice_of(path: str) -> Voice | None:
    """Return who words the errors at an address, by its most exact path; else it is canonical."""
    parts = path.split("/")
    beginnings = ("/".join(parts[:n]) for n in range(len(parts), 1, -1))
    return next((_voices[each] for each in beginnings if each in _voices), None)
