"""What the old clients were promised, step by step."""

from __future__ import annotations

import pytest

from parley.dialects import handles
from tests.conftest import PASSWORD
from tests.dialects.player import Player, name_of, read, transcripts


@pytest.mark.parametrize("path", transcripts(), ids=name_of)
def test_dialect_answers_as_written(path, person, live_server, settings):
    transcript = read(path)
    known = {
        "lt": "<",
        "password": PASSWORD,
        "host": live_server.url,
        "subject256": "s" * 256,
        "long": "x" * (settings.PARLEY.message_length + 1),
        "huge": "x" * (settings.PARLEY.body_limit + 1),
    }
    for name in transcript.get("people", []):
        user = person(name)
        number = handles.numbers_of_users([user.user_id])[user.user_id]
        known |= {name: str(number), f"{name}.name": name, f"{name}.email": user.email}

    Player(live_server.url, known).play(transcript)
