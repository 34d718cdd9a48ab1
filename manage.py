#!/usr/bin/env python
"""Django's command line, for Parley."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run one management command; what its user can put right is said in one sentence."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parley.config.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(
            "Django is not installed for this Python. `make serve` sets one up that has it: "
            ".venv/bin/python manage.py …; or `pip install -r requirements.txt` first."
        )
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as odd:
        sys.exit(str(odd))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
