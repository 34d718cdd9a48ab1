"""MariaDB's statements of a send by themselves, as its own load program plays them.

They are what the product asks, noted while it sends a message. In the places of its values stand
variables of the session, which the first statement of each transaction fills, and those statements
whose answers the product computes with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from bench.speed import statements
from bench.speed.rows import Row
from bench.speed.verdicts import Run
from bench.speed.world import NAME

PICK = """
SELECT p.user_id, p.conversation_id,
       CONCAT(LPAD(LOWER(HEX(FLOOR(UNIX_TIMESTAMP(SYSDATE(6)) * 1000))), 12, '0'),
              '7', LEFT(MD5(RAND()), 3), '8', LEFT(MD5(RAND()), 15))
  INTO @who, @where, @id
  FROM (SELECT FLOOR(1 + RAND() * (SELECT MAX(n) FROM bench_pair)) AS n) AS chosen
  JOIN bench_pair AS p ON p.n = chosen.n
"""
ANSWERS = {
    "conversations_fence": "@g, @settled, @now",
    "conversations_conversation": "@where, @kind, @seq, @revision, @gen, @at",
}
FIRST = 100  # transactions that say how many of them take as long as they should


def play(row: Row, seconds: int) -> Run:
    asked = script()
    first = _rate(row, asked, FIRST * row.clients)
    rate = _rate(row, asked, max(int(first * seconds), row.clients))
    latency = 1_000 * row.clients / rate
    return Run(rate, latency, latency)


def script() -> list[str]:
    """Return the statements of one transaction that sends one message."""
    from django.db import connection, transaction

    from parley.messaging.operations import send

    noted: list[tuple[str, Any]] = []
    with transaction.atomic():
        draft = _draft()
        with connection.execute_wrapper(_noting(noted)):
            sent = send(draft).message
        transaction.set_rollback(True)
    places = _places(sent)
    return [
        " ".join(PICK.split()) + ";\n",
        "BEGIN;\n",
        *(statements.put(_kept(sql), [_written(each, places) for each in p]) for sql, p in noted),
        "COMMIT;\n",
    ]


def _draft() -> Any:
    """Return a message into a conversation whose numbers are not those of the fence."""
    from parley.conversations import fence
    from parley.conversations.models import Participant
    from parley.messaging.drafts import Draft

    numbers = range(fence.state().current + 10)
    found = Participant.objects.filter(left_at=None, conversation__kind="group")
    mine = found.exclude(conversation__last_seq__in=numbers).order_by("conversation_id")[0]
    body = statements.BODY.strip("'")
    return Draft(mine.user_id, body, conversation_id=mine.conversation_id)


def _noting(noted: list[tuple[str, Any]]) -> Any:
    def note(execute: Any, sql: str, parameters: Any, *rest: Any) -> Any:
        noted.append((sql, parameters))
        return execute(sql, parameters, *rest)

    return note


def _places(sent: Any) -> dict[Any, str]:
    """Return the variable that stands for each value of a message."""
    from parley.conversations.fence import state
    from parley.kernel.database import adapted, uuid_key

    named = {sent.message_id: "@id", sent.conversation_id: "@where", sent.sender_id: "@who"}
    return {
        **named,
        **dict(zip(map(uuid_key(), named), named.values(), strict=True)),
        adapted([sent.sent_at])[0]: "@now",
        sent.revision: "@revision + 1",
        sent.seq: "@seq + 1",
        state().current: "@g",
    }


def _kept(sql: str) -> str:
    """Return a statement that keeps its answer in variables, where later ones need it."""
    for table, variables in ANSWERS.items():
        if sql.lstrip().startswith("SELECT") and f"FROM {table}" in sql:
            return sql.replace("FROM ", f"INTO {variables} FROM ", 1)
    return sql


def _written(value: Any, places: dict[Any, str]) -> str:
    if value in places:
        return places[value]
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'{}'".format(value.replace("'", "''"))


def _rate(row: Row, asked: list[str], transactions: int) -> float:
    """Return how many transactions a second so many clients come to."""
    from django.conf import settings

    at = settings.DATABASES["default"]
    program = shutil.which("mariadb-slap") or "mysqlslap"
    command = [program, "--no-defaults", f"--create-schema={NAME}", "--no-drop", "--csv"]
    command += [f"--host={at['HOST']}", f"--port={at['PORT'] or 3306}", f"--user={at['USER']}"]
    command += ["--delimiter=;", f"--query={''.join(asked)}", f"--concurrency={row.clients}"]
    command += [f"--number-of-queries={transactions * len(asked)}"]
    command += ["--init-command=SET SESSION tx_isolation='READ-COMMITTED'"]
    environment = os.environ | {"MYSQL_PWD": at["PASSWORD"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        return transactions / float(done.stdout.split(",")[2])
    except (IndexError, ValueError, ZeroDivisionError):
        raise RuntimeError(f"{row.name}: {program}: {done.stdout}{done.stderr}") from None
