"""Bringing one older database over: a batch is one transaction with its line in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.db import IntegrityError, transaction

from parley.accounts.models import Role
from parley.accounts.operations.importing import (
    OldPerson,
    OldToken,
    import_people,
    import_tokens,
    is_usable,
    stored_password,
)
from parley.conversations.importing import OldConversation
from parley.dialects import handles
from parley.dialects.legacy.ledger import Ledger
from parley.dialects.legacy.source import Row, Source, instant, place_of, uuid
from parley.kernel.database import ATTEMPTS
from parley.kernel.ids import new_id
from parley.kernel.text import is_storable
from parley.messaging.drafts import LONGEST_SUBJECT
from parley.messaging.operations.importing import (
    OldMessage,
    import_conversations,
    import_messages,
    which_exist,
)

BATCH = 500
PEOPLE_BATCH = 100  # smaller: a password may have to be hashed for each


class Listener(Protocol):
    """Who is told how an import goes."""

    def begin(self, kind: str, total: int) -> None:
        """So many rows of a table are there to be read."""

    def advance(self, count: int) -> None:
        """So many of them are done."""

    def tell(self, what: str, old: object, new: object) -> None:
        """Something could not stay as it was, or was left out."""


@dataclass(frozen=True)
class Import:
    """One run. People who were superusers become admins only if ``admins`` is set."""

    source: Source
    ledger: Ledger
    listener: Listener
    admins: bool
    _told: list[tuple[str, object, object]] = field(default_factory=list)

    def run(self) -> None:
        """Bring over everything that has not been brought over yet."""
        self._reserve()
        self._each("people", self._people, PEOPLE_BATCH)
        if self.source.has("tokens"):
            self._each("tokens", self._tokens)
        if self.source.has("conversations"):
            self._each("conversations", self._conversations)
        self._each("messages", self._messages)

    def _reserve(self) -> None:
        """Let new numbers begin past the old ones, so that whatever needs one takes no other's."""
        if not self._has_integers:
            return
        handles.reserve_users(self.source.largest("people"))
        handles.reserve_messages(self.source.largest("messages"))

    @property
    def _has_integers(self) -> bool:
        return not self.source.has("conversations")

    def _each(
        self, kind: str, bring: Callable[[Sequence[Row]], Callable[[], int]], size: int = BATCH
    ) -> None:
        table = self.source.layout.tables[kind]
        self.listener.begin(kind, self.source.count(kind))
        self.listener.advance(self.ledger.brought(kind))
        for rows in self.source.batches(kind, size, self.ledger.place(kind)):
            self._surely(kind, bring(rows), place_of(table, rows[-1]))
            self.listener.advance(len(rows))

    def _surely(self, kind: str, write: Callable[[], int], place: list[object]) -> None:
        """Write a batch; if someone took a name or opened a conversation in that moment, again.

        ``write`` returns how many rows were brought over; the others are left out.
        """
        for attempt in range(1, ATTEMPTS + 1):
            self._told.clear()
            try:
                with transaction.atomic():
                    self.ledger.advance(kind, place, write())
                break
            except IntegrityError:
                if attempt == ATTEMPTS:
                    raise
        self.ledger.refresh()
        for what, old, new in self._told:
            self.listener.tell(what, old, new)

    def _tell(self, what: str, old: object, new: object) -> None:
        """Note something to be told once the batch is stored."""
        self._told.append((what, old, new))

    # --- people

    def _people(self, rows: Sequence[Row]) -> Callable[[], int]:
        old = [self._old_person(row) for row in rows]

        def write() -> int:
            new = import_people(old)
            users = {row["key"]: each.user for row, each in zip(rows, new, strict=True)}
            self.ledger.note("people", {key: user.user_id for key, user in users.items()})
            if self._has_integers:
                wanted = {user.user_id: int(key) for key, user in users.items()}
                self._kept("user number", wanted, handles.keep_numbers_of_users(wanted))
            for row, each in zip(rows, new, strict=True):
                self._tell_person(row, each.user.username, each.lost_email)
            return len(rows)

        return write

    def _old_person(self, row: Row) -> OldPerson:
        kept = uuid(row["key"]) if not self._has_integers else None
        return OldPerson(
            username=row.get("username", row["email"].partition("@")[0]),
            email=row["email"],
            password=stored_password(row["password"]),
            first_name=row["first_name"],
            last_name=row["last_name"],
            phone_number=row.get("phone_number"),
            role=self._role(row),
            is_active=bool(row["is_active"]),
            created_at=instant(row["at"]),
            user_id=kept,
        )

    def _role(self, row: Row) -> str:
        if row["is_superuser"] and self.admins:
            return Role.ADMIN
        return Role.HOST if row.get("role") == Role.HOST else Role.GUEST

    def _tell_person(self, row: Row, username: str, lost_email: str | None) -> None:
        if username != row.get("username"):
            self._tell("username", row.get("username", row["email"]), username)
        if lost_email:
            self._tell("e-mail lost", username, lost_email)
        if not is_usable(row["password"]):
            self._tell("no password", username, "to be reset")
        if row["is_superuser"] and not self.admins:
            self._tell("no admin", username, "was a superuser; --admins keeps that")

    def _kept(self, what: str, wanted: dict[UUID, int], found: dict[UUID, int]) -> None:
        for one, number in wanted.items():
            if found[one] != number:
                self._tell(what, number, found[one])

    # --- tokens

    def _tokens(self, rows: Sequence[Row]) -> Callable[[], int]:
        def write() -> int:
            people = self.ledger.find("people", [row["owner"] for row in rows])
            owned = [row for row in rows if str(row["owner"]) in people]
            import_tokens(
                OldToken(people[str(row["owner"])], row["key"], "token_mail") for row in owned
            )
            return len(owned)

        return write

    # --- conversations

    def _conversations(self, rows: Sequence[Row]) -> Callable[[], int]:
        members = self.source.members([row["key"] for row in rows])
        # There everyone could write everywhere, and nobody had to be in a conversation.
        members |= self.source.writers([key for key, people in members.items() if not people])

        def write() -> int:
            named = {key for row in rows for key in members[row["key"]]}
            people = self.ledger.find("people", named)
            old = {row["key"]: self._old_conversation(row, members, people) for row in rows}
            found = import_conversations([each for each in old.values() if each.members])
            new = {key: found[o.conversation_id] for key, o in old.items() if o.members}
            self.ledger.note("conversations", new)
            for key, each in old.items():
                if not each.members:
                    self._tell("left out", f"conversation {key}", "nobody is in it")
                elif new[key] != each.conversation_id:
                    self._tell("conversation id", each.conversation_id, new[key])
            return len(new)

        return write

    def _old_conversation(
        self, row: Row, members: dict[Any, list[Any]], people: dict[str, UUID]
    ) -> OldConversation:
        known = (people.get(str(key)) for key in members[row["key"]])
        there = tuple(dict.fromkeys(one for one in known if one))
        return OldConversation(uuid(row["key"]), there, instant(row["at"]))

    # --- messages

    def _messages(self, rows: Sequence[Row]) -> Callable[[], int]:
        def write() -> int:
            old = self._old_messages(rows)
            wanted = {message.message_id: row["key"] for row, message in old}
            if self._has_integers:
                # Before they are stored, so that nothing numbers them first.
                found = handles.keep_numbers_of_messages(wanted)
                self._kept("message number", wanted, found)
            import_messages([message for _, message in old])
            return len(old)

        return write

    def _old_messages(self, rows: Sequence[Row]) -> list[tuple[Row, OldMessage]]:
        named = {row[name] for row in rows for name in ("sender", "recipient") if name in row}
        people = self.ledger.find("people", named)
        there = self.ledger.find("conversations", {row.get("conversation") for row in rows})
        free = self._free_ids(rows)
        found = []
        for row in rows:
            message = self._old_message(row, people, there, free)
            if message is None:
                self._tell("left out", f"message {row['key']}", "those it names are missing")
            else:
                found.append((row, message))
        return found

    def _free_ids(self, rows: Sequence[Row]) -> dict[str, UUID]:
        """Return the id of each message: its own if it has one that is free."""
        if self._has_integers:
            return {str(row["key"]): new_id() for row in rows}
        kept = {str(row["key"]): uuid(row["key"]) for row in rows}
        taken = which_exist(kept.values())
        for key, one in kept.items():
            if one in taken:
                kept[key] = new_id()
                self._tell("message id", one, kept[key])
        return kept

    def _old_message(
        self, row: Row, people: dict[str, UUID], there: dict[str, UUID], free: dict[str, UUID]
    ) -> OldMessage | None:
        sender = people.get(str(row["sender"]))
        recipient = people.get(str(row.get("recipient")))
        conversation = there.get(str(row.get("conversation")))
        if sender is None or (recipient is None and conversation is None):
            return None
        subject, body = self._words(row)
        is_unread = not row.get("is_read", True) and recipient not in (None, sender)
        return OldMessage(
            message_id=free[str(row["key"])],
            sender_id=sender,
            subject=subject,
            message_body=body,
            sent_at=instant(row["at"]),
            conversation_id=conversation,
            recipient_id=recipient,
            unread_by=frozenset([recipient] if recipient and is_unread else []),
        )

    def _words(self, row: Row) -> tuple[str, str]:
        """Return subject and body; a subject that is too long stands before the body in full."""
        subject, body = _storable(row.get("subject", "")), _storable(row["body"])
        if len(subject) <= LONGEST_SUBJECT:
            return subject, body
        self._tell("subject cut", f"message {row['key']}", f"{len(subject)} characters")
        return subject[:LONGEST_SUBJECT], f"{subject}\n\n{body}"


def _storable(text: str) -> str:
    """Return the text without what not every database can hold."""
    if is_storable(text):
        return text
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
