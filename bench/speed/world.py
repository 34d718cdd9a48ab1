"""A database of the bench's own, of each kind, with the same people and messages in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.speed.servers import ROOT

NAME = "parley_bench_speed"
PAIRS = 4_000
SERVERS = {
    "postgresql": "postgres://root@127.0.0.1:5432",
    "mysql": "mysql://root@127.0.0.1:3306",
}


def url_of(part: str, folder: Path) -> str:
    """Return where the bench's database of this kind is; a server's is named by
    ``BENCH_POSTGRESQL`` or ``BENCH_MYSQL``, by default one on this machine.
    """
    if part == "sqlite":
        return f"sqlite:///{folder / NAME}.sqlite3"
    return f"{os.environ.get(f'BENCH_{part.upper()}', SERVERS[part]).rstrip('/')}/{NAME}"


@contextmanager
def filled(part: str, folder: Path, *, quick: bool) -> Iterator[None]:
    """Keep a database with the world of the bench, chosen as Django's, within."""
    _prepare_django(url_of(part, folder), folder)
    from django.core.management import call_command
    from django.db import connection

    from bench import ground

    with _created(part):
        call_command("migrate", verbosity=0)
        ground.make(ground.Size(200, 800, 40_000) if quick else ground.Size(2_000, 8_000, 400_000))
        if part == "postgresql":  # which would else tidy up beside the first rows
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE)")
        try:
            yield
        finally:
            connection.close()


def _prepare_django(url: str, folder: Path) -> None:
    os.environ |= {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "parley.config.settings",
        "DJANGO_SECRET_KEY": "a key for measuring alone, of a decent length",
        "PARLEY_ENV_FILE": os.devnull,
        "PARLEY_DATA_DIR": str(folder),
        "PARLEY_RATES": "off",
        "PARLEY_ACCESS_LOG": "off",
        "LOGGER_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "bench", ROOT))),
    }
    import django

    django.setup()


@contextmanager
def _created(part: str) -> Iterator[None]:
    """Create the database on its server, and drop it at the end; a file goes with its folder."""
    if part == "sqlite":
        yield
        return
    _administer(part, create=True)
    try:
        yield
    finally:
        _administer(part, create=False)


def _administer(part: str, *, create: bool) -> None:
    from django.conf import settings

    given = settings.DATABASES["default"]
    at: dict[str, Any] = {"host": given["HOST"], "user": given["USER"], "port": given["PORT"]}
    at = {name: value for name, value in at.items() if value}
    if part == "postgresql":
        import psycopg

        at |= {"dbname": "postgres", "password": given["PASSWORD"] or None}
        with psycopg.connect(**at, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            if create:
                connection.execute(f"CREATE DATABASE {NAME}")
        return
    import MySQLdb

    maria = MySQLdb.connect(**at, password=given["PASSWORD"])
    with maria.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME}")
        if create:
            cursor.execute(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4")
    maria.close()


def write_pairs(folder: Path) -> None:
    """Write who asks for what: an access token, a conversation of that user's, a fresh cursor, a
    message in it. One file for all kinds of requests, one of the members of one conversation.
    """

    from parley.conversations import epochs, fence
    from parley.conversations.models import Participant
    from parley.messaging.models import Message

    epochs.begin()
    for _ in range(3):  # what was filled in is settled
        fence.tick(unless_within=timedelta(0))
    first = dict(Message.objects.filter(seq=1).values_list("conversation_id", "message_id"))
    found = Participant.objects.order_by("user_id", "conversation_id").select_related("user")
    hot = found.filter(conversation_id=found[0].conversation_id)
    for name, participants in (("pair", found[:PAIRS]), ("hot", hot)):
        pairs = list(participants)
        asking = {mine.user_id: _asking(mine.user) for mine in pairs}
        lines = [
            " ".join((token, str(p.conversation_id), cursor, str(first[p.conversation_id])))
            for p in pairs
            for token, cursor in [asking[p.user_id]]
        ]
        (folder / name).write_text("\n".join([*lines, ""]))
        _write_table(name, pairs)


def _asking(user: Any) -> tuple[str, str]:
    """Return a user's access token, of a new sign-in, and a cursor that has everything."""
    from django.utils import timezone
    from rest_framework_simplejwt.tokens import AccessToken

    from parley.accounts.models import SignIn
    from parley.conversations import epochs, fence
    from parley.messaging.cursors import Cursor

    now, state = timezone.now(), fence.state()
    sign_in = SignIn.objects.create(
        user=user,
        security_stamp=user.security_stamp,
        refresh_jti="bench",
        created_at=now,
        expires_at=now + timedelta(days=1),
    )
    token: Any = AccessToken()
    token["user_id"], token["sid"] = str(user.user_id), str(sign_in.sign_in_id)
    token.set_exp(lifetime=timedelta(days=1))
    held = Cursor(state.current, epochs.covering(state.current) or "", state.settled)
    return str(token), held.write(user.user_id)


def _write_table(name: str, pairs: list[Any]) -> None:
    """Keep the pairs for those who play statements alone, by number."""
    from django.db import connection

    from parley.kernel.database import uuid_parameter

    like = "SELECT 0 AS n, user_id, conversation_id FROM conversations_participant LIMIT 0"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bench_{name} AS {like}")
        cursor.executemany(
            f"INSERT INTO bench_{name} VALUES (%s, %s, %s)",  # noqa: S608
            [
                (n, uuid_parameter(mine.user_id), uuid_parameter(mine.conversation_id))
                for n, mine in enumerate(pairs, start=1)
            ],
        )
        cursor.execute(f"CREATE UNIQUE INDEX bench_{name}_n ON bench_{name} (n)")
