"""The table: what is asked, by how many, in which database, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass

from bench.speed.verdicts import Target

CLIENTS = 32
SQL, PLAIN = "SQL", "plain DRF"


@dataclass(frozen=True)
class Row:
    """``player`` names how it is played; ``against`` whom it is compared with, in turns."""

    name: str
    kind: str
    targets: tuple[Target, ...]
    part: str = "postgresql"
    clients: int = CLIENTS
    player: str = "http"
    against: tuple[str, ...] = (SQL, PLAIN)


def least(**bounds: float) -> tuple[Target, ...]:
    names = {"sql": f"× {SQL}", "plain": f"× {PLAIN}", "cpu": "× less CPU"}
    return tuple(Target(names[name], bound) for name, bound in bounds.items())


def most(**bounds: float) -> tuple[Target, ...]:
    return tuple(Target(f"{name} ms", bound, most=True) for name, bound in bounds.items())


# What only reads comes first: sends are news.
ROWS = (
    Row("history page of 50", "history", least(sql=0.33, plain=13) + most(p50=5)),
    Row("inbox of 25", "inbox", least(sql=0.6, plain=35) + most(p50=7)),
    Row("unread total", "unread", least(sql=0.4, plain=10) + most(p50=3)),
    Row("sync, nothing new", "sync", least(sql=0.4, plain=10) + most(p50=3)),
    Row("mark read up to", "read", least(sql=0.4, plain=10) + most(p50=3)),
    Row("a message", "message", least(plain=3), against=(PLAIN,)),
    Row("a conversation", "conversation", least(plain=3), against=(PLAIN,)),
    Row("users, 25", "users", least(plain=3), against=(PLAIN,)),
    Row("by DRF: participants, 10", "participants", least(plain=3), against=(PLAIN,)),
    Row("star a message", "star", least(plain=3), against=(PLAIN,)),
    # Before the sends: a server still tells of those when their clients have left.
    *(
        Row(
            f"send to delivery, 1,000 a second, {where}",
            "delivery",
            most(p50=2, p99=10),
            clients=16,
            player=where,
            against=(),
        )
        for where in ("one process", "two processes")
    ),
    Row(
        "send, 32 connections",
        "send",
        least(sql=1.0, plain=25, cpu=40) + most(p50=2.5, p99=10),
    ),
    # One at a time: what the gathering, and all else above the statement, adds to it.
    Row("send, 1 connection", "send", least(sql=round(1 / 1.3, 2)), clients=1),
    Row(
        "send over WebSocket, 32 connections",
        "send",
        least(sql=1.5),
        player="websocket",
        against=(SQL,),
    ),
    Row("send, one hot conversation", "hot", least(sql=5, plain=35) + most(p99=12)),
    Row(
        "SQLite: send, 32 connections",
        "send",
        least(sql=0.3, plain=15) + most(p99=20),
        part="sqlite",
    ),
    Row(
        "MariaDB: send, 32 connections",
        "send",
        least(sql=0.5, plain=10),
        part="mysql",
    ),
)
PARTS = ("postgresql", "sqlite", "mysql", "live")
