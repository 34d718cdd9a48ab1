"""The demo, against a server that runs and without one."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from parley.accounts.models import User
from parley.conversations.models import Conversation, Kind
from parley.messaging.models import Flag, Mark, Message

ROOT = Path(__file__).resolve().parents[2]


class TestOnAServerThatRuns:
    @pytest.fixture
    def play(self, live_server, capsys):
        def playing() -> str:
            call_command("demo", url=live_server.url)
            return capsys.readouterr().out

        return playing

    def test_leaves_behind_what_it_told_of(self, play):
        told = play()

        assert {*Conversation.objects.values_list("kind", flat=True)} == {*Kind.values}
        assert Message.objects.exclude(retracted_at=None).count() == 1
        assert Message.objects.exclude(edited_at=None).count() == 1
        assert Mark.objects.filter(flags=Flag.REMOVED).count() == 1
        group = Conversation.objects.get(kind=Kind.GROUP)
        assert f"/api-auth/login/?next=/api/conversations/{group.pk}/" in told
        assert "404  Mallory" in told
        for word in ("börek", "おにぎり", "الشاي", "retracted", "edited"):
            assert word in told

    def test_plays_again_with_other_names(self, play):
        play()
        play()

        assert User.objects.count() == 10

    def test_says_in_a_sentence_that_no_server_answers(self):
        with pytest.raises(CommandError, match="No Parley answers at"):
            call_command("demo", url="http://127.0.0.1:9")


class TestWithoutAServer:
    def test_starts_one_and_leaves_nothing_of_it(self, tmp_path):
        with socket.socket() as taken:  # bound but not listening: nobody answers there
            taken.bind(("127.0.0.1", 0))
            kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            given = {"PORT": str(taken.getsockname()[1]), "TMPDIR": str(tmp_path)}
            given |= {"PARLEY_ENV_FILE": os.devnull, "PARLEY_DATA_DIR": str(tmp_path / "mine")}
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "manage.py", "demo"],
                cwd=ROOT,
                env=kept | given | {"PYTHONIOENCODING": "utf-8"},
                capture_output=True,
                encoding="utf-8",
                check=False,
                stdin=subprocess.DEVNULL,
            )

        assert done.returncode == 0, done.stderr
        assert "one is started for this demo alone" in done.stdout
        assert "What each of them sees now" in done.stdout
        assert "has ended with the demo" in done.stdout
        assert [path.name for path in tmp_path.iterdir() if path.name != "mine"] == []
        assert not (tmp_path / "mine" / "parley.sqlite3").exists()
        assert time.monotonic() - began < 120
