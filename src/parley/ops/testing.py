"""``python manage.py test`` runs the suite, which is pytest's."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

ROOT = Path(__file__).resolve().parents[3]


class PytestRunner:
    """Django's test runner by pytest, in a process of its own, as the tests have own settings."""

    def __init__(
        self,
        *,
        verbosity: int = 1,
        failfast: bool = False,
        test_name_patterns: Sequence[str] | None = None,
        **_options: Any,
    ) -> None:
        self.arguments = ["-x"] if failfast else []
        if test_name_patterns:
            self.arguments += ["-k", " or ".join(test_name_patterns)]
        if verbosity != 1:
            self.arguments.append("-q" if verbosity == 0 else f"-{'v' * (verbosity - 1)}")

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--failfast", action="store_true", help="Stop at the first failure.")
        parser.add_argument(
            "-k",
            action="append",
            dest="test_name_patterns",
            metavar="WORDS",
            help="Run only the tests that these words name; may be given several times.",
        )

    def run_tests(self, test_labels: Sequence[str]) -> int:
        """Run the tests named (paths, or all of them), and return pytest's exit code.

        :raises CommandError: pytest is not installed.
        """
        if importlib.util.find_spec("pytest") is None:
            raise CommandError("The tests need `pip install -r requirements-dev.txt` first.")
        others = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        command = [sys.executable, "-m", "pytest", *self.arguments, *test_labels]
        return subprocess.call(command, cwd=ROOT, env=others)  # noqa: S603 - ourselves
