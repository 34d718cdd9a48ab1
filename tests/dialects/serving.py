"""A server in a process of its own, as it is used: with its guard, its log and its settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTED = re.compile(r"Parley answers at (http://\S+)/$")


class Served:
    """A server that runs: where it is, and what it has written to its log."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


@contextmanager
def serving(**variables: str) -> Iterator[Served]:
    """Run a server on an empty database of its own, with these settings."""
    with tempfile.TemporaryDirectory(prefix="parley-served-") as folder:
        log = Path(folder) / "log"
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        given = {"PARLEY_ENV_FILE": os.devnull, "PARLEY_DATA_DIR": folder, "PORT": "0"}
        with log.open("w") as written:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=kept | given | variables,
                stdout=subprocess.PIPE,
                stderr=written,
                text=True,
                encoding="utf-8",
            )
        try:
            yield Served(process, _address(process, log), log)
        finally:
            process.kill()
            process.communicate()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := STARTED.match(line):
            return found[1]
    raise AssertionError(f"it did not start: {log.read_text()}")
