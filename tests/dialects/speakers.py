"""People who each speak one dialect: the same few things to do, in the words of five protocols.

A message is known by its text here, so that what one of them wrote another can look for.
"""

from __future__ import annotations

from typing import Any

import httpx

Known = dict[str, Any]


class Speaker:
    """One person, signed in, at one door. ``known`` has everyone's number, and the password."""

    marks_read = True

    def __init__(self, url: str, name: str, known: Known) -> None:
        self.name = name
        self.known = known
        self.http = httpx.Client(base_url=url, timeout=30)
        self.sign_in({"username": name, "password": known["password"]})

    def sign_in(self, login: dict[str, str]) -> None:
        raise NotImplementedError

    def write(self, to: str, text: str) -> None:
        raise NotImplementedError

    def texts(self) -> set[str]:
        """What this person sees, sent or received."""
        raise NotImplementedError

    def unread(self) -> set[str] | None:
        """What this person has not read; None where the dialect does not say."""
        raise NotImplementedError

    def was_read(self, text: str) -> bool | None:
        """Whether what this person sent was read; None where the dialect does not say."""

    def read(self, text: str) -> None:
        raise NotImplementedError

    def remove(self, text: str) -> None:
        raise NotImplementedError

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


class BearerMail(Speaker):
    at, body = "/api/messaging", "content"
    all_, unread_ = "/messages/", "/messages/unread/"

    def sign_in(self, login: dict[str, str]) -> None:
        access = self.ask("POST", "/api/token/", json=login)["access"]
        self.http.headers["Authorization"] = f"Bearer {access}"

    def write(self, to: str, text: str) -> None:
        letter = {"receiver": self.known[to], "subject": "-", self.body: text}
        self.ask("POST", f"{self.at}/write/", json={"sender": self.known[self.name]} | letter)

    def listed(self, path: str) -> dict[str, Any]:
        return {row[self.body]: row for row in self.ask("GET", f"{self.at}{path}") or []}

    def texts(self) -> set[str]:
        return set(self.listed(self.all_))

    def unread(self) -> set[str]:
        return set(self.listed(self.unread_))

    def was_read(self, text: str) -> bool:
        return bool(self.listed(self.all_)[text]["is_read"])

    def number(self, text: str) -> int:
        return int(self.listed(self.all_)[text]["id"])

    def read(self, text: str) -> None:
        self.ask("GET", f"{self.at}/messages/{self.number(text)}/read/")

    def remove(self, text: str) -> None:
        self.ask("DELETE", f"{self.at}/messages/{self.number(text)}/delete/")


class TokenMail(BearerMail):
    at, body = "", "message"
    all_, unread_ = "/all/", "/unread/"

    def sign_in(self, login: dict[str, str]) -> None:
        token = self.ask("POST", "/api/token/opaque/", json=login)["token"]
        self.http.headers["Authorization"] = f"Token {token}"

    def write(self, to: str, text: str) -> None:
        letter = {"sender": self.name, "receiver": to, "subject": "-", "message": text}
        self.ask("POST", "/write/", json=letter)

    def read(self, text: str) -> None:
        self.ask("PUT", f"/mark_read/{self.number(text)}/")

    def remove(self, text: str) -> None:
        self.ask("DELETE", f"/delete/{self.number(text)}/")


class SessionMail(Speaker):
    """Lists have numbers only, and nothing lists what one has sent: the script remembers."""

    def sign_in(self, login: dict[str, str]) -> None:
        self.sent: set[int] = set()
        self.renew()
        self.ask("POST", "/users/login", json=login)
        self.renew()

    def renew(self) -> None:
        self.http.headers["X-CSRFToken"] = self.ask("GET", "/users/token")["csrfToken"]

    def write(self, to: str, text: str) -> None:
        letter = {"receiver_id": self.known[to], "subject": "-", "body": text}
        self.known["last"] = self.ask("POST", "/messages/write_message", json=letter)["message_id"]

    def listed(self, path: str) -> set[int]:
        return set(self.ask("GET", path)["messages_id"])

    def numbers(self) -> set[int]:
        return self.listed("/messages/messages_per_receiver") | self.known["numbers"]

    def look(self, number: int) -> str | None:
        """The text of a message that is one's own, or read: any other would be read by it."""
        answer = self.http.request("GET", "/messages/read_message", json={"message_id": number})
        return answer.json()["body"] if answer.is_success else None

    def texts(self) -> set[str]:
        unread = self.listed("/messages/unread_per_receiver")
        found = {self.look(number) for number in self.numbers() - unread}
        return {text for text in found if text} | {self.known[n] for n in unread}

    def unread(self) -> set[str]:
        return {self.known[n] for n in self.listed("/messages/unread_per_receiver")}

    def number(self, text: str) -> int:
        return next(n for n in self.known["numbers"] if self.known[n] == text)

    def read(self, text: str) -> None:
        assert self.look(self.number(text)) == text

    def remove(self, text: str) -> None:
        self.ask("DELETE", "/messages/delete_message", json={"message_id": self.number(text)})


class Conversations(Speaker):
    def sign_in(self, login: dict[str, str]) -> None:
        email = f"{login.pop('username')}@example.org"
        access = self.ask("POST", "/api/token/", json=login | {"email": email})["access"]
        self.http.headers["Authorization"] = f"Bearer {access}"

    def write(self, to: str, text: str) -> None:
        message = {"recipient": to, "message_body": text, "subject": "-"}
        self.ask("POST", "/api/messages/", json=message)

    def listed(self, query: str = "") -> dict[str, Any]:
        found = self.ask("GET", f"/api/messages/{query}")["results"]
        return {row["message_body"]: row for row in found}

    def texts(self) -> set[str]:
        return set(self.listed())

    def unread(self) -> set[str]:
        return set(self.listed("?unread=true"))

    def was_read(self, text: str) -> bool:
        receipts = self.ask("GET", f"/api/messages/{self.message_id(text)}/receipts/")
        return all(receipt["read"] for receipt in receipts["results"])

    def message_id(self, text: str) -> str:
        return str(self.listed()[text]["message_id"])

    def read(self, text: str) -> None:
        self.ask("PUT", f"/api/messages/{self.message_id(text)}/read/")

    def remove(self, text: str) -> None:
        self.ask("DELETE", f"/api/messages/{self.message_id(text)}/")


class UserToUser(Speaker):
    """Nothing here is read or unread."""

    marks_read = False

    def sign_in(self, login: dict[str, str]) -> None:
        token = self.ask("POST", "/login/", json=login)["csrf_token"]
        self.http.headers["X-CSRFToken"] = token

    def write(self, to: str, text: str) -> None:
        self.ask("POST", "/messages/", json={"recipient": to, "content": text})

    def listed(self) -> dict[str, Any]:
        found = self.ask("GET", f"/list-messages/{self.known['other'][self.name]}/")["results"]
        return {row["content"]: row for row in found}

    def texts(self) -> set[str]:
        return set(self.listed())

    def unread(self) -> None:
        return None

    def read(self, text: str) -> None:
        self.ask("GET", f"/messages/{self.listed()[text]['id']}/")

    def remove(self, text: str) -> None:
        self.ask("DELETE", f"/messages/{self.listed()[text]['id']}/")


SPEAKERS: dict[str, type[Speaker]] = {
    "bearer_mail": BearerMail,
    "token_mail": TokenMail,
    "session_mail": SessionMail,
    "conversations": Conversations,
    "user_to_user": UserToUser,
}
