"""The numbers of users and messages: allotted once, global, in the order of creation if possible.

They are allotted in the transaction that creates their user or message, while a dialect is mounted.
What is older, or was loaded in bulk, gets its number from ``manage.py backfill_handles``, else when
it is first asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.db.models.constants import OnConflict

from parley.accounts.models import User
from parley.dialects.models import Handle, MessageHandle, UserHandle
from parley.kernel.database import adapted, among, in_transaction, rows, uuid_parameter, uuid_value
from parley.messaging.seen import SeenMessage

LARGEST = 2**63 - 1
NUMBER_SQL = """
INSERT INTO dialects_messagehandle (message_id)
SELECT message_id FROM sent WHERE outcome = 'new' ORDER BY place
    ON CONFLICT DO NOTHING
"""
# Read with the message ``m``, whatever it is read by.
NUMBER_BESIDE = "(SELECT number FROM dialects_messagehandle h WHERE h.message_id = m.message_id)"
IN_ORDER_SQL = """
SELECT array_agg((SELECT number FROM dialects_messagehandle WHERE message_id = its.id) ORDER BY n)
  FROM unnest(%s::uuid[]) WITH ORDINALITY AS its (id, n)
"""
ONE_BY_ONE_SQL = """
SELECT its.id, (SELECT number FROM {table} WHERE {key} = its.id) FROM unnest(%s::uuid[]) AS its (id)
"""
MOST_KNOWN = 50_000
# A user's number never changes; most answers name the same few people.
_known: dict[UUID, int] = {}

MOVE_ON_SQL = """
SELECT setval(sequence, GREATEST(%s, COALESCE(pg_sequence_last_value(sequence), 1)))
  FROM (SELECT pg_get_serial_sequence(%s, 'number')::regclass AS sequence) AS its
"""


def numbers_of_users(user_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return the numbers of users; whoever has none gets one now."""
    found = {one: _known[one] for one in user_ids if one in _known}
    if len(found) < len(set(user_ids)):
        found |= _numbers(UserHandle, "user_id", [one for one in user_ids if one not in found])
        # What a transaction has read it may yet take back.
        if not connection.in_atomic_block:
            _remember(found)
    return found


def _remember(found: Mapping[UUID, int]) -> None:
    if len(_known) > MOST_KNOWN:
        _known.clear()
    _known.update(found)


def numbers_of_messages(
    message_ids: Collection[UUID], beside: Collection[int | None] = ()
) -> dict[UUID, int]:
    """Return the numbers of messages; what has none gets one now, in the order given.

    ``beside`` are those that were read with the messages, where the caller has them in hand.
    """
    read = zip(message_ids, beside, strict=bool(beside))
    found = {message_id: number for message_id, number in read if number is not None}
    missing = [one for one in message_ids if one not in found]
    return found | _numbers(MessageHandle, "message_id", missing) if missing else found


def numbers_in_order(message_ids: Sequence[Any]) -> list[int]:
    """Return the same in the order of the ids, which are as the driver gave them."""
    numbers = [number for number in _in_order(message_ids) if number is not None]
    if len(numbers) == len(message_ids):
        return numbers
    named = [uuid_value(each) for each in message_ids]
    by_id = numbers_of_messages(named)
    return [by_id[each] for each in named]


def _in_order(message_ids: Sequence[Any]) -> Sequence[int | None]:
    if not message_ids:
        return []
    if connection.vendor == "postgresql":  # one value: there is no id to be told again
        found: list[int | None] = rows(IN_ORDER_SQL, [list(message_ids)])[0][0]
        return found
    by_id = dict(_rows(MessageHandle, "message_id", message_ids))
    return [by_id.get(each) for each in message_ids]


def user_of(number: int) -> UUID | None:
    """Return the user of a number, if there is one."""
    return _named(UserHandle, "user_id", number)


def message_of(number: int) -> UUID | None:
    """Return the message of a number, if there is one."""
    return _named(MessageHandle, "message_id", number)


# --- allotting


def number_user(user: User) -> None:
    """Allot a number to a new user, in the transaction that creates them."""
    if settings.PARLEY.mounted_dialects():
        _allot(UserHandle, "user_id", [user.user_id])


def number_messages(messages: Sequence[SeenMessage]) -> None:
    """Allot numbers to new messages in their order, in the transaction that writes them."""
    if settings.PARLEY.mounted_dialects():
        _allot(MessageHandle, "message_id", [message.message_id for message in messages])


def number_messages_in_sql() -> str:
    """Return the same as a statement over ``sent``: what the database function has written."""
    return NUMBER_SQL if settings.PARLEY.mounted_dialects() else ""


def keep_numbers_of_users(wanted: Mapping[UUID, int]) -> dict[UUID, int]:
    """Give users the numbers they had elsewhere, if free; return the numbers they have then."""
    return _keep(UserHandle, "user_id", wanted)


def keep_numbers_of_messages(wanted: Mapping[UUID, int]) -> dict[UUID, int]:
    """Give messages the numbers they had elsewhere, if free; return the numbers they have then.

    Called before the messages are sent, in the same transaction, it decides their numbers.
    """
    return _keep(MessageHandle, "message_id", wanted)


def reserve_users(largest: int) -> None:
    """Let the numbers of new users begin past this one; those before it can still be kept."""
    _reserve(UserHandle, "user_id", largest)


def reserve_messages(largest: int) -> None:
    """Let the numbers of new messages begin past this one; those before it can still be kept."""
    _reserve(MessageHandle, "message_id", largest)


@in_transaction
def _keep(model: type[Handle], key: str, wanted: Mapping[UUID, int]) -> dict[UUID, int]:
    sane = {one: number for one, number in wanted.items() if 0 < number < LARGEST}
    handles = [model(number=number, **{key: one}) for one, number in sane.items()]
    _manager(model).bulk_create(handles, ignore_conflicts=True)
    _pass(model, max(sane.values(), default=0))
    return _numbers(model, key, wanted)


@in_transaction
def _reserve(model: type[Handle], key: str, largest: int) -> None:
    if not 0 < largest < LARGEST:
        return
    # Where the largest number ever given counts, it is enough to have given it.
    one = uuid4()
    _manager(model).bulk_create([model(number=largest, **{key: one})], ignore_conflicts=True)
    _pass(model, largest)
    with connection.cursor() as cursor:
        statement = f"DELETE FROM {_table(model)} WHERE {key} = %s"  # noqa: S608 - names of ours
        cursor.execute(statement, [uuid_parameter(one)])


def _pass(model: type[Handle], number: int) -> None:
    """Have the sequence continue past a number that it did not give itself, where it is one."""
    if connection.vendor == "postgresql" and number > 0:
        with connection.cursor() as cursor:
            cursor.execute(MOVE_ON_SQL, [number, _table(model)])


def _allot(model: type[Handle], key: str, ids: Sequence[UUID]) -> None:
    """Allot numbers by one insert; who has one keeps it."""
    if not ids:
        return
    ignore = OnConflict.IGNORE
    insert = connection.ops.insert_statement(on_conflict=ignore)
    suffix = connection.ops.on_conflict_suffix_sql([], ignore, [], [])
    places = ", ".join(["(%s)"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"{insert} {_table(model)} ({key}) VALUES {places} {suffix}",
            adapted(ids),
        )


# --- looking up


def _numbers(model: type[Handle], key: str, ids: Collection[UUID]) -> dict[UUID, int]:
    found = _read(model, key, ids)
    missing = [one for one in dict.fromkeys(ids) if one not in found]
    if missing:
        # Another request may be doing the same; what it allotted is read with ours.
        _allot(model, key, missing)
        found |= _read(model, key, missing)
    return found


def _read(model: type[Handle], key: str, ids: Collection[UUID]) -> dict[UUID, int]:
    if not ids:
        return {}
    return {uuid_value(one): number for one, number in _rows(model, key, ids)}


def _rows(model: type[Handle], key: str, ids: Collection[Any]) -> list[tuple[Any, ...]]:
    if connection.vendor == "postgresql":  # asked for several at once, it reads the whole table
        asked = ONE_BY_ONE_SQL.format(table=_table(model), key=key)
        return [row for row in rows(asked, [list(ids)]) if row[1] is not None]
    chosen, parameters = among(key, ids)
    sql = f"SELECT {key}, number FROM {_table(model)} WHERE {chosen}"  # noqa: S608 - names of ours
    return rows(sql, parameters)


def _named(model: type[Handle], key: str, number: int) -> UUID | None:
    if not 0 < number <= LARGEST:
        return None
    sql = f"SELECT {key} FROM {_table(model)} WHERE number = %s"  # noqa: S608 - names of ours
    found = rows(sql, [number])
    return uuid_value(found[0][0]) if found else None


def _manager(model: type[Handle]) -> Any:
    return model._default_manager  # noqa: SLF001 - the documented name for generic code


def _table(model: type[Handle]) -> str:
    return model._meta.db_table  # noqa: SLF001 - as documented
