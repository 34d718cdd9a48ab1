"""Calling the public API as any client does, and telling of each call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

PATIENCE_S = 30.0
TOO_MANY = 429


class UnexpectedAnswer(Exception):
    """The server answered other than the scene expects."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as it is told of."""

    who: str
    method: str
    path: str
    status: int


Tell = Callable[[Call], None]


def is_parley(url: str) -> bool:
    """Whether a Parley answers at this address."""
    try:
        with urlopen(f"{url}/healthz", timeout=2) as answer:  # noqa: S310 - http, by its address
            found = json.load(answer)
    except (URLError, OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("status") == "ok"


@dataclass(slots=True)
class Person:
    """Someone with a name, and once they have signed in with a token."""

    url: str
    name: str
    username: str
    tell: Tell
    token: str = ""
    user_id: str = ""

    def get(self, path: str, *, expect: int = 200) -> Any:
        return self.call("GET", path, expect=expect)

    def post(self, path: str, body: Mapping[str, Any], *, expect: int) -> Any:
        return self.call("POST", path, body, expect=expect)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, expect: int
    ) -> Any:
        """Make one call, tell of it, and return what came back.

        :raises UnexpectedAnswer: the status is another than the scene expects.
        """
        status, answer = self._send(method, path, body)
        self.tell(Call(self.name, method, path, status))
        if status == TOO_MANY:
            raise UnexpectedAnswer("The server has had too many calls from here; try again later.")
        if status != expect:
            raise UnexpectedAnswer(f"{method} {path} answered {status} and not {expect}: {answer}")
        return answer

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Any]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = Request(  # noqa: S310 - http, by its address
            self.url + quote(path, safe="/?=&%"),
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        try:
            with urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - as above
                return answer.status, _read(answer.read())
        except HTTPError as refused:
            return refused.code, _read(refused.read())
        except URLError as broken:
            raise UnexpectedAnswer(f"{self.url} does not answer: {broken.reason}") from None


def _read(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")[:200]
