"""The words of ``token_mail``: what its clients say, and what they hear."""

from __future__ import annotations

from typing import Any

from parley.dialects.problems import Problem

PATHS: tuple[str, ...] = ()
SEPARATORS = (",", ":")


def render_no(no: Problem) -> dict[str, Any]:
    """Return the body of an error."""
    return {"detail": no.detail}
