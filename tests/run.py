"""Every check and every test: what ``make test`` runs, and ``make check`` the first half of.

    python tests/run.py [--only-checks] [pytest's arguments …]

The whole suite runs on SQLite. The tests marked ``databases`` run before that on PostgreSQL and on
MariaDB: on a server that runs here and lets us in, else on one started for this run alone, else
not, which is said. With ``PARLEY_TEST_REQUIRE_ALL=1`` that is a failure. ``PARLEY_TEST_POSTGRESQL``
and ``PARLEY_TEST_MARIADB`` name a server (``postgres://…/``, ``mysql://…/``), and
``PARLEY_TEST_REDIS`` one of Redis, which some tests need. The last line is pytest's own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

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


def step(name: str, command: list[str], env: Mapping[str, str]) -> None:
    """Run one step and show what it says.

    :raises SystemExit: it failed; its code is ours.
    """
    print(f"\n── {name}", flush=True)
    began = time.monotonic()
    status = subprocess.call(command, cwd=ROOT, env=env)
    if status:
        print(f"── {name} failed", file=sys.stderr, flush=True)
        sys.exit(status)
    print(f"   {time.monotonic() - began:.0f} s", flush=True)


def check() -> None:
    for name, command in CHECKS.items():
        step(name, command, environment(DJANGO_SETTINGS_MODULE="tests.settings"))


def pytest(*arguments: str) -> list[str]:
    workers = min(4, (os.cpu_count() or 1) + 1)  # servers and clients wait for one another
    return [PYTHON, "-m", "pytest", f"--numprocesses={workers}", *arguments]


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
        for name, url in urls.items():
            marked = pytest("-m", "databases", *chosen)
            step(f"tests on {name}", marked, environment(DATABASE_URL=url, **lent))
        step("tests on SQLite", pytest(*chosen), environment(**lent))


def main(arguments: list[str]) -> None:
    check()
    if "--only-checks" not in arguments:
        test(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
