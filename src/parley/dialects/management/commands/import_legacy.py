"""``python manage.py import_legacy``: bring an older backend's users and messages over."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from parley.dialects.legacy.importing import Import
from parley.dialects.legacy.layouts import LAYOUTS
from parley.dialects.legacy.ledger import Ledger
from parley.dialects.legacy.report import Report
from parley.dialects.legacy.source import CannotRead, Source, opened


class Command(BaseCommand):
    help = (
        "Bring the users (with their passwords), messages, read flags and ids of an older "
        "backend's database over. Again, it brings what was added since; nothing is doubled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("database", help="sqlite:///old.sqlite3, mysql://… or postgres://…")
        parser.add_argument("--dialect", required=True, choices=sorted(LAYOUTS))
        parser.add_argument(
            "--source",
            help="a name for this database, where several of one dialect are imported "
            "(default: the dialect's)",
        )
        parser.add_argument(
            "--table",
            action="append",
            default=[],
            metavar="KIND=NAME",
            help="which table holds people, messages, …, where its columns do not tell",
        )
        parser.add_argument(
            "--admins", action="store_true", help="superusers there become admins here"
        )
        parser.add_argument(
            "--details", type=Path, metavar="FILE", help="write all that changed to a CSV file"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        out: Any = self.stdout  # all of a file that rich needs
        console = Console(file=out, soft_wrap=True)
        try:
            with (
                opened(options["database"]) as connection,
                Report(console, options["details"]) as report,
            ):
                layout = LAYOUTS[options["dialect"]]
                source = Source(connection, layout, _named(options["table"], layout.tables))
                name = options["source"] or options["dialect"]
                ledger = Ledger.of(name, dialect=options["dialect"], first=source.first())
                with report.bars():
                    Import(source, ledger, report, options["admins"]).run()
                report.show(source, ledger)
        except (CannotRead, OSError) as odd:
            raise CommandError(str(odd)) from None


def _named(given: list[str], kinds: dict[str, Any]) -> dict[str, str]:
    """Return the tables that were named on the command line.

    :raises CommandError: one is named for what this dialect has not.
    """
    found = dict(each.partition("=")[::2] for each in given)
    if odd := set(found) - set(kinds):
        raise CommandError(f"No table {', '.join(odd)}; expected {', '.join(kinds)}.")
    return found
