"""Play faults, and say whether what is promised held.

    python faults/run.py F01 [F03 …] [--database postgresql|sqlite|mariadb] [--seconds 60] [--write]

Without a name all of them are played, each on its first database. Servers, databases and brokers
are started for each, and ended after it; a table of all ends it. ``--write`` keeps the figures in
``faults/results/``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from faults.report import FAULTS, Fault, Finding, Result, keep  # noqa: E402 - found from here on
from faults.scenes import LOADED  # noqa: E402
from faults.stage import Stage  # noqa: E402
from tests.servers import NotHere  # noqa: E402

console = Console(highlight=False)


async def play(fault: Fault, database: str, seconds: float, status: Status) -> list[Finding]:
    """Play one scene on a stage of its own."""
    begun = time.monotonic()

    def say(text: str) -> None:
        status.update(f"{fault.name} on {database}, {time.monotonic() - begun:.0f} s: {text}")

    with tempfile.TemporaryDirectory(prefix="parley-fault-") as folder:
        async with AsyncExitStack() as stack:
            say("the stage is set")
            return await fault.scene(Stage(database, seconds, Path(folder), stack, say))


def result_of(fault: Fault, database: str, seconds: float) -> Result:
    """Play one fault; what goes wrong with the scene itself is a result, too."""
    result, begun = Result(fault.name, fault.title, database, seconds), time.monotonic()
    with console.status(fault.name) as status:
        try:
            result.findings = asyncio.run(play(fault, database, seconds, status))
        except NotHere as reason:
            result.error = f"not played: {reason}"
        except Exception as error:  # noqa: BLE001 - the others are to be played all the same
            result.error = f"{type(error).__name__}: {error}"
            console.print(traceback.format_exc(), style="dim", markup=False)
    result.took = round(time.monotonic() - begun, 1)
    return result


def show(result: Result) -> None:
    verdict = "[green]holds[/]" if result.holds else "[red]does not hold[/]"
    console.print(f"[bold]{result.name}[/] {result.title} ({result.database}): {verdict}")
    for finding in result.findings:
        mark = ("[green]✓[/]" if finding.holds else "[red]✗[/]") if finding.wanted else " "
        wanted = f"  [dim](wanted: {finding.wanted})[/]" if finding.wanted else ""
        text = f"   {mark} {finding.what}: {escape(finding.measured)}{wanted}"
        console.print(text, soft_wrap=True)
    if result.error:
        console.print(f"   [red]✗[/] {escape(result.error)}", soft_wrap=True)


def sum_up(results: Sequence[Result], seconds: float) -> None:
    """Show all in one table, with what did not hold."""
    held = sum(result.holds for result in results)
    table = Table(title=f"{held} of {len(results)} hold, after {seconds / 60:.1f} minutes")
    for heading in ("fault", "database", "seconds", "holds", "what did not"):
        table.add_column(heading, overflow="fold")
    for result in results:
        broken = [f"{f.what}: {f.measured} ({f.wanted})" for f in result.findings if not f.holds]
        why = escape("\n".join([*broken, *([result.error] if result.error else [])]))
        verdict = "[green]yes[/]" if result.holds else "[red]no[/]"
        name = f"{result.name} {result.title}"
        table.add_row(name, result.database, f"{result.took:.0f}", verdict, why)
    console.print(table)


def main() -> int:
    assert LOADED
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="F01", help="which; all without any")
    parser.add_argument("--database", choices=["postgresql", "sqlite", "mariadb"])
    parser.add_argument("--seconds", type=float, help="how long each disturbs")
    parser.add_argument("--write", action="store_true", help="keep the figures")
    parser.add_argument("--list", action="store_true", help="say which there are")
    asked = parser.parse_args()
    if asked.list:
        for fault in FAULTS.values():
            console.print(f"{fault.name} {fault.title} ({', '.join(fault.databases)})")
        return 0
    if unknown := set(asked.names) - FAULTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; --list says which there are")
    chosen = [FAULTS[name] for name in asked.names or sorted(FAULTS)]
    results, begun = list[Result](), time.monotonic()
    for place, fault in enumerate(chosen, start=1):
        database = asked.database or fault.databases[0]
        if database not in fault.databases:
            parser.error(f"{fault.name} is for {', '.join(fault.databases)}")
        console.print(f"[dim]\\[{place}/{len(chosen)}]", end=" ")
        results.append(result_of(fault, database, asked.seconds or fault.seconds))
        show(results[-1])
        if asked.write:
            keep(results[-1:])
    sum_up(results, time.monotonic() - begun)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
