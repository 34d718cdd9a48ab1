"""The harness of the faults itself: its checker sees what it is there to see, and a scene plays."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from faults import report
from faults.clients import Person
from faults.history import VIOLATIONS, History, Stored, check
from faults.listeners import Device, until_all_have
from faults.proxy import Trouble, proxying

ROOT = Path(__file__).resolve().parents[2]
TALK = "a conversation"


def history(*bodies: str) -> History:
    """Ada's messages, each acknowledged with the number of its place."""
    found = History()
    for seq, body in enumerate(bodies, start=1):
        attempt = found.begin("ada", TALK, body, body, now=seq)
        attempt.acked = seq + 0.5
        attempt.acks.append((f"id of {body}", seq))
    return found


def stored(*bodies: str) -> list[Stored]:
    return [Stored(f"id of {b}", seq, "ada", b) for seq, b in enumerate(bodies, start=1)]


def violations(of: History, messages: list[Stored]) -> set[str]:
    found = check(of, {TALK: messages})
    assert list(found) == list(VIOLATIONS)
    return {name for name, count in found.items() if count}


class TestChecker:
    def test_finds_nothing_in_a_good_history(self):
        assert violations(history("a", "b", "c"), stored("a", "b", "c")) == set()

    def test_takes_what_was_never_answered_as_stored_or_not(self):
        some = history("a")
        some.begin("ada", TALK, "b", None, now=9)
        assert violations(some, stored("a")) == set()
        assert violations(some, stored("a", "b")) == set()

    def test_sees_what_was_acknowledged_and_lost(self):
        assert violations(history("a", "b"), stored("a")) == {"lost_acked"}

    def test_sees_what_is_stored_twice(self):
        assert violations(history("a"), [*stored("a"), Stored("other", 2, "ada", "a")]) == {
            "dup_body"
        }

    def test_sees_a_number_given_twice(self):
        messages = [*stored("a"), Stored("id of b", 1, "ben", "b")]
        some = history("a")
        some.begin("ben", TALK, "b", "b", now=1)
        assert violations(some, messages) == {"dup_seq"}

    def test_sees_a_hole(self):
        some = history("a")
        some.begin("ben", TALK, "b", "b", now=1)
        messages = [*stored("a"), Stored("id of b", 3, "ben", "b")]
        assert violations(some, messages) == {"seq_holes"}

    def test_sees_the_order_of_a_sender_turned_round(self):
        some = history("a", "b")
        first, second = some.attempts
        first.acks, second.acks = [("id of a", 2)], [("id of b", 1)]
        assert violations(some, turned()) == {"sender_out_of_order"}

    def test_sees_an_answer_that_is_not_what_is_stored(self):
        some = history("a")
        some.attempts[0].acks.append(("id of a", 7))
        assert violations(some, stored("a")) == {"ack_mismatch"}

    def test_sees_what_nobody_sent(self):
        assert violations(history("a"), stored("a", "b")) == {"ghost"}


def turned() -> list[Stored]:
    return [Stored("id of b", 1, "ada", "b"), Stored("id of a", 2, "ada", "a")]


class TestProxy:
    @pytest.mark.parametrize("is_doomed", [False, True])
    def test_passes_on_or_does_what_was_asked_and_loses_the_answer(self, is_doomed):
        async def scene():
            asked = []

            async def answer(reader, writer):
                asked.append(await reader.read(100))
                writer.write(b"done")
                try:
                    with suppress(ConnectionError):
                        await reader.read()  # until the proxy has gone
                finally:
                    writer.transport.abort()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server, proxying("127.0.0.1", port, Trouble()) as proxy:
                proxy.trouble.is_doomed = lambda bytes_: is_doomed and b"do" in bytes_
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                writer.write(b"do")
                try:
                    found = await reader.read(100)
                except ConnectionResetError:
                    found = b""
                writer.close()
            return asked, found

        assert asyncio.run(scene()) == ([b"do"], b"" if is_doomed else b"done")


class TestWaiting:
    def test_ends_when_all_came_and_goes_on_while_something_comes(self):
        async def scene(*texts: str) -> float:
            device = Device(Person("ada", "", ""), str)

            async def bring() -> None:
                for seq, text in enumerate(texts, start=1):
                    await asyncio.sleep(0.8)
                    told = {"conversation": TALK, "revision": seq, "seq": seq}
                    device.take({**told, "message_id": text, "message_body": text})

            found, _ = await asyncio.gather(
                until_all_have([device], {"a", "b", "c"}, patience=2), bring()
            )
            return found

        assert asyncio.run(scene("a", "b", "c")) > 2
        assert asyncio.run(scene("a", "b")) == float("inf")


class TestRun:
    def test_plays_a_scene_on_real_servers(self, tmp_path):
        command = [sys.executable, "faults/run.py", "F23", "--database", "sqlite"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 of 1 hold" in done.stdout
        assert "✗" not in done.stdout

    def test_is_kept_as_figures_and_as_a_table(self, tmp_path, monkeypatch):
        monkeypatch.setattr(report, "RESULTS", tmp_path)
        good = report.Result("F00", "nothing", "sqlite", 1, [report.equal("sum", 2, 2)])
        bad = report.Result("F99", "all", "sqlite", 1, [report.at_most("wait", 3.5, 2, "s")])

        report.keep([good, bad])

        assert json.loads((tmp_path / "F00-sqlite.json").read_text())["findings"]
        table = (tmp_path / "README.md").read_text()
        assert "| yes | sum: 2 (2) |" in table
        assert "| **no** | wait: **3.50 s** (≤ 2 s) |" in table
