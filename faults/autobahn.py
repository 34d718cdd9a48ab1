"""Play Autobahn's WebSocket cases against our own server, and say which did not pass.

    python faults/autobahn.py [--wstest wstest] [--write]

``wstest`` comes with the package autobahntestsuite, for Python 2.7 alone: make a virtual
environment with that, outside of this project. What is asked is the echo, on the protocol that all
our WebSockets have. ``--write`` keeps the summary in ``bench/results/autobahn.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from faults.stage import Stage  # noqa: E402 - found from here on

KEPT = ROOT / "bench" / "results" / "autobahn.json"
# 9 sends messages of megabytes, which we refuse; 12 and 13 are of compression, which is off.
LEFT_OUT = ["9.*", "12.*", "13.*"]
GOOD = {"OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"}
Cases = dict[str, dict[str, str]]


async def play(wstest: str, folder: Path) -> Cases:
    """Return what the suite says of each case."""
    async with AsyncExitStack() as stack:
        stage = Stage("sqlite", 0, folder, stack, print)
        [server] = await stage.serve(PARLEY_WEBSOCKET_ECHO="on")
        asked = {
            "outdir": str(folder),
            "servers": [{"agent": "parley", "url": f"ws://{server.address}/ws/_echo"}],
            "cases": ["*"],
            "exclude-cases": LEFT_OUT,
            "exclude-agent-cases": {},
        }
        spec = folder / "spec.json"
        spec.write_text(json.dumps(asked))
        await asyncio.to_thread(
            subprocess.run, [wstest, "-m", "fuzzingclient", "-s", str(spec)], check=True
        )
    found: Cases = json.loads((folder / "index.json").read_text())["parley"]
    return found


def summary(cases: Cases) -> dict[str, object]:
    """Return how many cases ended how, and which are not good; ``close`` is judged apart."""
    bad = {
        name: f"{case['behavior']}, close {case['behaviorClose']}"
        for name, case in cases.items()
        if not {case["behavior"], case["behaviorClose"]} <= GOOD
    }
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "command": "python faults/autobahn.py --write",
        "left_out": LEFT_OUT,
        "cases": len(cases),
        "behavior": Counter(case["behavior"] for case in cases.values()),
        "close": Counter(case["behaviorClose"] for case in cases.values()),
        "not_passed": bad,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wstest", default="wstest", help="the program of the suite")
    parser.add_argument("--write", action="store_true", help="keep the summary")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parley-autobahn-") as folder:
        found = summary(asyncio.run(play(asked.wstest, Path(folder))))
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if asked.write:
        KEPT.write_text(text)
    return 1 if found["not_passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
