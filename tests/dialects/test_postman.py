"""The Postman collections: run as their users run them, by newman, against a fresh server."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.dialects.serving import ROOT, serving

FOLDER = ROOT / "postman"
NEWMAN = FOLDER / "node_modules" / ".bin" / "newman"
COLLECTIONS = sorted(FOLDER.glob("*.postman_collection.json"))
SECRET = re.compile(r"\beyJ[\w-]{8,}|\b(?:[0-9a-f]{40}|[A-Za-z0-9]{64})\b")


@pytest.fixture(scope="module")
def newman() -> Path:
    """Return the program that runs collections, installed where it is missing."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here: nodejs brings it, and it brings newman")
    with (FOLDER / "package.json").open() as lock:  # of the workers of a run one installs it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not NEWMAN.exists():
            done = subprocess.run([npm, "install"], cwd=FOLDER, capture_output=True, check=False)
            if done.returncode:
                pytest.skip("newman is not here: `npm install` in postman/ brings it")
    return NEWMAN


@pytest.fixture(scope="module")
def server():
    with serving() as found:
        yield found


def items(collection: Path) -> list[dict]:
    found = json.loads(collection.read_text(encoding="utf-8"))
    return [item for folder in found["item"] for item in folder["item"]]


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda path: path.name.partition(".")[0])
class TestCollection:
    def test_passes_all_its_own_tests(self, newman, server, collection):
        command = [newman, "run", collection, "--env-var", f"baseUrl={server.url}"]
        played = subprocess.run(
            [*command, "--reporters", "cli", "--color", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert played.returncode == 0, played.stdout[-4_000:]

    def test_is_what_its_scene_says(self, collection):
        name = collection.name.partition(".")[0]
        scene = tomllib.loads((FOLDER / "scenes" / f"{name}.toml").read_text(encoding="utf-8"))
        steps = [step for folder in scene["folder"] for step in folder["step"]]

        found = items(collection)

        assert [item["name"] for item in found] == [step["name"] for step in steps]
        assert [item["response"][0]["code"] for item in found] == [step["says"] for step in steps]
        assert all(item["event"][0]["script"]["exec"] for item in found)

    def test_has_no_secret_in_it(self, collection):
        assert SECRET.findall(collection.read_text(encoding="utf-8")) == []


class TestFolder:
    def test_has_a_collection_for_every_dialect_and_for_the_canonical_api(self):
        names = {path.name.partition(".")[0] for path in COLLECTIONS}

        assert names == {
            "bearer_mail",
            "token_mail",
            "session_mail",
            "conversations",
            "user_to_user",
            "parley",
        }
