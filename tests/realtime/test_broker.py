"""What a process hears of itself, and of others."""

from uuid import uuid4

import pytest

from parley.conversations.events import Event, Type
from parley.realtime.broker import Notify, pack

EVENT = Event(Type.MESSAGES, uuid4(), 7, seq=3)


@pytest.mark.parametrize(("speaker", "expected"), [("own", []), ("another", [EVENT])])
def test_what_it_said_itself_is_not_heard_again(speaker, expected):
    broker, told = Notify(""), []
    [text] = pack(broker._own if speaker == "own" else speaker, [EVENT])

    broker.heard(text, told.extend)

    assert told == expected


@pytest.mark.parametrize("text", ["", "{}", "[]", '["a"]', '["a",[["messages"]]]', "\ud800"])
def test_what_is_not_ours_is_not_heard(text):
    told = []

    Notify("").heard(text, told.extend)

    assert not told
