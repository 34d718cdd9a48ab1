"""Instants as the dialects write them: in UTC, with ``Z``, each with its own precision."""

from __future__ import annotations

from datetime import UTC, datetime


def microseconds(at: datetime) -> str:
    return _written(at, "microseconds")


def milliseconds(at: datetime) -> str:
    return _written(at, "milliseconds")


def _written(at: datetime, precision: str) -> str:
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision)}Z"
