"""``python manage.py keep_lists``: who is in very many conversations finds them as fast as others.

Servers ask for it by themselves, about once an hour; after an import it need not wait.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from parley.messaging.operations.following import HEAVY, keep_lists


class Command(BaseCommand):
    help = "Keep the lists ready of people in very many conversations; at any time, beside servers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--more-than", type=int, default=HEAVY, help="so many conversations")

    def handle(self, *_args: Any, **options: Any) -> None:
        count = keep_lists(more_than=options["more_than"])
        self.stdout.write(f"Lists are kept ready of {count} more.")
