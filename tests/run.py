"""Every check and every test: what ``make test`` runs, and ``make check`` the first half of.

    python tests/run.py [--only-checks] [pytest's arguments …]

The whole suite runs on SQLite. The tests marked ``databases`` run before that on PostgreSQL and on
MariaDB, side by side: on a server that runs here and lets us in, else on one started for this run
alone, else not, which is said. With ``PARLEY_TEST_REQUIRE_ALL=1`` that is a failure.
``PARLEY_TEST_POSTGRESQL`` and ``PARLEY_TEST_MARIADB`` name a server (``postgres://…/``,
``mysql://…/``), and ``PARLEY_TEST_REDIS`` one of Redis, which some tests need. The last line is
pytest's own.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent))
from servers import NotHere, mariadb, postgresql, redis

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
CHECKS = {
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "lint": [PYTHON, "-m", "ruff", "check", "."],
    "types": [PYTHON, "-m", "mypy"],
    "imports": [PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
    "migrations": [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"],
}
SERVERS = {"PostgreSQL": postgresql, "MariaDB": mariadb, "Redis": redis}


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a step: the developer's own settings do not count."""
    left_out = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"PYTHONPATH": f"src{os.pathsep}.", "PARLEY_ENV_FILE": os.devnull} | more


@dataclass(frozen=True)
class Step:
    name: str
    command: list[str]
    env: Mapping[str, str]


def run(*steps: Step) -> None:
    """Run steps side by side, and show what each of them says as a whole, in their order.

    :raises SystemExit: some failed; the code of the first is ours.
    """
    codes = []
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="parley-run-")))
        for step, (process, said) in [(s, running.enter_context(begun(s, folder))) for s in steps]:
            print(f"\n── {step.name}", flush=True)
            if code := follow(process, said):
                print(f"── {step.name} failed", file=sys.stderr, flush=True)
                codes.append(code)
    if codes:
        sys.exit(codes[0])


@contextmanager
def begun(step: Step, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """Lend the process of a step, and what it says; wait for it at the end."""
    log = folder / step.name
    with (
        log.open("wb") as written,
        log.open("rb") as said,
        subprocess.Popen(
            step.command, cwd=ROOT, env=step.env, stdout=written, stderr=written
        ) as process,
    ):
        yield process, said


def follow(process: subprocess.Popen[bytes], said: BinaryIO) -> int:
    """Show what a process says until it ends, and return its code."""
    code = None
    while code is None:
        code = process.poll()  # asked before reading: what it says last is not left out
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
        if code is None:
            time.sleep(0.2)
    return code


def pytest(workers: int, arguments: list[str]) -> list[str]:
    shared = [f"--numprocesses={workers}", "--dist=worksteal"]
    coloured = ["--color=yes"] if sys.stdout.isatty() else []
    return [PYTHON, "-m", "pytest", *shared, *coloured, *arguments]


def test(chosen: list[str]) -> None:
    """Run the tests on each database, the embedded one last.

    :raises SystemExit: some failed, or a server that is required is not here.
    """
    with ExitStack() as running:
        urls = {}
        for name, server in SERVERS.items():
            try:
                urls[name] = running.enter_context(server())
            except NotHere as reason:
                print(f"\n── not run: the tests on {name} ({reason})", flush=True)
                if os.environ.get("PARLEY_TEST_REQUIRE_ALL") == "1":
                    sys.exit(f"The tests on {name} are required.")
        lent = {"PARLEY_TEST_REDIS": urls.pop("Redis")} if "Redis" in urls else {}
        marked = pytest(2, ["-m", "databases", *chosen])
        found = {name: environment(DATABASE_URL=url, **lent) for name, url in urls.items()}
        run(*(Step(f"tests on {name}", marked, env) for name, env in found.items()))
        workers = min(4, (os.cpu_count() or 1) + 1)  # servers and clients wait for one another
        run(Step("tests on SQLite", pytest(workers, chosen), environment(**lent)))


def main(arguments: list[str]) -> None:
    env = environment(DJANGO_SETTINGS_MODULE="tests.settings")
    run(*(Step(name, command, env) for name, command in CHECKS.items()))
    if "--only-checks" not in arguments:
        test(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
