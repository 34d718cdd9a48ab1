"""``python manage.py settings_reference``: the reference and ``.env.example``, from the code."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from pydantic.fields import FieldInfo

PAGE = "docs/reference/settings.md"
SAMPLE = ".env.example"
INTRODUCTION = """\
# Settings

Parley reads its settings once, at start, from the environment and from a file `.env` beside
`manage.py` (or the one that `PARLEY_ENV_FILE` names); the environment wins. An empty value counts
as none. A value that cannot be used stops the start with one sentence that names it.

This page is generated from the code by `make docs`.

| Variable | Default | What it does |
| --- | --- | --- |
"""
SAMPLE_INTRODUCTION = """\
# Copy this file to .env and change what should differ; every line is optional.
# docs/reference/settings.md says more. Generated from the code by `make docs`.
"""


def default(field: FieldInfo, root: Path) -> str:
    """Return a setting's default as it would be written in ``.env``."""
    value = field.default
    if isinstance(value, Path):
        return str(value.relative_to(root))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def described(field: FieldInfo) -> str:
    """Return what a setting does, and the values that it takes where they are few."""
    if get_origin(field.annotation) is not Literal:
        return str(field.description)
    choices = ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    return f"{field.description} One of {choices}."


def _row(name: str, field: FieldInfo, root: Path) -> str:
    shown = default(field, root)
    return f"| `{name}` | {f'`{shown}`' if shown else '–'} | {described(field)} |\n"


def _sample(name: str, field: FieldInfo, root: Path) -> str:
    return f"\n# {described(field)}\n#{name}={default(field, root)}\n"


def pages() -> dict[str, str]:
    """Return the text of each generated file by its path."""
    reference = settings.PARLEY_REFERENCE
    root = settings.ROOT
    rows = (_row(name, field, root) for name, field in reference.items())
    samples = (_sample(name, field, root) for name, field in reference.items())
    return {
        PAGE: INTRODUCTION + "".join(rows),
        SAMPLE: SAMPLE_INTRODUCTION + "".join(samples),
    }


class Command(BaseCommand):
    help = f"Write {PAGE} and {SAMPLE} from the code."
    requires_system_checks = ()  # it is about the settings alone

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether they are so")

    def handle(self, *_args: Any, check: bool, **_options: Any) -> None:
        for name, text in pages().items():
            path = settings.ROOT / name
            if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
                raise CommandError(f"{name} is not up to date; `make docs` renews it.")
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"Wrote {name}.")
