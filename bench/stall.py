"""How much heavy requests slow down the lane of the same process, at several settings.

    python bench/stall.py [--seconds 8] [--write]

One client asks for the unread total, on the lane, again and again, first alone and then while eight
others have Django list all users and write the OpenAPI document. Each choice has a server of its
own, all over one PostgreSQL. Told are the lane's latencies (ms) alone and beside heavy requests,
and how many of those are answered in a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from faults.clients import Person  # noqa: E402 - found from here on
from faults.stage import Stage  # noqa: E402

LANE, HEAVY = "/api/unread/", ("/api/users/?limit=100", "/api/schema/")
CHOICES = ((5.0, 1), (1.0, 1), (0.5, 1), (5.0, 2), (1.0, 2))  # ms a thread may run on, processes
RUNS = 1
MS = {"us": 0.001, "ms": 1.0, "s": 1_000.0}
CUSTOM = "import os, sys\nsys.setswitchinterval(float(os.environ['STALL_MS']) / 1000)\n"


async def wrk(address: str, path: str, person: Person, *, clients: int, seconds: float) -> str:
    call = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--latency", "--timeout", "30s"]
    call += ["-H", f"Authorization: {person.headers['Authorization']}", f"http://{address}{path}"]
    process = await asyncio.create_subprocess_exec(*call, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode()


def quantile(said: str, share: int) -> float:
    """Return a quantile of latencies in ms."""
    found = re.search(rf"\s{share}%\s+([\d.]+)(us|ms|s)", said)
    assert found, said
    return float(found[1]) * MS[found[2]]


def rate(said: str) -> float:
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])


async def measure(address: str, person: Person, seconds: float) -> dict[str, float]:
    alone = await wrk(address, LANE, person, clients=1, seconds=seconds)
    beside, *heavy = await asyncio.gather(
        wrk(address, LANE, person, clients=1, seconds=seconds),
        *(wrk(address, path, person, clients=4, seconds=seconds) for path in HEAVY),
    )
    return {
        "alone_p50": quantile(alone, 50),
        "alone_p99": quantile(alone, 99),
        "beside_p50": quantile(beside, 50),
        "beside_p99": quantile(beside, 99),
        "heavy_per_s": sum(map(rate, heavy)),
    }


async def choose(folder: Path, seconds: float) -> list[dict[str, float]]:
    (folder / "sitecustomize.py").write_text(CUSTOM)
    path = os.pathsep.join([str(folder), str(ROOT / "src"), str(ROOT)])
    rows = []
    async with AsyncExitStack() as stack:
        stage = Stage("postgresql", seconds, folder, stack, print)
        await stage.open_store()
        for _ in range(RUNS):
            for interval, workers in CHOICES:
                given = {"STALL_MS": str(interval), "WORKERS": str(workers), "PYTHONPATH": path}
                [server] = await stage.serve(1, **given)
                [person] = await stage.cast(server.address, 1)
                found = await measure(server.address, person, seconds)
                await server.kill()
                rows.append({"switch_ms": interval, "workers": workers, **found})
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--write", action="store_true", help="keep the figures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parley-stall-") as folder:
        rows = asyncio.run(choose(Path(folder), asked.seconds))
    if asked.write:
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        kept = {"at": at, "command": f"python bench/stall.py --seconds {asked.seconds:g}"}
        path = ROOT / "bench" / "results" / "stall.json"
        path.write_text(json.dumps(kept | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
