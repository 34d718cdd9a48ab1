"""Ids in addresses."""

from __future__ import annotations

from uuid import UUID

from parley.kernel import ids

NOBODY = UUID(int=0)


class IdConverter:
    """An id, with or without dashes.

    What is none becomes the nil UUID, which nothing has: whoever asks is first asked who they are,
    and then answered 404, as for any other thing that is not there.
    """

    regex = "[^/]+"

    def to_python(self, value: str) -> UUID:
        return ids.parse(value) or NOBODY

    def to_url(self, value: UUID) -> str:
        return str(value)
