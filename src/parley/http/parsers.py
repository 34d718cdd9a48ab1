"""Request bodies: JSON that is bounded in depth, forms without files, and text that every database
can hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from django.http import QueryDict
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from parley.kernel.text import NotStorable, is_storable

DEEPEST = 32
STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
BRACKETS = re.compile(r"[\[\]{}]")
# Only an escape, or the character itself, can bring what cannot be stored.
SUSPECT = re.compile("\\\\u0000|\\\\u[dD][89a-fA-F]|\0")


class TooDeep(ParseError):
    default_detail = f"JSON is nested deeper than {DEEPEST} levels."
    default_code = "too_deep"


def read_json(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds.

    :raises ParseError: it is not UTF-8, not JSON, no object, or nested too deep.
    :raises NotStorable: a text in it holds NUL or a lone surrogate.
    """
    try:
        text = raw.decode()
        _check_depth(text)
        found = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ParseError("The body is not valid JSON in UTF-8.") from error
    if not isinstance(found, dict):
        raise ParseError("The body must be a JSON object.")
    if SUSPECT.search(text):
        check_storable(found)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")


# Made once: making it took longer than reading a message.
DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_depth(text: str) -> None:
    """Refuse deep nesting before anything recurses into it.

    :raises TooDeep: it has more than 32 levels.
    """
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for bracket in BRACKETS.finditer(STRINGS.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > DEEPEST:
            raise TooDeep


def check_storable(fields: Mapping[str, Any]) -> None:
    """Refuse text that no database can hold, wherever in the fields it is.

    :raises NotStorable: ``attr`` names the field.
    :raises ParseError: it is the name of a field.
    """
    if not all(map(is_storable, fields)):
        raise ParseError("The name of a field holds NUL or a lone surrogate.")
    for name, value in fields.items():
        if not all(map(is_storable, _texts(value))):
            raise NotStorable(attr=name)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


class JSONParser(parsers.JSONParser):
    """A JSON object of at most 32 levels."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        return read_json(stream.read())


class LoudJSONParser(JSONParser):
    """JSON, refused in the words that REST framework has for it."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            return super().parse(stream, media_type, parser_context)
        except ParseError as error:
            reason = error.__cause__ if isinstance(error.__cause__, ValueError) else error.detail
            raise ParseError(f"JSON parse error - {reason}") from error


def _fields(form: QueryDict) -> QueryDict:
    check_storable(dict(form.lists()))
    return form


class FormParser(parsers.FormParser):
    """A form, for the browsable API."""

    def parse(  # type: ignore[override]
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> QueryDict:
        return _fields(super().parse(stream, media_type, parser_context))


class MultiPartParser(parsers.MultiPartParser):
    """A form as browsers send it; files in it are not taken."""

    def parse(  # type: ignore[override]
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> QueryDict:
        return _fields(super().parse(stream, media_type, parser_context).data)
