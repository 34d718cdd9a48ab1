"""How fast is it, against the database itself and against a plain Django REST framework?

    python -m bench.speed [--quick] [--rounds 5] [--seconds 2] [--only send …] [--part …] [--write]

Needs ``wrk``, ``pgbench`` and the servers of PostgreSQL and MariaDB (``BENCH_POSTGRESQL``,
``BENCH_MYSQL``: an address without a database; default this machine's). In a database of its own
of each kind it serves the same world twice, by ``manage.py serve`` and by plain views
(``bench/plain``) under gunicorn, and plays each row in rounds, in turns: the product, plain views,
and the product's statements alone (pgbench, mariadb-slap, sqlite3). Prints medians, spread, ratios,
the CPU of server, database and client from ``/proc``, and whether the targets hold. ``--write``
keeps the figures in ``bench/results/`` and puts them in the README. ``--soak 20`` loads live
connections for so many minutes instead, and says how memory grew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.speed import live, parts, tables
from bench.speed.rows import PARTS, ROWS, Row
from bench.speed.servers import ROOT
from bench.speed.verdicts import judge

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="little data, one short round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="kinds of rows")
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--into", help=argparse.SUPPRESS)  # one part writes here what it found
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 1
    if chosen.write and (chosen.quick or chosen.only or set(chosen.part) != set(PARTS)):
        parser.error("only a whole run is kept")
    return chosen


def rows_of(part: str, only: list[str] | None) -> list[Row]:
    return [row for row in ROWS if row.part == part and (not only or row.kind in only)]


def run_part(part: str, chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure a part in a process of its own; a part that fails is not measured, and says so."""
    into = folder / f"{part}.json"
    command = [sys.executable, "-m", "bench.speed", "--part", part, "--into", str(into)]
    command += ["--rounds", str(chosen.rounds), "--seconds", str(chosen.seconds)]
    command += ["--quick"] * chosen.quick
    command += ["--only", *chosen.only] if chosen.only else []
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if into.exists():
        found: dict[str, Any] = json.loads(into.read_text())
        return found
    failed = [
        judge(row.name, part, {}, row.targets, error=f"the part ended with {code}")
        for row in rows_of(part, chosen.only)
    ]
    return {"version": None, "rows": failed}


def be_part(part: str, chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        found = parts.measure(
            part,
            rows_of(part, chosen.only),
            Path(folder),
            rounds=chosen.rounds,
            seconds=chosen.seconds,
            quick=chosen.quick,
        )
    Path(chosen.into).write_text(json.dumps(found))


def main() -> None:
    chosen = arguments()
    if chosen.into:
        be_part(chosen.part[0], chosen)
        return
    if chosen.soak:
        command = [sys.executable, "bench/connections.py", "--minutes", str(chosen.soak)]
        raise SystemExit(subprocess.run(command, cwd=ROOT, check=False).returncode)
    missing = [name for name in ("wrk", "pgbench") if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"missing: {' and '.join(missing)}")
    console = Console(width=180)
    kept: dict[str, Any] = {"machine": tables.machine(), "rows": []}
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        for part in chosen.part:
            if part == "live":
                found = [] if chosen.only else live.measure(Path(folder), quick=chosen.quick)
            elif rows_of(part, chosen.only):
                measured = run_part(part, chosen, Path(folder))
                found = measured["rows"]
                if measured["version"]:
                    name, _, version = measured["version"].partition(" ")
                    kept["machine"]["versions"][name] = version
            else:
                continue
            kept["rows"] += found
            tables.show(console, found)
    if chosen.write:
        console.print(f"kept in {tables.keep(kept).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
