"""All rows of one kind of database, in a process of its own: Django knows but one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from sqlite3 import DatabaseError
from typing import Any

from bench.speed import players, servers, world
from bench.speed.rows import PLAIN, SQL, Row
from bench.speed.verdicts import Finding, Run, judge, judge_runs

Ports = dict[str, tuple[int, int]]


def measure(
    part: str, rows: list[Row], folder: Path, *, rounds: int, seconds: int, quick: bool
) -> dict[str, Any]:
    """Return the findings of these rows, and the version of the database."""
    with ExitStack() as stack:
        stack.enter_context(world.filled(part, folder, quick=quick))
        world.write_pairs(folder)
        ports: Ports = {}
        for who, command in (("product", servers.product), (PLAIN, servers.plain)):
            port = servers.free_port()
            ports[who] = port, stack.enter_context(servers.serving(command(port), port))
        found = [_try(row, rounds, seconds, ports, folder) for row in rows]
        return {"version": _version(), "rows": found}


def _try(row: Row, rounds: int, seconds: int, ports: Ports, folder: Path) -> Finding:
    """Measure a row; one that fails says so, and the others go on."""
    try:
        return judge_runs(
            row.name, row.part, _play(row, rounds, seconds, ports, folder), row.targets
        )
    except (RuntimeError, ValueError, OSError, DatabaseError) as error:
        print(f"{row.name}: {error}", flush=True)
        return judge(row.name, row.part, {}, row.targets, error=str(error)[:500])


def _play(row: Row, rounds: int, seconds: int, ports: Ports, folder: Path) -> dict[str, list[Run]]:
    """Return the runs of a row by who was asked, in turns."""
    asked = [who for who in ports if who == "product" or who in row.against]
    runs: dict[str, list[Run]] = {who: [] for who in (*asked, *({SQL} & set(row.against)))}
    for who in asked if rounds > 1 else ():  # warm up
        players.play_server(row, *ports[who], 1, folder)
    for _ in range(rounds):
        for who in asked:
            runs[who].append(players.play_server(row, *ports[who], seconds, folder))
        if SQL in row.against:
            runs[SQL].append(players.play_sql(row, seconds))
    return runs


def _version() -> str:
    from django.db import connection

    asked = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}
    with connection.cursor() as cursor:
        cursor.execute(asked.get(connection.vendor, "SELECT version()"))
        return f"{connection.display_name} {cursor.fetchone()[0].split()[0]}"
