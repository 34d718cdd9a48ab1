"""Fields of request bodies: strict in type, bounded, and exact about text.

What is wrong is said by the kernel's own refusals, so that a field and the domain use the same
codes and words. A message never repeats what it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.utils import html

from parley.http.parameters import LARGEST, NotAnId
from parley.kernel import ids
from parley.kernel.errors import Invalid
from parley.kernel.text import check_text

MOST_NAMED = 10_000
LONGEST_NAME = 254  # an e-mail address; usernames are shorter
EARLIEST, LATEST = 1970, 9998  # every database holds these years
SEPARATOR = re.compile(r"[\s,]+")


def _refuse(refusal: Invalid) -> serializers.ValidationError:
    return serializers.ValidationError(refusal.detail, refusal.code)


class ExactText(serializers.CharField):
    """Text that is kept as it came; anything but a string is refused."""

    def __init__(self, *, longest: int | Callable[[], int], **options: Any) -> None:
        self._longest = longest
        super().__init__(trim_whitespace=False, **options)

    @property
    def longest(self) -> int:
        return self._longest() if callable(self._longest) else self._longest

    def run_validation(self, data: Any = serializers.empty) -> Any:
        is_empty, value = self.validate_empty_values(data)
        return value if is_empty else self.to_internal_value(value)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return check_text(
                data,
                attr=self.field_name or "",
                longest=self.longest,
                may_be_blank=self.allow_blank,
            )
        except Invalid as refusal:
            raise _refuse(refusal) from None


class IdField(serializers.UUIDField):
    """An id, with or without dashes."""

    def to_internal_value(self, data: Any) -> UUID:
        found = ids.parse(data) if isinstance(data, str) else None
        if found is None:
            raise _refuse(NotAnId())
        return found


class Names(serializers.ListField):
    """A list of at most 10,000 texts; from a form, separated by commas or white space."""

    default_error_messages = {"not_a_list": "Expected a list."}

    def __init__(self, **options: Any) -> None:
        options.setdefault("style", {"base_template": "textarea.html", "rows": 3})
        options.setdefault("child", serializers.CharField())
        super().__init__(max_length=MOST_NAMED, **options)

    def get_value(self, dictionary: Any) -> Any:
        if not html.is_html_input(dictionary):
            return dictionary.get(self.field_name, serializers.empty)
        given = " ".join(dictionary.getlist(self.field_name))
        return list(filter(None, SEPARATOR.split(given))) or serializers.empty

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list")
        return [self.take(place, item) for place, item in enumerate(data)]

    def take(self, place: int, item: Any) -> Any:
        """Return one item as it is wanted.

        :raises ValidationError: it is of another kind; the words say which one it is, from 0.
        """
        if not isinstance(item, str) or not 0 < len(item) <= LONGEST_NAME:
            words = f"Item {place} is not a text of 1 to {LONGEST_NAME} characters."
            raise serializers.ValidationError(words, "invalid")
        return item


class IdList(Names):
    """A list of at most 10,000 ids."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=IdField(), **options)

    def take(self, place: int, item: Any) -> UUID:
        found = ids.parse(item) if isinstance(item, str) else None
        if found is None:
            raise serializers.ValidationError(f"Item {place} is not a valid UUID.", "invalid")
        return found


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": LARGEST})
class SeqField(serializers.IntegerField):
    """A message's number: an integer of at most 64 bits, and nothing that only looks like one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=LARGEST, **options)

    def to_internal_value(self, data: Any) -> int:
        is_form = isinstance(self.parent, serializers.Serializer) and html.is_html_input(
            getattr(self.parent, "initial_data", None)
        )
        if isinstance(data, bool) or not (isinstance(data, int) or is_form):
            self.fail("invalid")
        return super().to_internal_value(data)


class InstantField(serializers.DateTimeField):
    """An instant in ISO 8601; without an offset it is in UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("invalid", format="ISO 8601")
        found = super().to_internal_value(value)
        if not EARLIEST <= found.year <= LATEST:
            self.fail("overflow")
        return found


class WordField(serializers.ChoiceField):
    """One of a few words."""

    default_error_messages = {"invalid_choice": "Expected one of: {choices}."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", choices=", ".join(map(str, self.choices)))
        return data
