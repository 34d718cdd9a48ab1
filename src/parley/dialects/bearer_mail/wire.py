"""The words of ``bearer_mail``: what its clients say, and what they hear.

The numbers are quirks of the README.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework import serializers

from parley.dialects.fields import TextField
from parley.dialects.instants import microseconds
from parley.dialects.letters import Letter
from parley.dialects.problems import Problem

Json = dict[str, Any]

PATHS = ("/api/messaging",)
SEPARATORS = (",", ":")
LONGEST_SUBJECT = 100

WELCOME: Json = {
    "message": "Welcome to the Messaging System!",
    "endpoints": {
        "write_message": "/api/messaging/write/",
        "get_all_messages": "/api/messaging/messages/",
        "get_unread_messages": "/api/messaging/messages/unread/",
        "read_message": "/api/messaging/messages/<int:message_id>/read/",
        "delete_message": "/api/messaging/messages/<int:message_id>/delete/",
    },
}
MESSAGE_NOT_FOUND = {"error": "Message not found."}
BAD_TOKEN: Json = {
    "detail": "Given token not valid for any token type",
    "code": "token_not_valid",
    "messages": [
        {
            "token_class": "AccessToken",
            "token_type": "access",
            "message": "Token is invalid or expired",
        }
    ],
}
DOES_NOT_EXIST = 'Invalid pk "{number}" - object does not exist.'
# What the core calls by other names.
FIELDS = {"message_body": "content"}


@dataclass(frozen=True, slots=True)
class NewLetter:
    """What a client wants to write."""

    receiver_id: UUID
    subject: str
    content: str


class ReceiverField(serializers.Field[UUID, Any, Any, Any]):
    """A user's number. The serializer's context says by ``find`` whose it is."""

    default_error_messages = {
        "does_not_exist": DOES_NOT_EXIST,
        "incorrect_type": "Incorrect type. Expected pk value, received {kind}.",
    }

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return super().validate_empty_values(None if data == "" else data)

    def to_internal_value(self, data: Any) -> UUID:
        number = _number(data)
        if number is None:
            self.fail("incorrect_type", kind=type(data).__name__)
        found: UUID | None = self.context["find"](number)
        if found is None:
            self.fail("does_not_exist", number=number)
        return found


def _number(data: object) -> int | None:
    """Return the integer that is meant; a numeral in a string is one too."""
    if isinstance(data, bool) or not isinstance(data, int | str):
        return None
    try:
        return int(data)
    except ValueError:
        return None


class NewLetterSerializer(serializers.Serializer[Any]):
    """``sender`` (Q2) and ``is_read`` (Q3) are not read."""

    receiver = ReceiverField()
    subject = TextField(max_length=LONGEST_SUBJECT)
    content = TextField()


def parse_letter(raw: Mapping[str, Any], find: Callable[[int], UUID | None]) -> NewLetter:
    """Return what a client wants to write; ``find`` knows whose a number is.

    :raises ValidationError: some fields are wrong, each with what is wrong with it.
    """
    serializer = NewLetterSerializer(data=raw, context={"find": find})
    serializer.is_valid(raise_exception=True)
    found = serializer.validated_data
    return NewLetter(found["receiver"], found["subject"], found["content"])


def render_letter(letter: Letter) -> Json:
    """Return a message object."""
    return {
        "id": letter.number,
        "sender": letter.sender,
        "receiver": letter.receiver,
        "subject": letter.subject,
        "content": letter.body,
        "created_at": microseconds(letter.sent_at),
        "is_read": letter.is_read,
    }


def render_no(no: Problem) -> Json:
    """Return the body of an error."""
    if no.code == "letter_not_found":
        return MESSAGE_NOT_FOUND  # Q5: the one error under "error", all others are "detail"
    if no.code == "token_not_valid":
        return BAD_TOKEN
    if no.fields:
        return {FIELDS.get(name, name): list(said) for name, said in no.fields.items()}
    return {"detail": no.detail}
