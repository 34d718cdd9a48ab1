"""``python manage.py new_epoch``: after a restore from backup, before the server starts."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from parley.conversations import epochs


class Command(BaseCommand):
    help = "Begin a new epoch after a restore: clients that know more than the backup start anew."

    def handle(self, *_args: Any, **_options: Any) -> None:
        epochs.begin_after_restore()
        self.stdout.write(
            "A new epoch has begun; clients ahead of this backup will sync from the start."
        )
