"""Does a request cost more where there is more? What ``make bench-cost`` runs.

    python bench/cost.py [--messages 1000000] [--conversations 10000] [--rounds 30] [--write]

Builds a database of its own (SQLite in a temporary folder, or on the server that ``DATABASE_URL``
names), with little and with much of each thing, and asks the real API, in this process, for the
same page of both, in turns. Prints the medians and their ratio, and fails where a promised ratio is
above 3. ``--write`` keeps the figures in ``bench/results/``.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
MOST = 3.0  # how much dearer the large one may be
FEW = 100
SHORT = 1_000
SMALL = 10  # members
EACH = 10  # messages in each conversation of an inbox
DEEP = 50  # pages of 200
WARM_UP = 3
PAGE = 50
NOW = datetime(2026, 1, 1, tzinfo=UTC)

sys.path[:0] = [str(ROOT / "src")]


def prepare_django(folder: str) -> None:
    """Set Django up for a database of our own, with nothing of the developer's settings."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "parley.config.settings",
        "PARLEY_ENV_FILE": os.devnull,
        "PARLEY_DATA_DIR": folder,
        "DJANGO_SECRET_KEY": "a key for measuring alone, of a decent length",
        "DJANGO_ALLOWED_HOSTS": "testserver",
        "PARLEY_RATES": "off",
        "LOGGER_LEVEL": "ERROR",
    }
    import django

    django.setup()


@contextmanager
def database() -> Iterator[None]:
    """Create the database, with its tables, and drop it at the end."""
    from django.db import connection

    if connection.vendor == "sqlite":  # a file, as in use
        connection.settings_dict["TEST"]["NAME"] = connection.settings_dict["NAME"].with_suffix(
            ".cost"
        )
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(str(name), verbosity=0)


class Scene:
    """Two people with little and with much, and the people they talk with."""

    def __init__(self, *, conversations: int, messages: int, members: int) -> None:
        from django.contrib.auth.hashers import make_password

        from parley.accounts.models import User
        from parley.accounts.operations.loading import load_people

        self.password = "a lamp in the corner"
        hashed = make_password(self.password)
        peers = max(conversations, members)
        names = ["few", "many", *(f"peer-{n}" for n in range(peers))]
        people = [User(username=name, password=hashed) for name in names]
        load_people(people)
        self.few, self.many, *self.peers = people
        self.conversations, self.messages, self.members = conversations, messages, members

    def fill(self) -> None:
        """Load little and much, among the others' talk of this size."""
        from parley.conversations import fence
        from parley.kernel.bulk import renew_statistics
        from parley.messaging.operations.following import keep_lists

        for person, count in ((self.few, FEW), (self.many, self.conversations)):
            every = count // FEW  # as much is unread, however many there are
            self._load([self._pair(person, n, read=n % every > 0) for n in range(count)])
        self.short = self._long(SHORT)
        self.long = self._long(self.messages)
        self.small, self.crowded = self._crowd(SMALL), self._crowd(self.members)
        for _ in range(3):
            fence.tick(unless_within=timedelta(0))
        keep_lists()
        renew_statistics()

    def _load(self, histories: list[Any]) -> None:
        from parley.messaging.operations.loading import load_histories

        for start in range(0, len(histories), 2_000):
            load_histories(histories[start : start + 2_000])

    def _pair(self, person: Any, n: int, *, read: bool) -> Any:
        """A direct conversation with a few messages, all read or two unread."""
        from parley.messaging.operations.loading import History, Member

        people = [person.user_id, self.peers[n].user_id]
        began = NOW - timedelta(days=200) + timedelta(minutes=10 * n)
        members = [
            Member(people[0], read_seq=EACH if read else EACH - 2),
            Member(people[1], read_seq=EACH),
        ]
        return History("direct", began, members, self._talk(people, EACH, began))

    def _long(self, length: int) -> UUID:
        """A group with a history of this length, of which nobody has read the end."""
        from parley.conversations.models import Conversation
        from parley.messaging.operations.loading import History, Member

        people = [self.few.user_id, self.many.user_id, self.peers[0].user_id]
        began = NOW - timedelta(days=300)
        members = [Member(one, read_seq=length - 5) for one in people]
        said = self._talk(people, length, began)
        self._load([History("group", began, members, said, title=f"{length} messages")])
        return Conversation.objects.get(title=f"{length} messages").conversation_id

    def _crowd(self, size: int) -> UUID:
        """A group of so many people, in which little was said."""
        from parley.conversations.models import Conversation
        from parley.messaging.operations.loading import History, Member

        people = [self.few.user_id, *(peer.user_id for peer in self.peers[: size - 1])]
        began = NOW - timedelta(days=300)
        members = [Member(one, read_seq=EACH) for one in people]
        said = self._talk(people[:2], EACH, began)
        self._load([History("group", began, members, said, title=f"{size} members")])
        return Conversation.objects.get(title=f"{size} members").conversation_id

    def _talk(self, people: list[UUID], length: int, began: datetime) -> Iterator[Any]:
        from parley.messaging.operations.loading import Said

        for n in range(length):
            body = f"Number {n + 1}, a line of text as long as people write them, give or take."
            yield Said(people[n % len(people)], body, began + timedelta(seconds=20 * n))


class Caller:
    """Someone who calls the API, signed in by token."""

    def __init__(self, name: str, password: str) -> None:
        from django.test import Client

        self.client = Client()
        answer = self.post("/api/token/", {"username": name, "password": password})
        self.client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {answer['access']}"

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.content)
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.client.post(path, body, content_type="application/json")
        assert answer.status_code in {200, 201}, (path, answer.content)
        return answer.json()

    def of(self, place: str, path: str) -> Callable[[], object]:
        return partial(self.get, place + path)

    def to(self, place: str, path: str, body: dict[str, Any]) -> Callable[[], object]:
        return partial(self.post, place + path, body)

    def after_pages(self, path: str, count: int) -> str:
        """Return the address of the page that lies so many pages on, or of the last one."""
        for _ in range(count):
            following = self.get(path)["next"]
            if following is None:
                break
            path = following
        return path


@dataclass(frozen=True)
class Case:
    """A request where there is little and where there is much; the ratio may be promised."""

    name: str
    little: str
    much: str
    on_little: Callable[[], object]
    on_much: Callable[[], object]
    promised: bool = True


def caught_up(person: Any) -> str:
    """Return the address that says what is new, for a client that knows everything."""
    from parley.messaging.sync import here

    return f"/api/sync/?cursor={here(viewer=person)}"


def cases(scene: Scene) -> Iterator[Case]:
    few, many = Caller("few", scene.password), Caller("many", scene.password)
    yield from inboxes(scene, few, many)
    yield from histories(scene, few)
    yield from crowds(scene, few)


def inboxes(scene: Scene, few: Caller, many: Caller) -> Iterator[Case]:
    """The same questions of someone with few and of someone with many conversations."""
    pages = scene.conversations // PAGE // 2
    inbox, messages = "/api/conversations/", "/api/messages/"
    for name, path, turned in (
        ("inbox", inbox, 0),
        ("inbox, deep", inbox, pages),
        ("inbox, unread=true", f"{inbox}?unread=true", 0),
        ("messages", messages, 0),
        ("messages, deep", f"{messages}?limit=200", DEEP),
        ("messages, unread=true", f"{messages}?unread=true", 0),
        ("messages, box=sent", f"{messages}?box=sent", 0),
        ("unread total", "/api/unread/", 0),
    ):
        of_few, of_many = few.after_pages(path, min(turned, 1)), many.after_pages(path, turned)
        yield Case(
            name,
            f"{FEW} conversations",
            f"{scene.conversations:,} conversations",
            partial(few.get, of_few),
            partial(many.get, of_many),
            promised="deep" not in name or path == inbox,  # that of messages is the one that grows
        )
    yield Case(
        "sync, nothing new",
        f"{FEW} conversations",
        f"{scene.conversations:,} conversations",
        partial(few.get, caught_up(scene.few)),
        partial(many.get, caught_up(scene.many)),
    )


def histories(scene: Scene, few: Caller) -> Iterator[Case]:
    """The same questions about a short and a long conversation."""
    short, long = f"/api/conversations/{scene.short}/", f"/api/conversations/{scene.long}/"
    deep = scene.messages // 2
    said = {"message_body": "hello"}
    mail = "/api/messages/?limit=200&conversation="
    of_it = few.after_pages(f"{mail}{scene.short}", 3), few.after_pages(f"{mail}{scene.long}", DEEP)
    for name, of_short, of_long in (
        ("history, newest page", few.of(short, "messages/"), few.of(long, "messages/")),
        (
            "history, deep page",
            few.of(short, f"messages/?before={SHORT}"),
            few.of(long, f"messages/?before={deep}"),
        ),
        (
            "history, around",
            few.of(short, f"messages/?around={SHORT // 2}"),
            few.of(long, f"messages/?around={deep}"),
        ),
        (
            "history, changed_after",
            few.of(short, f"messages/?changed_after={SHORT // 2}"),
            few.of(long, f"messages/?changed_after={deep}"),
        ),
        ("messages of it, deep", partial(few.get, of_it[0]), partial(few.get, of_it[1])),
        ("conversation", few.of(short, ""), few.of(long, "")),
        ("send", few.to(short, "messages/", said), few.to(long, "messages/", said)),
        ("read", few.to(short, "read/", {}), few.to(long, "read/", {})),
    ):
        yield Case(name, f"{SHORT:,} messages", f"{scene.messages:,} messages", of_short, of_long)


def crowds(scene: Scene, few: Caller) -> Iterator[Case]:
    """The same questions about a group of few and of many members."""
    small, large = (f"/api/conversations/{one}/" for one in (scene.small, scene.crowded))
    said = {"message_body": "hello"}
    for name, of_small, of_large in (
        ("send", few.to(small, "messages/", said), few.to(large, "messages/", said)),
        ("history, newest page", few.of(small, "messages/"), few.of(large, "messages/")),
        ("read", few.to(small, "read/", {}), few.to(large, "read/", {})),
    ):
        yield Case(name, f"{SMALL} members", f"{scene.members:,} members", of_small, of_large)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Ask in turns, so that whatever else the machine does meets both; return the medians."""
    for _ in range(WARM_UP):
        case.on_little(), case.on_much()
    pairs = [(seconds(case.on_little), seconds(case.on_much)) for _ in range(rounds)]
    little, much = (statistics.median(side) * 1_000 for side in zip(*pairs, strict=True))
    return {
        "case": case.name,
        "little": case.little,
        "little_ms": round(little, 2),
        "much": case.much,
        "much_ms": round(much, 2),
        "ratio": round(much / little, 2),
        "promised": case.promised,
    }


# --- telling --------------------------------------------------------------------------------------


def machine() -> str:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def database_version() -> str:
    from django.db import connection

    asked = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}
    with connection.cursor() as cursor:
        cursor.execute(asked.get(connection.vendor, "SELECT version()"))
        return f"{connection.display_name} {cursor.fetchone()[0].split()[0]}"


def show(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    for heading in ("", "where there is little", "ms", "where there is much", "ms", "ratio"):
        table.add_column(heading, justify="right" if heading in {"ms", "ratio"} else "left")
    for row in rows:
        style = "red" if row["promised"] and row["ratio"] > MOST else ""
        cells = (row[key] for key in ("case", "little", "little_ms", "much", "much_ms", "ratio"))
        table.add_row(*map(str, cells), style=style)
    Console(width=110).print(table)


HEADING = f"""# What a request costs where there is more

Medians, in milliseconds, of the real API within one process, little and much asked in turns. What
is **bold** is promised: at most {MOST:g} times. The others are bounded, each in its own way
(`docs/explanation/cost.md`).
"""


def keep(found: dict[str, Any]) -> None:
    """Write the figures of this database, and the page that shows those of all."""
    name = found["database"].split()[0].lower()
    (RESULTS / f"cost-{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    pages = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("cost-*.json"))]
    lines = [HEADING, *(line for page in pages for line in markdown(page))]
    (RESULTS / "cost.md").write_text("\n".join(lines))


def markdown(found: dict[str, Any]) -> Iterator[str]:
    yield f"## {found['database']}\n"
    yield f"{found['machine']}; Python {found['python']}; {found['date']}. `{found['command']}`\n"
    yield "| request | little | ms | much | ms | ratio |"
    yield "| --- | --- | ---: | --- | ---: | ---: |"
    for row in found["rows"]:
        name = f"**{row['case']}**" if row["promised"] else row["case"]
        cells = (row[key] for key in ("little", "little_ms", "much", "much_ms", "ratio"))
        yield f"| {name} | {' | '.join(map(str, cells))} |"
    yield ""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the long conversation")
    parser.add_argument("--conversations", type=int, default=10_000, help="of whoever has many")
    parser.add_argument("--members", type=int, default=10_000, help="of the large group")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--write", action="store_true", help="keep the figures in bench/results/")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="parley-cost-") as folder:
        prepare_django(folder)
        with database():
            began = time.monotonic()
            scene = Scene(
                conversations=asked.conversations, messages=asked.messages, members=asked.members
            )
            scene.fill()
            print(f"Loaded in {time.monotonic() - began:.0f} s.", flush=True)
            rows = [measure(case, asked.rounds) for case in cases(scene)]
            version = database_version()
    show(f"{version}: medians of {asked.rounds}", rows)
    if asked.write:
        keep(
            {
                "database": version,
                "machine": machine(),
                "python": platform.python_version(),
                "date": time.strftime("%Y-%m-%d"),
                "command": " ".join(["python", "bench/cost.py", *sys.argv[1:]]),
                "rows": rows,
            }
        )
    too_dear = [row["case"] for row in rows if row["promised"] and row["ratio"] > MOST]
    if too_dear:
        sys.exit(f"More than {MOST:g} times as dear: {', '.join(too_dear)}.")


if __name__ == "__main__":
    main()
