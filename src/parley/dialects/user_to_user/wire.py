"""The words of ``user_to_user``: what its clients say and hear. Q1 … are in the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from parley.accounts.people import Person
from parley.dialects.fields import TextField
from parley.dialects.instants import microseconds
from parley.dialects.letters import Letter
from parley.dialects.problems import Problem

Json = dict[str, Any]

PATHS = ("/register", "/login", "/logout", "/users-list", "/messages", "/list-messages")
SEPARATORS = (",", ":")

USERNAME_TAKEN = "A user with that username already exists."
EMAIL_TAKEN = "This field must be unique."
NAMES = {"message_body": "content"}

LOGGED_OUT = {"message": "Logged out successfully"}
LOGIN_FAILED = {"error": "Invalid credentials"}
NO_RECIPIENT = {"error": "Recipient not found"}
NO_MESSAGE = "No Message matches the given query."
NO_USER = "User does not exist"
NO_PAGE = "Invalid page."

TEXT = TextField()


# --- what clients say -----------------------------------------------------------------------------


def texts(body: Mapping[str, Any], *names: str) -> list[str]:
    """Return the values of these fields.

    :raises ValidationError: some are absent, null, blank, or no text; each is named.
    """
    found: list[str] = []
    wrong: dict[str, Any] = {}
    for name in names:
        try:
            found.append(TEXT.run_validation(body.get(name, empty)))
        except ValidationError as error:
            wrong[name] = error.detail
    if wrong:
        raise ValidationError(wrong)
    return found


def recipient(body: Mapping[str, Any]) -> str:
    """Return how the recipient is called; what is no text names nobody (Q3)."""
    value = body.get("recipient")
    return value if isinstance(value, str) else ""


# --- what they hear -------------------------------------------------------------------------------


def registered(user_id: int, *, username: str, email: str) -> Json:
    return {"id": user_id, "username": username, "email": email}


def logged_in(csrf_token: str) -> Json:
    return {"message": "Login successful", "csrf_token": csrf_token}


def user(user_id: int, shown: Person) -> Json:
    return {"id": user_id, "username": shown.username, "email": shown.email}  # Q4


def letter(shown: Letter, people: Mapping[Any, Person]) -> Json:
    sender, recipient = (people[one].username for one in (shown.sender_id, shown.receiver_id))
    return message(shown.number, sender, recipient, shown.body, shown.sent_at)


def message(number: int, sender: str, recipient: str, content: str, sent_at: datetime) -> Json:
    return {
        "id": number,
        "sender": sender,
        "recipient": recipient,
        "content": content,
        "timestamp": microseconds(sent_at),
    }


def page(
    results: Iterable[Json], *, count: int, following: str | None, previous: str | None
) -> Json:
    return {"count": count, "next": following, "previous": previous, "results": list(results)}


def render_no(no: Problem) -> Json:
    """Return the body of an error: by field where one is wrong, else a sentence."""
    if no.code == "letter_not_found":
        return {"detail": NO_MESSAGE}
    if not no.fields:
        return {"detail": no.detail}
    if no.code == "unique":
        return {name: [_taken(name, no.detail)] for name in no.fields}
    return {NAMES.get(name, name): list(said) for name, said in no.fields.items()}


def _taken(name: str, said: str) -> str:
    return {"username": USERNAME_TAKEN, "email": EMAIL_TAKEN}.get(name, said)
