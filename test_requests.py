"""A client of ``session_mail``: a cookie, a CSRF token, and a function for each thing one can do.

    python test_requests.py     plays a scene with two people against a running server
    BASE_URL=https://…          says where that is, if not at http://127.0.0.1:8000

Importing it does nothing, so a test discovery may. It needs ``requests``.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

import requests

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:8000").rstrip("/")
SECONDS = 30

client = requests.Session()
headers: dict[str, str] = {"Content-Type": "application/json"}


def call(method: str, path: str, what: str, **body: Any) -> dict[str, Any]:
    """Send a request, and return what is answered.

    :raises RuntimeError: it was refused; with the server's own words.
    """
    answer = client.request(
        method, f"{BASE_URL}{path}", json=body or None, headers=headers, timeout=SECONDS
    )
    if not answer.ok:
        raise RuntimeError(f"cannot {what}: {answer.status_code} {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


def get_csrf_token() -> str:
    """Fetch a CSRF token; all that follows is sent with it. Signing in or out makes it stale."""
    token: str = call("GET", "/users/token", "get a CSRF token")["csrfToken"]
    headers["X-CSRFToken"] = token
    return token


def register(username: str, email: str, password: str) -> int:
    """Make an account, and return its number."""
    given = {"username": username, "email": email, "password": password}
    user_id: int = call("POST", "/users/register", "register", **given)["user_id"]
    return user_id


def login(username: str, password: str) -> None:
    """Begin a session."""
    call("POST", "/users/login", "log in", username=username, password=password)
    get_csrf_token()


def logout() -> None:
    """End the session."""
    call("POST", "/users/logout", "log out")
    get_csrf_token()


def write_message(receiver_id: int, body: str, subject: str) -> int:
    """Write to someone, and return the message's number."""
    given = {"receiver_id": receiver_id, "body": body, "subject": subject}
    message_id: int = call("POST", "/messages/write_message", "write", **given)["message_id"]
    return message_id


def get_messages_id() -> list[int]:
    """Return the numbers of the messages received, oldest first."""
    found = call("GET", "/messages/messages_per_receiver", "list messages")
    return list(found["messages_id"])


def get_unread_messages_id() -> list[int]:
    """Return the numbers of those that are unread."""
    found = call("GET", "/messages/unread_per_receiver", "list unread messages")
    return list(found["messages_id"])


def read_message(message_id: int) -> dict[str, Any]:
    """Return a message; if one has received it, it is read from now on."""
    return call("GET", "/messages/read_message", "read the message", message_id=message_id)


def delete_message(message_id: int) -> None:
    """Remove a message, for oneself."""
    call("DELETE", "/messages/delete_message", "delete the message", message_id=message_id)


def say(line: str) -> None:
    print(line)  # noqa: T201 - this is what the scene is for


def scene() -> None:
    """Two people who do not know each other yet, and what becomes of two messages."""
    tail, password = secrets.token_hex(4), secrets.token_urlsafe(16)
    ada, ben = f"ada-{tail}", f"ben-{tail}"

    get_csrf_token()
    register(ada, f"{ada}@example.org", password)
    ben_id = register(ben, f"{ben}@example.org", password)
    say(f"{ada} and {ben} have an account.")

    login(ada, password)
    first = write_message(ben_id, "At one?", "Lunch")
    second = write_message(ben_id, "Bring the map.", "Lunch, again")
    say(f"{ada} has written {first} and {second}.")
    logout()

    login(ben, password)
    say(f"{ben} has {get_messages_id()}, unread {get_unread_messages_id()}.")
    message = read_message(first)
    say(f"{message['subject']}: {message['body']}")
    say(f"Unread now: {get_unread_messages_id()}.")
    delete_message(first)
    say(f"Left after deleting {first}: {get_messages_id()}.")
    logout()

    login(ada, password)
    say(f"{ada} has hers still: {read_message(first)['body']}")
    logout()


if __name__ == "__main__":
    scene()
