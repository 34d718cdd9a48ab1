"""Query parameters: each is declared once, and read, bounded and documented from there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from parley.kernel import ids
from parley.kernel.errors import Invalid
from parley.kernel.paging import DEFAULT_SIZE, LARGEST_SIZE
from parley.kernel.text import check_text

T = TypeVar("T")

LARGEST = 2**63 - 1
WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
MOST_DIGITS = 20
FLAGS = {"true": True, "1": True, "false": False, "0": False}


class NotAnInteger(Invalid):
    message = "A valid integer is required."


class OutOfRange(Invalid):
    message = f"Expected an integer from 0 to {LARGEST}."


class NotAFlag(Invalid):
    message = "Expected true or false."


class NotAnId(Invalid):
    message = "Must be a valid UUID."


class NotAChoice(Invalid):
    code = "invalid_choice"


class Exclusive(Invalid):
    code = "exclusive"


def whole(text: str, *, attr: str) -> int:
    """Return the integer that a text writes; one of more digits than any database holds is cut to
    10^20.

    :raises NotAnInteger: it writes none.
    """
    if not WHOLE.fullmatch(text):
        raise NotAnInteger(attr=attr)
    digits = text.lstrip("+-0") or "0"
    size = int(digits) if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS
    return -size if text.startswith("-") else size


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """A query parameter; ``read`` takes its value from a query, typed."""

    name: str
    says: str
    _: KW_ONLY
    default: Any = None

    def read(self, query: Mapping[str, str]) -> T:
        """Return the value given, else the default.

        :raises Invalid: it is not what the parameter takes.
        """
        text = query.get(self.name)
        return self.default if text is None else self.parse(text)

    def parse(self, text: str) -> T:
        raise NotImplementedError

    def shape(self) -> dict[str, Any]:
        """Return the JSON schema of what it takes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Amount(Parameter[int]):
    """How many of something: clamped to its bounds."""

    least: int = 0
    most: int = LARGEST

    def parse(self, text: str) -> int:
        return min(max(whole(text, attr=self.name), self.least), self.most)

    def shape(self) -> dict[str, Any]:
        return {"type": "integer", "default": self.default}


@dataclass(frozen=True)
class Place(Parameter[int | None]):
    """A ``seq`` or a revision."""

    def parse(self, text: str) -> int:
        found = whole(text, attr=self.name)
        if not 0 <= found <= LARGEST:
            raise OutOfRange(attr=self.name)
        return found

    def shape(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": LARGEST}


@dataclass(frozen=True)
class Flag(Parameter[bool]):
    """A yes or no."""

    default: Any = False

    def parse(self, text: str) -> bool:
        try:
            return FLAGS[text.lower()]
        except KeyError:
            raise NotAFlag(attr=self.name) from None

    def shape(self) -> dict[str, Any]:
        return {"type": "boolean", "default": self.default}


@dataclass(frozen=True)
class Choice(Parameter[Any]):
    """One of a few words."""

    words: tuple[str, ...] = ()

    def parse(self, text: str) -> str:
        if text not in self.words:
            raise NotAChoice(f"Expected one of: {', '.join(self.words)}.", attr=self.name)
        return text

    def shape(self) -> dict[str, Any]:
        known: dict[str, Any] = {"type": "string", "enum": list(self.words)}
        return known if self.default is None else known | {"default": self.default}


@dataclass(frozen=True)
class Id(Parameter[UUID | None]):
    """The id of something."""

    def parse(self, text: str) -> UUID:
        found = ids.parse(text)
        if found is None:
            raise NotAnId(attr=self.name)
        return found

    def shape(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True)
class Text(Parameter[str]):
    """Some words."""

    default: Any = ""
    longest: int = 255

    def parse(self, text: str) -> str:
        return check_text(text, attr=self.name, longest=self.longest, may_be_blank=True)

    def shape(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.longest}


def only_one(query: Mapping[str, str], *parameters: Parameter[Any]) -> None:
    """Refuse a query that gives two parameters that exclude each other.

    :raises Exclusive: more than one of them is there.
    """
    given = [parameter.name for parameter in parameters if parameter.name in query]
    if len(given) > 1:
        raise Exclusive(f"{' and '.join(given)} exclude each other.", attr=given[1])


LIMIT = Amount(
    "limit",
    f"How many results a page has: 1–{LARGEST_SIZE}; what is outside is clamped.",
    default=DEFAULT_SIZE,
    least=1,
    most=LARGEST_SIZE,
)
WAIT = Amount(
    "wait", "For how many seconds to wait for news, if there are none: 0–30.", default=0, most=30
)
CURSOR: Text = Text(
    "cursor", "Where to continue: taken from `next` or `previous`, never made up.", longest=4_096
)
USERS: Choice = Choice(
    "users",
    "`map`: people are named by their `user_id`, and are written out once, in `users` beside the "
    "results. A participant then has `user`, an id, in place of the user's own fields.",
    words=("map",),
)
