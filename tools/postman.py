"""The Postman collections: the scenes of ``postman/scenes``, and what a server answered to them.

    python tools/postman.py http://127.0.0.1:8000     writes postman/*.postman_collection.json anew

A scene is a TOML file. Of a step it says what is asked (``asks``, ``sends``), how whoever asks
proves who they are (``by``), and what must be true of the answer: its status (``says``), its keys
in their order (``keys``; ``0: …`` are those of the first in a list) or all of it (``equals``).
``save`` keeps parts of it for later steps, which name them as Postman does: ``{{first}}``. Tokens
and passwords are made up when a collection runs; none is in a file.
"""

import json
import re
import secrets
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).resolve().parents[1] / "postman"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
VARIABLE = re.compile(r"\{\{([\w-]+)\}\}")
SECRET = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+|\b(?:[A-Za-z0-9]{64}|[0-9a-f]{40})\b")
FIXED = {"followRedirects": False, "disableBodyPruning": True}

BEFORE = """
if (!pm.collectionVariables.get("tail")) {
    pm.collectionVariables.set("tail", pm.variables.replaceIn("{{$guid}}").slice(0, 8));
    pm.collectionVariables.set("password", pm.variables.replaceIn("{{$guid}}"));
}
"""
AFTER = """
pm.test("It is answered, and not with a page or a redirect", () => {
    pm.expect(pm.response.code).to.be.below(500);
    pm.expect(Math.floor(pm.response.code / 100)).to.not.equal(3);
    pm.expect(pm.response.headers.get("Content-Type") || "").to.not.include("text/html");
    pm.response.to.have.header("X-Request-ID");
});
"""

Step = dict[str, Any]


def headers(step: Step) -> dict[str, str]:
    scheme, _, who = step.get("by", "").partition(" ")
    found = {"Content-Type": "application/json"} if "sends" in step else {}
    proofs = {
        "csrf": {"X-CSRFToken": "{{csrf}}"},
        "bearer": {"Authorization": f"Bearer {{{{{who}_access}}}}"},
        "token": {"Authorization": f"Token {{{{{who}_token}}}}"},
    }
    return found | proofs.get(scheme, {})


# --- playing


class Player:
    """Plays steps to a server, and keeps what they save."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self.known = {"tail": secrets.token_hex(4), "password": secrets.token_urlsafe(16)}

    def fill(self, text: str) -> str:
        return VARIABLE.sub(lambda name: self.known[name[1]], text)

    def play(self, step: Step) -> httpx.Response:
        """Return the answer to a step.

        :raises SystemExit: it is another one than the scene says.
        """
        method, _, path = step["asks"].partition(" ")
        body = self.fill(step["sends"]) if "sends" in step else None
        sent = {name: self.fill(value) for name, value in headers(step).items()}
        answer = self.client.request(method, self.fill(path), content=body, headers=sent)
        if answer.status_code != step["says"]:
            sys.exit(f"{step['asks']} ({step['name']}): {answer.status_code} {answer.text}")
        for name, key in step.get("save", {}).items():
            self.known[name] = str(answer.json()[key])
        return answer


# --- writing


def collection(scene: dict[str, Any], url: str) -> dict[str, Any]:
    player = Player(url)
    folders = [
        {"name": each["name"], "item": [item(step, player) for step in each["step"]]}
        for each in scene["folder"]
    ]
    steps = [step for each in scene["folder"] for step in each["step"]]
    saved = sorted({name for step in steps for name in step.get("save", {})})
    variables = {"baseUrl": "http://127.0.0.1:8000", "tail": "", "password": ""}
    variables |= dict.fromkeys(saved, "")
    return {
        "info": {
            "name": f"Parley: {scene['name']}",
            "description": scene["about"],
            "schema": SCHEMA,
        },
        "protocolProfileBehavior": FIXED,
        "variable": [{"key": name, "value": value} for name, value in variables.items()],
        "event": [script("prerequest", BEFORE), script("test", AFTER)],
        "item": folders,
    }


def script(when: str, text: str) -> dict[str, Any]:
    lines = text.strip().splitlines()
    return {"listen": when, "script": {"type": "text/javascript", "exec": lines}}


def item(step: Step, player: Player) -> dict[str, Any]:
    asked = request(step)
    return {
        "name": step["name"],
        "protocolProfileBehavior": FIXED,
        "event": [script("test", "\n".join(checks(step)))],
        "request": asked,
        "response": [example(step, player.play(step), asked, player)],
    }


def request(step: Step) -> dict[str, Any]:
    method, _, address = step["asks"].partition(" ")
    path, _, query = address.partition("?")
    url: dict[str, Any] = {
        "raw": f"{{{{baseUrl}}}}{address}",
        "host": ["{{baseUrl}}"],
        "path": path.split("/")[1:],
    }
    if query:
        pairs = (pair.partition("=") for pair in query.split("&"))
        url["query"] = [{"key": key, "value": value} for key, _, value in pairs]
    sent = [{"key": key, "value": value} for key, value in headers(step).items()]
    found: dict[str, Any] = {"method": method, "header": sent, "url": url}
    if "sends" in step:
        body = json.dumps(json.loads(step["sends"]), indent=2, ensure_ascii=False)
        found["body"] = {"mode": "raw", "raw": body}
    return found


def checks(step: Step) -> Iterator[str]:
    """Write the tests of a step, in Postman's JavaScript."""
    said = step["says"]
    yield f'pm.test("Status {said}", () => pm.response.to.have.status({said}));'
    if said == httpx.codes.NO_CONTENT:
        yield 'pm.test("No body", () => pm.expect(pm.response.text()).to.equal(""));'
    if "keys" in step:
        first, colon, names = step["keys"].rpartition(": ")
        where = f"pm.response.json()[{first}]" if colon else "pm.response.json()"
        yield (
            'pm.test("These keys, in this order", () => '
            f"pm.expect(Object.keys({where})).to.eql({json.dumps(names.split())}));"
        )
    if "equals" in step:
        wanted = step["equals"]
        yield f'pm.test("This answer", () => pm.expect(pm.response.json()).to.eql({wanted}));'
    for name, key in step.get("save", {}).items():
        yield f'pm.collectionVariables.set("{name}", pm.response.json().{key});'


def example(
    step: Step, answer: httpx.Response, asked: dict[str, Any], player: Player
) -> dict[str, Any]:
    """Return what was answered, as an example: without secrets, and with names as anyone's."""
    body = json.dumps(answer.json(), indent=2, ensure_ascii=False) if answer.content else ""
    for secret, shown in ((player.known["tail"], "1a2b3c4d"), (player.known["password"], "…")):
        body = body.replace(secret, shown)
    body = body.replace(str(player.client.base_url).rstrip("/"), "http://127.0.0.1:8000")
    kind = answer.headers.get("Content-Type")
    return {
        "name": f"{answer.status_code} {step['name']}",
        "originalRequest": asked,
        "status": answer.reason_phrase,
        "code": answer.status_code,
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": kind}] if kind else [],
        "cookie": [],
        "body": SECRET.sub("…", body),
    }


def main(url: str) -> None:
    for path in sorted((FOLDER / "scenes").glob("*.toml")):
        scene = tomllib.loads(path.read_text(encoding="utf-8"))
        file = FOLDER / f"{scene['name']}.postman_collection.json"
        text = json.dumps(collection(scene, url), indent=2, ensure_ascii=False)
        file.write_text(f"{text}\n", encoding="utf-8")
        print(f"{file.name}: {text.count('originalRequest')} requests")


if __name__ == "__main__":
    main(*sys.argv[1:])
