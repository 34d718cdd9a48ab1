"""Plays transcripts: what an old client sends and hears, as data, against a server over real HTTP.

A transcript is a TOML file that needs no knowledge of our code; the same file can be played to the
server that it was recorded from.

    people = ["ada", "ben"]       # exist before it begins; <ada> is ada's number
    signed_in_by = "bearer"       # how whoever is named by `as` proves it: bearer, token or session

    [[step]]
    do = "POST /write/?a=b"       # method and address
    as = "ada"                    # who; each has a cookie jar, the stranger without it too
    as = "ada"                    # who; each has a cookie jar, strangers have theirs
    headers = { X-CSRFToken = "…" }
    says = 201                    # the status
    hears = '{"id":<int:first>}'  # the exact body, byte for byte; "" is an empty one
    heads = { Allow = "POST", Link = "" }   # headers; "" says that there is none

In what is sent a <name> stands for a value known by then: a person's number <ada>, username
<ada.name>, e-mail address <ada.email>, their <password>, what an earlier step has captured, <host>
(where the server is), <lt> (the sign itself), <subject256>, <long> and <huge> (one more than a
message and a body may have). In what is heard <int>, <iso-us> (an instant in UTC, microseconds),
<iso-ms>, <hex40>, <uuid>, <jwt>, <csrf> and <any> stand for what cannot be known; <int:first>
captures it as <first>. A cookie `x` is captured by `cookies = {x = "name"}`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
UNKNOWN = {
    "int": r"-?\d+",
    "iso-us": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "iso-ms": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "hex40": r"[0-9a-f]{40}",
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "jwt": r"[\w-]+\.[\w-]+\.[\w-]+",
    "csrf": r"[A-Za-z0-9]{64}",
    "any": r".*?",
}
PLACE = re.compile(r"<([\w.-]+)(?::([\w.-]+))?>")
JSON = "application/json"


def transcripts() -> list[Path]:
    return sorted(HERE.glob("*/transcripts/*.toml"))


def name_of(path: Path) -> str:
    return f"{path.parts[-3]}-{path.stem}"


@dataclass
class Player:
    """Plays the steps of one transcript; what they teach is in ``known``."""

    server: str
    known: dict[str, str]
    signed_in_by: str = "bearer"
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def play(self, transcript: Mapping[str, Any]) -> None:
        """Play it all.

        :raises AssertionError: something was answered that is not in the transcript.
        """
        self.signed_in_by = transcript.get("signed_in_by", self.signed_in_by)
        try:
            for number, step in enumerate(transcript["step"], start=1):
                self.take(step, f"step {number}: {step['do']}")
        finally:
            for client in self.clients.values():
                client.close()

    def take(self, step: Mapping[str, Any], where: str) -> httpx.Response:
        method, _, address = self.fill(step["do"]).partition(" ")
        who = step.get("as", "")
        answer = self.client(who).request(
            method,
            address,
            content=self.fill(step["send"]).encode() if "send" in step else None,
            headers=self.headers(step, who),
        )
        self.check(step, answer, where)
        for name, known_as in step.get("cookies", {}).items():
            self.known[known_as] = answer.cookies[name]
        return answer

    def headers(self, step: Mapping[str, Any], who: str) -> dict[str, str]:
        found = {"Content-Type": step.get("type", JSON)} if "send" in step else {}
        if f"{who}.csrf" in self.known:
            found["X-CSRFToken"] = self.known[f"{who}.csrf"]
        return found | {k: self.fill(v) for k, v in step.get("headers", {}).items()}

    def check(self, step: Mapping[str, Any], answer: httpx.Response, where: str) -> None:
        heard = answer.text
        assert answer.status_code == step["says"], f"{where}: {answer.status_code} {heard}"
        if "hears" in step:
            self.compare(step["hears"], heard, where)
        if answer.status_code == httpx.codes.NO_CONTENT:
            assert not answer.content, where
        if heard:
            assert answer.headers["Content-Type"].startswith(step.get("of_type", JSON)), where
        for name, wanted in step.get("heads", {}).items():
            self.compare(wanted, answer.headers.get(name, ""), f"{where}: {name}")

    # --- words

    def fill(self, text: str) -> str:
        """Put in what is known."""

        def known(place: re.Match[str]) -> str:
            name = place.group(1)
            return self.known[name] if name in self.known else place.group()

        return PLACE.sub(known, text)

    def compare(self, wanted: str, heard: str, where: str) -> None:
        """Compare to the byte, and capture what could not be known."""
        captured: dict[str, str] = {}
        pattern, end = "", 0
        for number, place in enumerate(PLACE.finditer(wanted)):
            pattern += re.escape(wanted[end : place.start()]) + self.pattern(place, number)
            if place.group(2):
                captured[place.group(2)] = f"p{number}"
            end = place.end()
        found = re.fullmatch(pattern + re.escape(wanted[end:]), heard, re.DOTALL)
        assert found, f"{where}\nwanted {self.fill(wanted)}\nheard  {heard}"
        self.known |= {name: found.group(group) for name, group in captured.items()}

    def pattern(self, place: re.Match[str], number: int) -> str:
        name = place.group(1)
        if name in UNKNOWN:
            return f"(?P<p{number}>{UNKNOWN[name]})"
        return re.escape(self.known.get(name, place.group()))

    # --- people

    def client(self, who: str) -> httpx.Client:
        if who not in self.clients:
            self.clients[who] = httpx.Client(base_url=self.server, timeout=30)
            if who:
                getattr(self, f"sign_in_by_{self.signed_in_by}")(who, self.clients[who])
        return self.clients[who]

    def _login(self, who: str) -> dict[str, str]:
        return {"username": self.known[f"{who}.name"], "password": self.known["password"]}

    def sign_in_by_bearer(self, who: str, client: httpx.Client) -> None:
        pair = client.post("/api/token/", json=self._login(who)).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {pair['access']}"

    def sign_in_by_token(self, who: str, client: httpx.Client) -> None:
        made = client.post("/api/token/opaque/", json=self._login(who)).raise_for_status().json()
        client.headers["Authorization"] = f"Token {made['token']}"

    def sign_in_by_session(self, who: str, client: httpx.Client) -> None:
        csrf = client.get("/api/session/").raise_for_status().json()["csrf_token"]
        client.post("/api/session/", json=self._login(who), headers={"X-CSRFToken": csrf})
        csrf = client.get("/api/session/").raise_for_status().json()["csrf_token"]
        self.known[f"{who}.csrf"] = csrf


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())
