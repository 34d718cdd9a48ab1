"""The product's own statements, as pgbench plays them: one function for each kind of request.

Each puts values in the places of the parameters that ``express`` (or ``one_trip``) gives; ``put``
fails where there are more or fewer places than that, so a statement that changed is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from bench.speed.world import PAIRS

PLACEHOLDER = re.compile("%s")
WHO = "(SELECT user_id FROM bench_pair WHERE n = :n)"
WHERE = "(SELECT conversation_id FROM bench_pair WHERE n = :n)"
NEW_ID = (
    "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'"
    " || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid"
)
PAGE = (
    "SELECT conversation_id FROM conversations_participant"  # noqa: S608
    f" WHERE user_id = {WHO} AND left_at IS NULL LIMIT 25"
)
BODY = "'The quick brown fox jumps over the lazy dog, again and again.'"
LAST = str(2**63 - 1)


def script(kind: str) -> str:
    """Return what pgbench is to play: what the product plays, with these values."""
    from bench import ground

    first = f"\\set n random(1, {ground.MEMBERS if kind == 'hot' else PAIRS})\n"
    return first + "".join(KINDS[kind]())


def put(sql: str, values: list[str]) -> str:
    """Put values in the places of parameters.

    :raises ValueError: there are not as many values as places.
    """
    parts = PLACEHOLDER.split(" ".join(sql.split()))
    if len(parts) != len(values) + 1:
        raise ValueError(f"{len(values)} values for {len(parts) - 1} places: {sql}")
    return "".join(chain.from_iterable(zip(parts, [*values, ""], strict=True))) + ";\n"


def send(who: str = WHO, where: str = WHERE) -> Iterator[str]:
    from parley.messaging.operations import messages_sent, one_trip

    values = [f"ARRAY[{NEW_ID}]", f"ARRAY[{where}]", "ARRAY[NULL]", f"ARRAY[{who}]"]
    values += ["ARRAY['']", f"ARRAY[{BODY}]", "ARRAY[NULL]", "ARRAY[NULL]", r"ARRAY['\x']"]
    yield put(one_trip.together(messages_sent.in_sql() or []), [*values, "true"])


def hot() -> Iterator[str]:
    return send(*(part.replace("bench_pair", "bench_hot") for part in (WHO, WHERE)))


def history() -> Iterator[str]:
    from parley.messaging import express

    yield put(express.HISTORIES["seq", False], [WHO, WHERE, WHO, WHERE, "-1", LAST, "51"])


def inbox() -> Iterator[str]:
    from parley.messaging import express

    edge = [_literal(value) for value in express.NEWEST_EDGE]
    yield put(express.INBOXES[False], [WHO, *edge, "26"])
    ids = f"SELECT array_agg(conversation_id) FROM ({PAGE}) AS i"  # noqa: S608
    kinds = f"SELECT array_agg(false) FROM ({PAGE}) AS k"  # noqa: S608
    yield put(express.MEMBERS_OF_MANY, [f"({ids})", f"({kinds})"])


def read() -> Iterator[str]:
    from parley.messaging import express
    from parley.messaging.operations.reading import FURTHEST
    from parley.messaging.unread import CAP

    yield "\\set seq random(1, 50)\n"
    yield put(express.READ, [WHO, WHERE, ":seq", str(FURTHEST), str(CAP)])


def unread() -> Iterator[str]:
    from parley.messaging import express

    yield put(express.TOTAL.one, [WHO])


def sync() -> Iterator[str]:
    from parley.conversations import fence
    from parley.messaging import express_sync

    state = fence.state()
    yield put(express_sync.NEWS.one, [str(state.current), WHO, str(state.settled)])


KINDS = {each.__name__: each for each in (send, hot, history, inbox, read, unread, sync)}


def _literal(value: Any) -> str:
    return f"'{value}'" if isinstance(value, UUID | datetime) else str(value)
