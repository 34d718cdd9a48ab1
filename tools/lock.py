"""Renew the pinned requirements: ``make lock``; ``make lock UPGRADE=1`` takes the newest of all."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = [
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
]
WHEELS = ["--only-binary=:all:", "--emit-build-options"]
LOCKS = {"requirements": WHEELS, "requirements-dev": WHEELS, "requirements-mysql": []}


def main() -> None:
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    for name, more in LOCKS.items():
        files = ["--output-file", f"{name}.txt", f"{name}.in"]
        command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *more, *upgrade, *files]
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
