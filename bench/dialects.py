"""Is a dialect slower than the plain design of the backend that it stands in for?

    python bench/dialects.py [--runs 15] [--requests 8] [--only sqlite postgresql] [--write]

Fills two databases with the same people and letters, one in the product's tables, one in those of
the five older backends (``bench/originals``: a row per message, integer keys), and asks both, each
in a process of its own through its WSGI handler, the same requests, one at a time, in turns. On
SQLite in a temporary folder, with the same durability for both, and on the PostgreSQL server of
``DATABASE_URL`` (default: one on this machine), each through the same backend of Django's. Prints
the medians of runs, their spread and the ratio, and fails where it is above 1.3. The ratio is the
median of those of the runs: the two sides of one lie side by side, so that what else the machine
does falls on both. ``--write`` keeps the figures in ``bench/results/`` and the table in
``docs/explanation/dialects-speed.md``.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "explanation" / "dialects-speed.md"
WHO = ("product", "original")
DATABASES = ("sqlite", "postgresql")
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
MOST = 1.3
WARM_UP = 10

PEOPLE = 200
FRIENDS = 10  # of the one whose mailbox is listed
EACH = 30  # letters with each of them
LETTERS = 10_000
LISTER, WRITER, RECEIVER = 0, FRIENDS + 1, FRIENDS + 2
PASSWORD = "a lamp in the corner"
SUBJECT = "On lamps"
BODY = "The quick brown fox jumps over the lazy dog, again and again, until it is a habit."

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]


@dataclass(frozen=True)
class Row:
    """A line of the table: which dialect, what is asked, by which proof of identity."""

    dialect: str
    what: str
    proof: str
    path: str
    method: str = "GET"
    items: str = ""  # where in the answer the listed things are, to be counted


ROWS = (
    Row("bearer_mail", "list", "bearer", "/api/messaging/messages/"),
    Row("token_mail", "list", "token", "/all/"),
    Row("token_mail", "list, password too", "password", "/all/"),
    Row("session_mail", "list", "session", "/messages/messages_per_receiver", items="messages_id"),
    Row("conversations", "list messages", "bearer", "/api/messages/?limit=10", items="results"),
    Row("conversations", "list conversations", "bearer", "/api/conversations/", items="results"),
    Row("user_to_user", "list", "session", "/list-messages/user1/", items="results"),
    Row("bearer_mail", "write", "bearer", "/api/messaging/write/", "POST"),
    Row("token_mail", "write", "token", "/write/", "POST"),
    Row("token_mail", "write, password too", "password", "/write/", "POST"),
    Row("session_mail", "write", "session", "/messages/write_message", "POST"),
    Row("conversations", "write", "bearer", "/api/messages/", "POST"),
    Row("user_to_user", "write", "session", "/messages/", "POST"),
)


@dataclass(frozen=True)
class Letter:
    sender: int
    receiver: int
    is_read: bool
    subject: str = SUBJECT
    body: str = BODY


def world() -> tuple[list[str], list[Letter]]:
    """Return the names of people and what they wrote: a mailbox of hundreds, among thousands."""
    chance = random.Random(7)
    pairs = [
        pair
        for friend in range(1, FRIENDS + 1)
        for pair in ((LISTER, friend), (friend, LISTER))
        for _ in range(EACH // 2)
    ]
    pairs += [(WRITER, RECEIVER)]
    others = range(FRIENDS + 1, PEOPLE)
    pairs += [tuple(chance.sample(others, 2)) for _ in range(LETTERS - len(pairs))]
    chance.shuffle(pairs)
    letters = [Letter(one, other, is_read=(one + other) % 2 == 0) for one, other in pairs]
    return [f"user{n}" for n in range(PEOPLE)], letters


# --- a process that answers -----------------------------------------------------------------------


def answer_requests(who: str) -> None:
    """Fill the database, then play what the lines of standard input say, until there are none."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    known = fill_product() if who == "product" else fill_original()

    from django.core.wsgi import get_wsgi_application

    from parley.kernel.bulk import renew_statistics

    renew_statistics()
    client = Client(get_wsgi_application(), known)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(client.play(ROWS[asked["row"]], asked["times"])), flush=True)


def fill_original() -> dict[str, Any]:
    from originals import filling

    numbers, talks = filling.fill(*world(), PASSWORD)
    tokens = {one: filling.token_of(numbers[one]) for one in (LISTER, WRITER)}
    return {"numbers": numbers, "talk": talks[WRITER, RECEIVER], "tokens": tokens}


def fill_product() -> dict[str, Any]:
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from parley.accounts.models import User
    from parley.accounts.operations import create_token
    from parley.dialects import handles
    from parley.messaging import operations

    names, letters = world()
    hashed = make_password(PASSWORD)
    people = [User(username=name, email=f"{name}@example.org", password=hashed) for name in names]
    for one in people:
        one.follow()
    User.objects.bulk_create(people, batch_size=500)
    ids = [one.user_id for one in people]
    numbers = handles.numbers_of_users(ids)
    talks = send_letters(ids, letters)
    for one, other in {(a.sender, a.receiver) for a in letters if a.is_read and a.sender == LISTER}:
        for viewer in (one, other):
            operations.read_up_to(viewer=people[viewer], conversation_id=talks[one, other])
    token = partial(create_token, lifetime=None, most=10, at=timezone.now())
    tokens = {one: token(user=people[one])[1] for one in (LISTER, WRITER)}
    known = {"numbers": [numbers[one] for one in ids], "tokens": tokens}
    return known | {"talk": str(talks[WRITER, RECEIVER])}


def send_letters(ids: list[Any], letters: list[Letter]) -> dict[tuple[int, int], Any]:
    """Send every letter; return the conversation of each pair."""
    from parley.messaging import operations
    from parley.messaging.drafts import Draft

    talks = {}
    for begin in range(0, len(letters), 500):
        some = letters[begin : begin + 500]
        drafts = [
            Draft(ids[one.sender], one.body, one.subject, recipient_ids=(ids[one.receiver],))
            for one in some
        ]
        for one, sent in zip(some, operations.send_many(drafts), strict=True):
            assert isinstance(sent, operations.Sent), sent
            talks[one.sender, one.receiver] = sent.message.conversation_id
    return talks


class Client:
    """Asks a WSGI application as its clients would, and looks at the clock."""

    def __init__(self, application: Any, known: dict[str, Any]) -> None:
        self.application = application
        self.known = known
        self.proofs = {one: self.sign_in(one) for one in (LISTER, WRITER)}

    def sign_in(self, who: int) -> dict[str, dict[str, str]]:
        """Return the headers that prove who asks, by kind of proof."""
        login = json.dumps({"username": f"user{who}", "password": PASSWORD}).encode()
        _, _, body = self.ask("POST", "/api/token/", {}, login)
        access = json.loads(body)["access"]
        _, headers, body = self.ask("POST", "/login/", {}, login)
        found = [value.split(";")[0] for name, value in headers if name == "Set-Cookie"]
        csrf = {"HTTP_X_CSRFTOKEN": json.loads(body)["csrf_token"]}
        token = {"HTTP_AUTHORIZATION": f"Token {self.known['tokens'][who]}"}
        return {
            "bearer": {"HTTP_AUTHORIZATION": f"Bearer {access}"},
            "token": token,
            "password": token
            | {"QUERY_STRING": f"username=user{who}&password={PASSWORD.replace(' ', '+')}"},
            "session": {"HTTP_COOKIE": "; ".join(found)} | csrf,
        }

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.partition("?")[0],
            "SCRIPT_NAME": "",
            "QUERY_STRING": path.partition("?")[2],
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "HTTP_ACCEPT": "application/json",
            "CONTENT_TYPE": "application/json" if body else "",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        } | headers
        began: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            began.update(status=int(status[:3]), headers=headers)

        answer = self.application(environ, start)
        try:
            return_body = b"".join(answer)
        finally:
            answer.close()
        return began["status"], began["headers"], return_body

    def play(self, row: Row, times: int) -> dict[str, Any]:
        """Ask so many times; return the median in ms, and what the answers were."""
        who = WRITER if row.method == "POST" else LISTER
        body = json.dumps(self.letter(row)).encode() if row.method == "POST" else b""
        headers = self.proofs[who][row.proof]
        gc.collect()
        took, status, answer = [], 0, b""
        for _ in range(times):
            at = time.perf_counter()
            status, _, answer = self.ask(row.method, row.path, headers, body)
            took.append(1_000 * (time.perf_counter() - at))
            assert status in {200, 201}, (row, status, answer)
        found = json.loads(answer)
        items = found[row.items] if row.items else found
        count = len(items) if row.method == "GET" else 1
        return {"ms": statistics.median(took), "items": count, "bytes": len(answer)}

    def letter(self, row: Row) -> dict[str, Any]:
        numbers = self.known["numbers"]
        letters = {
            "bearer_mail": {
                "sender": numbers[WRITER],
                "receiver": numbers[RECEIVER],
                "content": BODY,
            },
            "token_mail": {
                "sender": f"user{WRITER}",
                "receiver": f"user{RECEIVER}",
                "message": BODY,
            },
            "session_mail": {"receiver_id": numbers[RECEIVER], "body": BODY},
            "conversations": {"conversation": self.known["talk"], "message_body": BODY},
            "user_to_user": {"recipient": f"user{RECEIVER}", "content": BODY},
        }
        has_subject = row.dialect.endswith("mail")
        return letters[row.dialect] | ({"subject": SUBJECT} if has_subject else {})


# --- the two of them, in turns --------------------------------------------------------------------


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """Lend the URLs of two empty databases."""
    if kind == "sqlite":
        yield {who: f"sqlite:///{folder / who}.sqlite3" for who in WHO}
        return
    given = os.environ.get("DATABASE_URL", "postgres://root@127.0.0.1:5432/postgres")
    server = given.rsplit("/", 1)[0]
    names = {who: f"parley_bench_dialects_{who}" for who in WHO}
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {who: f"{server}/{name}" for who, name in names.items()}
        finally:
            for name in names.values():
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def answering(who: str, url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    own = folder / who
    own.mkdir()
    settings = "parley.config.settings" if who == "product" else "originals.settings"
    environment = os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": settings,
        "DJANGO_SECRET_KEY": "a key for measuring alone, of a decent length",
        "DJANGO_ALLOWED_HOSTS": "localhost",
        "PARLEY_DATA_DIR": str(own),
        "PARLEY_ENV_FILE": os.devnull,
        "PARLEY_RATES": "off",
        "PARLEY_ACCESS_LOG": "off",
        "LOGGER_LEVEL": "WARNING",
    }
    process = subprocess.Popen(
        [sys.executable, __file__, "--as", who],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        if hear(process) != "ready":
            raise SystemExit(f"{who} did not start")
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def play(process: subprocess.Popen[str], row: Row, times: int) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"row": ROWS.index(row), "times": times}) + "\n")
    process.stdin.flush()
    said = hear(process)
    if not said:
        raise SystemExit(f"{row.dialect}, {row.what}: failed")
    return dict(json.loads(said))


def measure(row: Row, both: dict[str, subprocess.Popen[str]], chosen: Any) -> dict[str, Any]:
    """Return what a row came to: warm both up, then ask in turns."""
    runs: dict[str, list[float]] = {who: [] for who in WHO}
    last: dict[str, Any] = {}
    for who in WHO:
        play(both[who], row, WARM_UP)
    for n in range(chosen.runs):
        for who in WHO if n % 2 else WHO[::-1]:
            last[who] = play(both[who], row, chosen.requests)
            runs[who].append(last[who]["ms"])
    medians = {who: statistics.median(runs[who]) for who in WHO}
    pairs = zip(runs["product"], runs["original"], strict=True)
    ratio = statistics.median(product / original for product, original in pairs)
    return asdict(row) | {
        "ms": medians,
        "runs": runs,
        "items": {who: last[who]["items"] for who in WHO},
        "bytes": {who: last[who]["bytes"] for who in WHO},
        "ratio": ratio,
        "holds": ratio <= MOST,
    }


def machine() -> dict[str, str | int]:
    model = Path("/proc/cpuinfo")
    lines = model.read_text().splitlines() if model.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count() or 0,
        "system": platform.system(),
        "python": platform.python_version(),
    }


# --- what is told ---------------------------------------------------------------------------------

HEADINGS = ("dialect", "request", "items", "Parley, ms", "original, ms", "ratio", "≤ 1.3")


def cells(row: dict[str, Any]) -> list[str]:
    spread = {
        who: f"{row['ms'][who]:.2f} ({min(runs):.2f}–{max(runs):.2f})"
        for who, runs in row["runs"].items()
    }
    counts = list(dict.fromkeys(str(row["items"][who]) for who in WHO))
    found = [row["dialect"], row["what"], " / ".join(counts), spread["product"]]
    return [*found, spread["original"], f"{row['ratio']:.2f}", "yes" if row["holds"] else "no"]


def show(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(*HEADINGS, title=title)
    for row in rows:
        table.add_row(*cells(row))
    console.print(table)


BEGIN, END = "<!-- measured -->", "<!-- end of what was measured -->"


def write_page(facts: dict[str, Any], found: dict[str, list[dict[str, Any]]], chosen: Any) -> None:
    """Put the tables in their place in the page."""
    told = (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']},"
        f" {datetime.now(UTC):%Y-%m-%d}; {chosen.runs} runs of {chosen.requests} requests: the"
        " median of the runs' medians, the smallest and the largest of them, and the median of"
        " the runs' ratios."
    )
    lines = [told]
    for kind, rows in found.items():
        lines += ["", f"## {NAMES[kind]}", "", f"| {' | '.join(HEADINGS)} |"]
        lines.append("| --- | --- | ---: | ---: | ---: | ---: | --- |")
        lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + "\n".join([BEGIN, "", *lines, "", END]) + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=DATABASES, default=DATABASES)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--as", dest="who", choices=WHO, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.who:
        answer_requests(chosen.who)
        return
    console, found = Console(width=130), {}
    for kind in chosen.only:
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="parley-bench-")
            folder = Path(stack.enter_context(temporary))
            urls = stack.enter_context(databases(kind, folder))
            both = {who: stack.enter_context(answering(who, urls[who], folder)) for who in WHO}
            found[kind] = [measure(row, both, chosen) for row in ROWS]
            show(console, NAMES[kind], found[kind])
    if chosen.write:
        facts = machine()
        RESULTS.mkdir(exist_ok=True)
        kept = RESULTS / f"dialects-{datetime.now(UTC):%Y-%m-%d}.json"
        kept.write_text(json.dumps({"machine": facts, "rows": found}, indent=1) + "\n")
        write_page(facts, found, chosen)
    sys.exit(not all(row["holds"] for rows in found.values() for row in rows))


if __name__ == "__main__":
    main()
