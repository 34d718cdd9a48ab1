"""The words of ``token_mail``: what its clients say, and what they hear.

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
Answer = tuple[int, Json]

PATHS = ("/create_user", "/write", "/all", "/unread", "/mark_read", "/delete")
SEPARATORS = (",", ":")
LONGEST_SUBJECT = 255
LONGEST_USERNAME = 150

NO_USERNAME: Answer = (400, {"error": "Username is required."})
NO_PASSWORD: Answer = (400, {"error": "Password is required."})
OTHER_USERNAME: Answer = (
    403,
    {"error": "Authenticated user Token does not match the provided username."},
)
WRONG_PASSWORD: Answer = (401, {"error": "Invalid username or password"})
NOT_THE_SENDER: Answer = (401, {"error": "Authenticated user is not the sender."})
MISSING: Answer = (400, {"error": "Receiver, message, and subject are required."})
NO_SUCH_USER: Answer = (400, {"error": "Sender or receiver user does not exist."})
NOT_THE_RECEIVER: Answer = (403, {"message": "Unauthorized access"})
READ_BEFORE: Answer = (404, {"message": "Message already been read"})
MESSAGE_NOT_FOUND = {"message": "Message not found"}

TAKEN = "A user with that username already exists."
ILLEGAL = (
    "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ "
    "characters."
)
SIGN_UP = {
    "unique": TAKEN,
    "lookalike": TAKEN,
    "invalid_username": ILLEGAL,
    "mixed_scripts": ILLEGAL,
}
# What the core calls by other names.
FIELDS = {"message_body": "message"}


class Told(Exception):
    """A request that is refused in words of its own: the status and the body are within."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.status, self.body = answer


@dataclass(frozen=True, slots=True)
class NewLetter:
    """What a client wants to write."""

    receiver_id: UUID
    subject: str
    message: str


class TextSerializer(serializers.Serializer[Any]):
    message = TextField()
    subject = TextField(max_length=LONGEST_SUBJECT)


def parse_letter(
    raw: Mapping[str, Any],
    *,
    is_sender: Callable[[str], bool],
    find: Callable[[str], UUID | None],
) -> NewLetter:
    """Return what a client wants to write; the sender comes first (Q4).

    :raises Told: it names another sender, leaves something out, or names nobody.
    :raises ValidationError: a text is too long, or none.
    """
    sender, receiver = raw.get("sender"), raw.get("receiver")
    if not isinstance(sender, str) or not is_sender(sender):
        raise Told(NOT_THE_SENDER)
    if not all(raw.get(name) for name in ("receiver", "message", "subject")):
        raise Told(MISSING)
    receiver_id = find(receiver) if isinstance(receiver, str) else None
    if receiver_id is None:
        raise Told(NO_SUCH_USER)
    serializer = TextSerializer(data=raw)
    serializer.is_valid(raise_exception=True)
    text = serializer.validated_data
    return NewLetter(receiver_id, text["subject"], text["message"])


class NewUserSerializer(serializers.Serializer[Any]):
    username = TextField(max_length=LONGEST_USERNAME)
    password = TextField()


def parse_user(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the username and the password of who wants to sign up.

    :raises ValidationError: one is missing, or no text.
    """
    serializer = NewUserSerializer(data=raw)
    serializer.is_valid(raise_exception=True)
    found: dict[str, str] = serializer.validated_data
    return found


def render_user(username: str, token: str) -> Json:
    """Return what someone hears who has signed up: the token, this once."""
    return {"success": "User created successfully:", "username": username, "Token": token}


def render_letter(letter: Letter) -> Json:
    """Return a message object: people are numbers here, although requests name them (Q5)."""
    return {
        "id": letter.number,
        "message": letter.body,
        "subject": letter.subject,
        "creation_date": microseconds(letter.sent_at),
        "is_read": letter.is_read,
        "sender": letter.sender,
        "receiver": letter.receiver,
    }


def render_read(letter: Letter, username: str) -> Json:
    """Return what is heard of a message that is read now."""
    # Q6: no space after the last comma.
    return {"message": f"Message marked as read: {letter.body}, {letter.subject},by: {username}"}


def render_no(no: Problem) -> Json:
    """Return the body of an error. Which key it is under depends on what said it (Q7)."""
    if no.code == "letter_not_found":
        return MESSAGE_NOT_FOUND
    if no.code == "token_not_valid":
        return {"detail": "Invalid token."}
    if no.code == "blocked":
        return {"error": no.detail}
    if no.fields:
        return {FIELDS.get(name, name): list(said) for name, said in no.fields.items()}
    return {"detail": no.detail}


def render_sign_up_no(no: Problem) -> Json:
    """Return the body of an error of ``create_user``."""
    if no.code in SIGN_UP:
        return {"errors": {"username": [SIGN_UP[no.code]]}}
    fields = no.fields or {"non_field_errors": [no.detail]}
    return {"errors": {name: list(said) for name, said in fields.items()}}
