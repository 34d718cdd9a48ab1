"""Instants as whole microseconds since 1970, the form in which positions carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def from_micros(count: int) -> datetime:
    """Return the instant.

    :raises OverflowError: it is outside what a datetime can hold.
    """
    return EPOCH + timedelta(microseconds=count)
