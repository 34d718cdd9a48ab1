"""Rules of text: what may be stored, and when two names are the same."""

from __future__ import annotations

import re
import unicodedata

from parley.kernel.errors import Invalid

SURROGATE = re.compile("[\ud800-\udfff]")


class Blank(Invalid):
    code = "blank"
    message = "This field may not be blank."


class TooLong(Invalid):
    code = "max_length"
    message = "This field is too long."


class NotStorable(Invalid):
    code = "invalid_characters"
    message = "NUL and lone surrogates cannot be stored."


def is_storable(value: str) -> bool:
    """Whether every database can hold this text: no NUL, no lone surrogate."""
    return "\0" not in value and SURROGATE.search(value) is None


def check_text(value: str, *, attr: str, longest: int, may_be_blank: bool = False) -> str:
    """Return the text as it came; it is never trimmed. Lengths count code points.

    :raises NotStorable: it holds NUL or a lone surrogate.
    :raises Blank: there is nothing in it but white space.
    :raises TooLong: it has more than ``longest`` code points.
    """
    if not is_storable(value):
        raise NotStorable(attr=attr)
    if not may_be_blank and not value.strip():
        raise Blank(attr=attr)
    if len(value) > longest:
        raise TooLong(f"Ensure this field has no more than {longest} characters.", attr=attr)
    return value


def name_key(value: str) -> str:
    """Return what decides whether two names are the same: NFKC and case folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
