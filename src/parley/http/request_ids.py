"""What names one request, in its answer and in every line that is logged for it."""

from __future__ import annotations

import re

from parley.kernel.ids import random_bits

HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def request_id(given: str | None) -> str:
    """Return the id that a request brought, if it is fit for a log, else a new one."""
    if given and SANE.fullmatch(given):
        return given
    return f"{random_bits():016x}{random_bits():016x}"
