"""One mailbox behind five doors: whatever is done at one is seen at every other."""

from __future__ import annotations

import pytest

from parley.dialects import handles
from parley.messaging.models import Message
from tests.conftest import PASSWORD
from tests.dialects.speakers import SPEAKERS, Speaker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def doors(ada, ben, live_server):
    """Both people, at every door at once."""
    numbers = handles.numbers_of_users([ada.user_id, ben.user_id])
    known = {
        "password": PASSWORD,
        "ada": numbers[ada.user_id],
        "ben": numbers[ben.user_id],
        "other": {"ada": "ben", "ben": "ada"},
        "numbers": set(),
    }
    found = {
        name: {door: speaker(live_server.url, name, known) for door, speaker in SPEAKERS.items()}
        for name in ("ada", "ben")
    }
    yield found
    for speakers in found.values():
        for speaker in speakers.values():
            speaker.http.close()


def learn(speaker: Speaker) -> None:
    """Let the clients of session_mail know the messages by number: its lists have no text."""
    messages = dict(Message.objects.values_list("message_id", "message_body"))
    for message_id, number in handles.numbers_of_messages(list(messages)).items():
        speaker.known[number] = messages[message_id]
        speaker.known["numbers"].add(number)


def seen(speakers: dict[str, Speaker]) -> dict[str, set[str]]:
    return {door: speaker.texts() for door, speaker in speakers.items()}


def unread(speakers: dict[str, Speaker]) -> dict[str, set[str]]:
    found = {door: speaker.unread() for door, speaker in speakers.items()}
    return {door: texts for door, texts in found.items() if texts is not None}


def everywhere(*texts: str, doors=SPEAKERS) -> dict[str, set[str]]:
    return {door: set(texts) for door in doors}


WITH_FLAGS = [door for door, speaker in SPEAKERS.items() if speaker.marks_read]


class TestFiveDoors:
    @pytest.mark.parametrize("reads_in", SPEAKERS)
    @pytest.mark.parametrize("writes_in", SPEAKERS)
    def test_lead_to_one_mailbox(self, doors, writes_in, reads_in):
        ada, ben = doors["ada"], doors["ben"]

        # What ada writes at one door is there at each, for both, and unread for ben.
        ada[writes_in].write("ben", "At one?")
        ada[writes_in].write("ben", "Or two?")
        learn(ada[writes_in])
        assert seen(ada) == seen(ben) == everywhere("At one?", "Or two?")
        assert unread(ben) == everywhere("At one?", "Or two?", doors=WITH_FLAGS)
        assert unread(ada) == everywhere(doors=WITH_FLAGS)

        # What ben reads at another is read at each, if there is such a thing as reading there.
        ben[reads_in].read("Or two?")
        is_read = SPEAKERS[reads_in].marks_read
        left = ["At one?"] if is_read else ["At one?", "Or two?"]
        assert unread(ben) == everywhere(*left, doors=WITH_FLAGS)
        told = {speaker.was_read("Or two?") for speaker in ada.values()} - {None}
        assert told == {is_read}

        # What ben answers there is unread for ada everywhere.
        ben[reads_in].write("ada", "At two.")
        learn(ada[writes_in])
        assert unread(ada) == everywhere("At two.", doors=WITH_FLAGS)

        # What ben removes is gone for him at every door, and for him alone.
        ben[reads_in].remove("At one?")
        assert seen(ben) == everywhere("Or two?", "At two.")
        assert seen(ada) == everywhere("At one?", "Or two?", "At two.")
        ada[writes_in].remove("At one?")
        assert seen(ada) == everywhere("Or two?", "At two.")
