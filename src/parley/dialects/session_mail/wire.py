"""The words of ``session_mail``: what its clients say and hear. Q1 … are in the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parley.dialects.instants import milliseconds
from parley.dialects.letters import Letter
from parley.dialects.problems import Problem
from parley.kernel.errors import Invalid, NotFound

Json = dict[str, Any]

PATHS = (
    "/users",
    "/messages/write_message",
    "/messages/messages_per_receiver",
    "/messages/unread_per_receiver",
    "/messages/read_message",
    "/messages/delete_message",
)
SEPARATORS = (", ", ": ")  # Q1: as Django's JsonResponse writes
SUCCESS = {"status": "success"}
LOGIN_FAILED = {"error": "authentication failed"}

CSRF_FAILED = "csrf_failed"
SAID = {
    401: "authentication required",  # Q8: no redirect to a login page
    500: "internal error",
}
NAMES = {"message_body": "body"}
MOST_ECHOED = 64
MOST_DIGITS = 20


class FieldsMissing(Invalid):
    """Fields that must be there are not, or are null or empty."""

    def __init__(self, names: Iterable[str]) -> None:
        # Q2: the list is written as Python writes it.
        super().__init__(f"The fields : {list(names)}, are missing")


class NotText(Invalid):
    def __init__(self, name: str) -> None:
        super().__init__(f"The field '{name}' must be a text")


class NoReceiver(NotFound):
    def __init__(self, given: object) -> None:
        super().__init__(f"The receiver_id: '{echoed(given)}' is not exists")


class NotFoundToRead(NotFound):
    def __init__(self, given: object) -> None:
        super().__init__(f"message id: '{echoed(given)}' is not found")


class NotFoundToDelete(NotFound):
    def __init__(self, given: object) -> None:
        super().__init__(f"Message ID '{echoed(given)}' is not exists")


# --- what clients say -----------------------------------------------------------------------------


def require(body: Mapping[str, Any], *names: str, may_be_empty: str | None = None) -> None:
    """Refuse a body without these fields.

    :raises FieldsMissing: some are absent, null or empty.
    """
    empty = {name: (None,) if name == may_be_empty else (None, "") for name in names}
    missing = [name for name in names if body.get(name) in empty[name]]
    if missing:
        raise FieldsMissing(missing)


def texts(body: Mapping[str, Any], *names: str) -> list[str]:
    """Return the values of fields that hold text.

    :raises NotText: one does not.
    """
    for name in names:
        if not isinstance(body[name], str):
            raise NotText(name)
    return [body[name] for name in names]


def number(value: object) -> int | None:
    """Return the number that a client names something by, in digits or as a number; None names
    nothing.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    is_number = isinstance(value, str) and value.isascii() and value.isdigit()
    return int(str(value)) if is_number and len(str(value)) <= MOST_DIGITS else None


def echoed(value: object) -> str:
    """Return what was given, as far as it is worth repeating."""
    return str(value)[:MOST_ECHOED]


# --- what they hear -------------------------------------------------------------------------------


def registered(user_id: int) -> Json:
    return SUCCESS | {"user_id": user_id}  # Q4: nothing else tells a client its own number


def people(found: Iterable[tuple[int, str]]) -> Json:
    return {"users": [{"user_id": user_id, "username": username} for user_id, username in found]}


def written(letter: Letter) -> Json:
    return {"message_id": letter.number}


def numbers(found: Iterable[int]) -> Json:
    return {"messages_id": list(found)}


def letter(shown: Letter) -> Json:
    return {
        "sender_id": shown.sender,
        "receiver_id": shown.receiver,
        "subject": shown.subject,
        "body": shown.body,
        "creation_date": milliseconds(shown.sent_at),  # Q3
    }


def render_no(no: Problem) -> Json:
    """Return the body of an error: one sentence, always under ``error``."""
    if no.code == CSRF_FAILED:
        return {"error": "CSRF failed"}  # Q8: no page
    if no.status in SAID:
        return {"error": SAID[no.status]}
    if no.code == "unique" and "username" in no.fields:
        return {"error": "Username already exists. Please choose a different username."}
    field = next(iter(no.fields), None)
    return {"error": no.detail if field is None else f"{NAMES.get(field, field)}: {no.detail}"}
