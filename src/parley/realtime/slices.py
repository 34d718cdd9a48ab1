"""Long work in the event loop, done in slices: whatever else is due goes on between them."""

from __future__ import annotations

import asyncio
from time import perf_counter

SLICE_S = 0.002


class Slices:
    """The time that a piece of work has taken from the loop."""

    def __init__(self) -> None:
        self._end = perf_counter() + SLICE_S

    async def breathe(self) -> None:
        """Let others go first, once a slice is over."""
        if perf_counter() > self._end:
            await asyncio.sleep(0)
            self._end = perf_counter() + SLICE_S
