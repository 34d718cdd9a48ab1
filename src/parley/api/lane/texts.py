"""Lists as JSON text, made from rows that the database wrote as text.

The shapes are those of ``http.wire``: a template is what ``wire`` writes of a sample, with holes
where the sample stood. So an answer of thousands of values is filled in, not built value by value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from inspect import signature
from json.encoder import encode_basestring as quoted
from typing import Any

import msgspec

from parley.accounts.people import COLUMNS, Person
from parley.conversations.seen import Me, SeenParticipant
from parley.http import wire
from parley.messaging.models import Flag
from parley.messaging.seen import News, SeenConversation, SeenMessage
from parley.messaging.sight import is_read
from parley.messaging.unread import LIST_CAP, SCAN

Row = Sequence[Any]
PersonRow = tuple[Any, ...]  # text, or nothing
Writer = Callable[[PersonRow], str]
Users = Mapping[str, str]  # the JSON that stands where a user is named, by id

PERSON_WIDTH = len(COLUMNS)
MICROSECONDS = 15  # characters of a time of day that has all of them
IN_FULL = 29  # and those of an instant, with its date and zone


# --- templates ------------------------------------------------------------------------------------


def template(shape: wire.Json, *samples: str) -> str:
    """Return the JSON of a shape as a format for ``%``, with a hole where each sample stands.

    :raises ValueError: a sample does not stand there once, after the one before it.
    """
    left, parts = msgspec.json.encode(shape).decode().replace("%", "%%"), []
    for sample in samples:
        before, found, left = left.partition(sample)
        if not found or sample in left:
            raise ValueError(f"{sample} is not where it should be in {before}{left}")
        parts.append(before)
    return "%s".join([*parts, left])


def _sample(of: Any, **values: Any) -> Any:
    """Return one of these values, each of its fields "~" and its name unless given."""
    return of(**{name: f"~{name}" for name in signature(of).parameters} | values)


AT = [datetime(2001, 2, day, tzinfo=UTC) + timedelta(microseconds=7) for day in range(1, 6)]
T1, T2, T3, T4, T5 = map(wire.instant, AT)

PERSON = template(
    wire.person(_sample(Person, created_at=AT[0])),
    *("~user_id", '"~username"', '"~first_name"', '"~last_name"', '"~email"', '"~phone_number"'),
    *("~role", T1),
)
MESSAGE = template(
    wire.message(
        _sample(SeenMessage, sent_at=AT[0], edited_at=AT[1], retracted_at=AT[2]),
        wire.People({"~sender_id": "~sender"}),  # type: ignore[dict-item]
    ),
    *("~message_id", '"~sender"', '"~message_body"', T1, "~conversation_id", '"~subject"'),
    *('"~seq"', '"~revision"', '"~client_id"', '"~reply_to"', f'"{T2}"', f'"{T3}"'),
    *('"~read"', '"~starred"'),
)
# What follows the user's own fields.
MEMBER = template(
    wire.participant(
        _sample(SeenParticipant, joined_at=AT[0]),
        wire.People({"~user_id": {}}),  # type: ignore[dict-item]
    ),
    *("~member_role", '"~read_seq"', '"~delivered_seq"', T1),
).replace("{", ",")
CONVERSATION = template(
    wire.conversation(
        _sample(
            SeenConversation,
            created_at=AT[0],
            changed_at=AT[1],
            participants=[],
            messages=[],
            last_message=None,
            reset=False,
            me=_sample(Me, muted_until=AT[2], archived_at=AT[3], pinned_at=AT[4]),
        ),
        wire.People({}),
    )
    # What is text already.
    | {name: f"~{name}" for name in ("participants", "messages", "last_message")},
    *("~conversation_id", '"~participants"', T1, '"~messages"', "~kind", '"~title"'),
    *('"~last_seq"', '"~revision"', T2, '"~participant_count"', '"~unread_count"'),
    *('"~unread_capped"', '"~last_message"', "~member_role", '"~read_seq"', '"~watermark"'),
    *(f'"{T3}"', f'"{T4}"', f'"{T5}"'),
)
PAGE = template(
    wire.page([{"~": 1}], following="~next", previous="~previous"),
    *('"~next"', '"~previous"', '{"~":1}'),
)
NEWS = template(
    wire.news(News([], [], [], [], "~cursor", more=False), wire.People({}))
    | {"conversations": [{"~": 1}]},
    *('{"~":1}', '"~cursor"'),
)


# --- values ---------------------------------------------------------------------------------------


def _instant(text: str) -> str:
    """Return an instant as ``wire`` writes it; PostgreSQL leaves zeros at its end out."""
    if len(text) == IN_FULL:
        return f"{text[:10]}T{text[11:26]}Z"
    clock = text[11:-3]
    return f"{text[:10]}T{(clock if '.' in clock else f'{clock}.').ljust(MICROSECONDS, '0')}Z"


# When someone joined, and what many rows share: the same ones again and again.
_common_instant = lru_cache(maxsize=20_000)(_instant)


def _instant_or_null(text: str | None) -> str:
    return "null" if text is None else f'"{_instant(text)}"'


def _quoted_or_null(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _flag(value: object) -> str:
    return "true" if value else "false"


# --- people ---------------------------------------------------------------------------------------


@lru_cache(maxsize=20_000)  # by all that it says, so that it is never an old one
def _person(row: PersonRow) -> str:
    user_id, username, first_name, last_name, email, phone_number, role, created_at = row
    return PERSON % (
        user_id,
        quoted(username),
        quoted(first_name),
        quoted(last_name),
        _quoted_or_null(email),
        _quoted_or_null(phone_number),
        role,
        _instant(created_at),
    )


@lru_cache(maxsize=20_000)
def _person_without_contact(row: PersonRow) -> str:
    return _person((*row[:4], None, None, *row[6:]))


def person(row: PersonRow, *, viewer_id: str, sees_all: bool) -> str:
    """Return the JSON of the person that a row begins with; contact details of others only with
    ``sees_all``.
    """
    write = _person if sees_all or row[0] == viewer_id else _person_without_contact
    return write(row[:PERSON_WIDTH])


def people(rows: Iterable[PersonRow], write: Writer) -> dict[str, str]:
    """Return the JSON of the people of rows that end with ``PERSON``, some of which may hold
    nobody.
    """
    found: dict[str, str] = {}
    for row in rows:
        user_id = row[-PERSON_WIDTH]
        if user_id is not None and user_id not in found:
            found[user_id] = write(row[-PERSON_WIDTH:])
    return found


class Compact(dict[str, str]):
    """Users who are named by their id alone."""

    def __missing__(self, user_id: str) -> str:
        return f'"{user_id}"'


def whole(text: str, users: Users | None) -> bytes:
    """Return a whole answer; with ``users`` they stand at its end, beside all else."""
    if users is None:
        return text.encode()
    written = ",".join(f'"{user_id}":{users[user_id]}' for user_id in sorted(users))
    return f'{text[:-1]},"users":{{{written}}}}}'.encode()


# --- messages and conversations -------------------------------------------------------------------


def messages(rows: Iterable[Row], users: Users, *, viewer_id: str) -> list[str]:
    """Return the messages of rows that begin with ``express.MESSAGE``, the viewer's flags and
    watermark; none where a row holds none.
    """
    found = []
    for row in rows:
        (message_id, conversation_id, sender_id, seq, revision, subject, body, sent_at) = row[:8]
        if message_id is None:
            continue
        (client_id, reply_to, edited_at, retracted_at, flags, watermark) = row[8:14]
        # Whatever can be spared is: this is done for every message of every list.
        text = MESSAGE % (
            message_id,
            users[sender_id],
            quoted(body),
            _instant(sent_at),
            conversation_id,
            quoted(subject) if subject else '""',
            seq,
            revision,
            "null" if client_id is None else quoted(client_id),
            "null" if reply_to is None else quoted(reply_to),
            "null" if edited_at is None else f'"{_instant(edited_at)}"',
            "null" if retracted_at is None else f'"{_instant(retracted_at)}"',
            _flag(sender_id == viewer_id or is_read(seq, flags or 0, watermark)),
            _flag(flags and flags & Flag.STARRED),
        )
        found.append(text)
    return found


def participants(rows: Iterable[Row], users: Users, *, compact: bool) -> dict[str, list[str]]:
    """Return the participants of rows of ``express.MEMBERS_OF_MANY``, by conversation."""
    nested: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        user_id = row[1]
        known = f'{{"user":"{user_id}"' if compact else users[user_id][:-1]
        place = MEMBER % (row[2], row[3], row[4], _common_instant(row[5]))
        nested[row[0]].append(known + place)
    return nested


def conversation(
    row: Row,
    participants: Iterable[str],
    nested: Iterable[str],
    last: Sequence[str],
    *,
    cap: int = LIST_CAP,
) -> str:
    """Return the conversation of a row of ``express.SHOWN``, with messages, and the last one of
    all, if any; what is unread was counted up to ``cap``.
    """
    (conversation_id, kind, title, created_at, changed_at, last_seq, revision, count) = row[:8]
    role, read_seq, watermark, muted_until, archived_at, pinned_at, start, unread = row[10:18]
    return CONVERSATION % (
        conversation_id,
        f"[{','.join(participants)}]",
        _instant(created_at),
        f"[{','.join(nested)}]",
        kind,
        quoted(title),
        last_seq,
        revision,
        _instant(changed_at),
        count,
        min(unread, cap),
        _flag(unread >= cap or last_seq > start + SCAN * cap),
        last[0] if last else "null",
        role,
        read_seq,
        watermark,
        _instant_or_null(muted_until),
        _instant_or_null(archived_at),
        _instant_or_null(pinned_at),
    )


def page(
    results: Iterable[str], *, following: str | None, previous: str | None, users: Users | None
) -> bytes:
    """Return a page object; with ``users`` they stand beside the results."""
    text = PAGE % (_quoted_or_null(following), _quoted_or_null(previous), ",".join(results))
    return whole(text, users)


def news(conversations: Iterable[str], *, cursor: str, users: Users | None) -> bytes:
    """Return an answer of ``sync`` in which nothing but conversations is new."""
    return whole(NEWS % (",".join(conversations), quoted(cursor)), users)
