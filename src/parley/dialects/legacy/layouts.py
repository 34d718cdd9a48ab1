"""What the tables of the five older backends look like.

Of each table the columns are known, not the name: Django makes that of the name of an app, which
was everyone's own choice. So a table is found by its columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """The columns that are read, by what they mean here.

    ``order`` are those that put rows in order of creation; the last tells each row from all others.
    """

    columns: dict[str, str]
    order: tuple[str, ...] = ("key",)


@dataclass(frozen=True)
class Layout:
    """The tables of one backend. One with ``conversations`` has members, and messages in them."""

    people: Table
    messages: Table
    tokens: Table | None = None
    conversations: Table | None = None
    members: Table | None = None
    tables: dict[str, Table] = field(init=False)

    def __post_init__(self) -> None:
        named = ("people", "messages", "tokens", "conversations", "members")
        found = {name: table for name in named if (table := getattr(self, name)) is not None}
        object.__setattr__(self, "tables", found)


STOCK_USER = Table(
    {
        "key": "id",
        "username": "username",
        "email": "email",
        "password": "password",
        "first_name": "first_name",
        "last_name": "last_name",
        "is_active": "is_active",
        "is_superuser": "is_superuser",
        "at": "date_joined",
    }
)


def _letters(**columns: str) -> Table:
    return Table({"key": "id", "sender": "sender_id"} | columns)


LAYOUTS: dict[str, Layout] = {
    "bearer_mail": Layout(
        people=STOCK_USER,
        messages=_letters(
            recipient="receiver_id",
            subject="subject",
            body="content",
            at="created_at",
            is_read="is_read",
        ),
    ),
    "token_mail": Layout(
        people=STOCK_USER,
        messages=_letters(
            recipient="receiver_id",
            subject="subject",
            body="message",
            at="creation_date",
            is_read="is_read",
        ),
        tokens=Table({"key": "key", "owner": "user_id", "at": "created"}, order=("at", "key")),
    ),
    "session_mail": Layout(
        people=STOCK_USER,
        messages=_letters(
            recipient="receiver_id",
            subject="subject",
            body="body",
            at="creation_date",
            is_read="is_read",
        ),
    ),
    "user_to_user": Layout(
        people=STOCK_USER,
        messages=_letters(recipient="recipient_id", body="content", at="timestamp"),
    ),
    "conversations": Layout(
        people=Table(
            {
                "key": "user_id",
                "email": "email",
                "password": "password",
                "first_name": "first_name",
                "last_name": "last_name",
                "phone_number": "phone_number",
                "role": "role",
                "is_active": "is_active",
                "is_superuser": "is_superuser",
                "at": "created_at",
            },
            order=("at", "key"),
        ),
        messages=Table(
            {
                "key": "message_id",
                "sender": "sender_id",
                "conversation": "conversation_id",
                "body": "message_body",
                "at": "sent_at",
            },
            order=("at", "key"),
        ),
        conversations=Table({"key": "conversation_id", "at": "created_at"}, order=("at", "key")),
        members=Table({"key": "id", "conversation": "conversation_id", "person": "user_id"}),
    ),
}
