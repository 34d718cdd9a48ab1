"""The promises of the architecture, each with a test that fails where it is broken.

Promise 5 and 6 are tested by any sequence of steps too (``test_machine``), 6 with writers that
stall (``test_interleavings``), 8 in ``test_cost``; 7 is about live events.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.db import connection

from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations import queries as conversation_queries
from parley.conversations.models import Conversation, Participant
from parley.kernel.errors import Conflict, NotFound, Refusal
from parley.messaging import operations, queries
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.refusals import ClientIdReused
from parley.messaging.seen import SeenMessage
from parley.messaging.sync import sync
from tests.promises.client import Client
from tests.talk import direct, group, history, in_parallel, say, unread, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).resolve().parents[2]
SCHEMES = {"sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}


# --- 1 --------------------------------------------------------------------------------------------


class TestPromise1AcknowledgedMeansDurable:
    """An acknowledgement leaves only after the commit."""

    def test_and_outlives_a_process_killed_right_after_its_answer(self, ada, ben):
        talk = direct(ada, ben)

        message_id = self.said_by_a_process_that_dies(ada, talk)

        assert [m.message_id for m in history(ben, talk)] == [message_id]

    def test_and_this_would_see_an_answer_that_came_too_early(self, ada, ben):
        talk = direct(ada, ben)

        self.said_by_a_process_that_dies(ada, talk, "too-early")

        assert history(ben, talk) == []

    def test_and_an_answer_is_seen_by_everyone_else_at_once(self, ada, ben):
        talk = direct(ada, ben)
        missing: list[UUID] = []

        def send_and_look_elsewhere() -> None:
            said = say(ada, talk)
            [found] = in_parallel([lambda: {m.message_id for m in history(ben, talk)}])
            if isinstance(found, BaseException) or said.message_id not in found:
                missing.append(said.message_id)

        in_parallel([send_and_look_elsewhere] * 3)

        assert not missing
        assert Message.objects.count() == 3

    @staticmethod
    def said_by_a_process_that_dies(sender, talk, *how: str) -> UUID:
        command = [sys.executable, "-m", "tests.promises.writer", str(sender.user_id), str(talk)]
        path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
        with subprocess.Popen(
            [*command, *how],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database_url(), "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            answer = process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        return UUID(answer.strip())


def database_url() -> str:
    """The database of this test, for another process."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    user, password = (quote(str(found[name]), safe="") for name in ("USER", "PASSWORD"))
    port = f":{found['PORT']}" if found["PORT"] else ""
    host = quote(found["HOST"], safe=".")
    return f"{SCHEMES[connection.vendor]}://{user}:{password}@{host}{port}/{found['NAME']}"


# --- 2 --------------------------------------------------------------------------------------------


class TestPromise2OrderIsANumber:
    """Numbers are 1, 2, 3 … without a gap, in the order of commits."""

    def test_without_a_gap_under_parallel_senders_batches_and_edits(self, ada, ben, cyd):
        talk = group(ada, ben, cyd)

        def send(sender) -> list[int]:
            numbers = [say(sender, talk).seq for _ in range(4)]
            drafts = [Draft(sender.user_id, "b", conversation_id=talk) for _ in range(4)]
            batch = [sent.message for sent in operations.send_many(drafts)]
            operations.edit_message(
                editor=sender, message_id=batch[0].message_id, message_body="edited"
            )
            return numbers + [m.seq for m in batch]

        given = in_parallel([lambda who=who: send(who) for who in (ada, ben, cyd, ada, ben, cyd)])

        stored = list(Message.objects.order_by("seq"))
        assert sorted(n for numbers in given for n in numbers) == list(range(1, 49))
        assert [m.seq for m in stored] == list(range(1, 49))
        assert len({m.revision for m in stored}) == 48
        assert Conversation.objects.get().revision == 48 + 6
        assert all(numbers == sorted(numbers) for numbers in given)

    def test_in_the_order_of_commits_so_that_no_reader_sees_a_gap(self, ada, ben):
        talk = direct(ada, ben)
        over, gaps = threading.Event(), []

        def watch() -> None:
            while not over.is_set():
                seen = [m.seq for m in history(ben, talk)]
                if seen != list(range(1, len(seen) + 1)):
                    gaps.append(seen)

        def send() -> None:
            for _ in range(15):
                say(ada, talk)

        def all_of_it() -> None:
            results = in_parallel([send] * 4)
            over.set()
            assert results == [None] * 4

        assert in_parallel([watch, all_of_it]) == [None, None]
        assert gaps == []

    def test_and_no_clock_which_only_follows_it(self, ada, ben):
        talk = direct(ada, ben)
        ahead = Conversation.objects.get().active_at + timedelta(days=1)
        Conversation.objects.update(active_at=ahead)

        said = [say(who, talk) for who in (ada, ben, ada)]

        assert [m.seq for m in said] == [1, 2, 3]
        assert ahead < said[0].sent_at < said[1].sent_at < said[2].sent_at


# --- 3 --------------------------------------------------------------------------------------------


class TestPromise3ARetryIsSafeForEver:
    """The same ``client_id`` and content is the first message; with other content it is refused."""

    def test_however_often_it_is_sent_at_once(self, ada, ben):
        talk = direct(ada, ben)

        def send() -> tuple[UUID, bool]:
            draft = Draft(ada.user_id, "once", conversation_id=talk, client_id="c-1")
            sent = operations.send(draft)
            return sent.message.message_id, sent.is_new

        answers = [answer for _ in range(5) for answer in in_parallel([send] * 10)]

        assert not [answer for answer in answers if isinstance(answer, BaseException)]
        assert len({message_id for message_id, _ in answers}) == 1
        assert sum(is_new for _, is_new in answers) == 1
        assert Message.objects.count() == 1

    def test_in_a_group_that_the_first_one_creates(self, ada, ben, cyd):
        def send() -> UUID:
            people = (ben.user_id, cyd.user_id)
            draft = Draft(ada.user_id, "once", recipient_ids=people, client_id="c-1")
            return operations.send(draft).message.message_id

        answers = in_parallel([send] * 6)

        assert len(set(answers)) == 1
        assert (Message.objects.count(), Conversation.objects.count()) == (1, 1)

    def test_whatever_happened_to_it_since(self, ada, ben):
        talk = direct(ada, ben)
        first = say(ada, talk, "once", client_id="c-1")
        events: list[Callable[[], Any]] = [
            lambda: operations.edit_message(
                editor=ada, message_id=first.message_id, message_body="changed"
            ),
            lambda: operations.remove_message(viewer=ada, message_id=first.message_id),
            lambda: conversations.block(blocker=ben, user_id=ada.user_id),
            lambda: conversations.leave(viewer=ada, conversation_id=talk),
        ]

        for happens in events:
            happens()
            again = operations.send(
                Draft(ada.user_id, "once", conversation_id=talk, client_id="c-1")
            )
            assert (again.message.message_id, again.is_new) == (first.message_id, False)

        assert Message.objects.count() == 1

    def test_after_a_retraction_which_it_does_not_undo(self, ada, ben):
        first = write_to(ada, ben, body="once", client_id="c-1")
        operations.retract_message(actor=ada, message_id=first.message_id)

        again = write_to(ada, ben, body="once", client_id="c-1")

        assert again.message_id == first.message_id
        assert again.retracted_at is not None
        assert again.message_body == ""

    @pytest.mark.parametrize("other", [{"body": "twice"}, {"body": "once", "subject": "x"}])
    def test_and_other_content_is_refused(self, ada, ben, other):
        talk = direct(ada, ben)
        say(ada, talk, "once", client_id="c-1")

        with pytest.raises(ClientIdReused) as refused:
            say(ada, talk, client_id="c-1", **other)

        assert isinstance(refused.value, Conflict)
        assert [m.message_body for m in history(ben, talk)] == ["once"]

    def test_and_is_nobody_elses_nor_of_another_conversation(self, ada, ben, cyd):
        talk, other = group(ada, ben, cyd), direct(ada, ben)

        for sender, where in ((ada, talk), (ben, talk), (ada, other)):
            say(sender, where, "once", client_id="c-1")

        assert Message.objects.count() == 3

    def test_also_without_a_client_id_after_an_answer_that_was_lost(self, ada, ben):
        """A draft keeps its own id over all attempts to store it."""
        draft = Draft(ada.user_id, "once", conversation_id=direct(ada, ben))

        sent = [operations.send(draft).message for _ in range(3)]

        assert len({m.message_id for m in sent}) == 1
        assert Message.objects.count() == 1


# --- 4 --------------------------------------------------------------------------------------------

# Every way to reach a conversation or a message by its id. ``at`` is what is asked for.
QUESTIONS: dict[str, Callable[[Any, UUID, UUID], Any]] = {
    "get_conversation": lambda who, talk, _: queries.get_conversation(
        viewer=who, conversation_id=talk
    ),
    "list_edges": lambda who, talk, _: queries.list_edges(
        viewer=who, conversation_id=talk, position=None, size=9
    ),
    "list_history": lambda who, talk, _: queries.list_history(
        viewer=who, conversation_id=talk, size=9
    ),
    "get_message": lambda who, _, at: queries.get_message(viewer=who, message_id=at),
    "find_message": lambda who, _, at: queries.find_message(viewer=who, message_id=at),
    "list_receipts": lambda who, _, at: queries.list_receipts(
        viewer=who, message_id=at, position=None, size=9
    ),
    "list_participants": lambda who, talk, _: conversation_queries.list_participants(
        viewer=who, conversation_id=talk, position=None, size=9
    ),
    "get_participation": lambda who, talk, _: conversation_queries.get_participation(
        viewer=who, conversation_id=talk
    ),
}
ACTIONS: dict[str, Callable[[Any, UUID, UUID], Any]] = {
    "send": lambda who, talk, _: say(who, talk),
    "edit_message": lambda who, _, at: operations.edit_message(
        editor=who, message_id=at, message_body="mine now"
    ),
    "retract_message": lambda who, _, at: operations.retract_message(actor=who, message_id=at),
    "remove_message": lambda who, _, at: operations.remove_message(viewer=who, message_id=at),
    "read_message": lambda who, _, at: operations.read_message(viewer=who, message_id=at),
    "set_message_read": lambda who, _, at: operations.set_message_read(
        viewer=who, message_id=at, read=True
    ),
    "set_message_starred": lambda who, _, at: operations.set_message_starred(
        viewer=who, message_id=at, starred=True
    ),
    "read_up_to": lambda who, talk, _: operations.read_up_to(viewer=who, conversation_id=talk),
    "unread_from": lambda who, talk, _: operations.unread_from(
        viewer=who, conversation_id=talk, seq=1
    ),
    "set_delivered": lambda who, talk, _: operations.set_delivered(
        viewer=who, conversation_id=talk, seq=1
    ),
    "set_own": lambda who, talk, _: conversations.set_own(
        viewer=who, conversation_id=talk, muted_until=None
    ),
    "leave": lambda who, talk, _: conversations.leave(viewer=who, conversation_id=talk),
    "change_conversation": lambda who, talk, _: conversations.change_conversation(
        actor=who, conversation_id=talk, title="mine now"
    ),
    "add_participant": lambda who, talk, _: conversations.add_participant(
        actor=who, conversation_id=talk, user_id=who.user_id
    ),
    "remove_participant": lambda who, talk, _: conversations.remove_participant(
        actor=who, conversation_id=talk, user_id=who.user_id
    ),
    "set_member_role": lambda who, talk, _: conversations.set_member_role(
        actor=who, conversation_id=talk, user_id=who.user_id, member_role="owner"
    ),
}
# What asks for nothing by an id; the lists are empty to a stranger, as another test shows.
OTHERS = {"count_messages", "count_unread", "count_unread_exactly", "list_conversations"}
# Whose own row in the conversation they take, it has let in.
OTHERS |= {"history", "count_history", "position_key"}
OTHERS |= {"find_sent", "list_messages", "newest", "recount_unread", "see", "send_many", "show"}
OTHERS |= {"list_messages_beside"}  # what list_messages returns, and more


@pytest.fixture(params=["stranger", "left", "sent away"])
def outsider(request, mallory) -> Callable[[Any, UUID], Any]:
    """Return someone who is not in the conversation, or not any more."""

    def make(owner, talk: UUID):
        if request.param != "stranger":
            conversations.add_participant(
                actor=owner, conversation_id=talk, user_id=mallory.user_id
            )
        if request.param == "left":
            conversations.leave(viewer=mallory, conversation_id=talk)
        if request.param == "sent away":
            conversations.remove_participant(
                actor=owner, conversation_id=talk, user_id=mallory.user_id
            )
        return mallory

    return make


class TestPromise4StrangersSeeNothing:
    """What someone may not see is to them as if it did not exist."""

    @pytest.mark.parametrize("name", [*QUESTIONS, *ACTIONS])
    def test_and_cannot_tell_what_is_from_what_is_not(self, ada, ben, outsider, name):
        talk = group(ada, ben)
        said = say(ada, talk, "secret")
        mallory = outsider(ada, talk)
        before = self.state()
        ask = (QUESTIONS | ACTIONS)[name]

        real = self.answer(lambda: ask(mallory, talk, said.message_id))
        unreal = self.answer(lambda: ask(mallory, uuid4(), uuid4()))

        assert isinstance(real, NotFound)
        assert (type(real), real.code, real.detail, real.attr) == (
            type(unreal),
            unreal.code,
            unreal.detail,
            unreal.attr,
        )
        assert self.state() == before

    @pytest.mark.parametrize("box", ["all", "inbox", "sent"])
    def test_in_any_list(self, ada, ben, cyd, outsider, box):
        talk = group(ada, ben)
        say(ada, talk, "secret")
        write_to(ada, ben, body="secret")
        mallory = outsider(ada, talk)
        mine = write_to(cyd, mallory, body="for mallory").conversation_id
        everywhere = [
            queries.list_messages(viewer=mallory, box=box, position=None, size=9),
            queries.list_messages(viewer=mallory, box=box, unread_only=True, position=None, size=9),
            queries.list_messages(
                viewer=mallory, box=box, starred_only=True, position=None, size=9
            ),
            queries.list_messages(
                viewer=mallory, box=box, with_user_id=ada.user_id, position=None, size=9
            ),
        ]

        assert {m.conversation_id for page in everywhere for m in page.items} <= {mine}
        for page in (
            queries.list_conversations(viewer=mallory, position=None, size=9),
            queries.list_conversations(viewer=mallory, unread_only=True, position=None, size=9),
        ):
            assert {c.conversation_id for c in page.items} == {mine}
        assert unread(mallory) == queries.count_messages(viewer=mallory) == 1

    def test_in_any_snapshot_or_news(self, ada, ben, outsider):
        talk = group(ada, ben)
        mallory = outsider(ada, talk)
        first = sync(viewer=mallory)
        say(ada, talk, "secret")

        news = sync(viewer=mallory, cursor=first.cursor)

        assert first.conversations == news.conversations == news.marks == news.removed == []

    def test_and_this_asks_in_every_way_there_is(self):
        asked = {*QUESTIONS, *ACTIONS} | OTHERS
        offered = {
            name
            for module in (queries, operations)
            for name in module.__all__
            if callable(getattr(module, name)) and name[0].islower()
        }

        assert offered - {"messages_sent"} <= asked

    @staticmethod
    def answer(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Refusal as refusal:
            return refusal

    @staticmethod
    def state() -> list[tuple[Any, ...]]:
        rows = list(Conversation.objects.values_list("revision", "title", "member_count"))
        return rows + list(Message.objects.values_list("message_body", "revision"))


# --- 5 --------------------------------------------------------------------------------------------


class TestPromise5UnreadNeverDrifts:
    """It is derived, and equals a recount at any time."""

    def test_whatever_several_devices_do_at_once(self, ada, ben):
        talk = direct(ada, ben)
        said = [say(ben, talk) for _ in range(12)]
        chance = random.Random(5)

        def one_of(device: int) -> None:
            for _ in range(12):
                message = chance.choice(said)
                chance.choice(
                    [
                        lambda m=message: operations.read_up_to(
                            viewer=ada, conversation_id=talk, seq=m.seq
                        ),
                        lambda m=message: operations.unread_from(
                            viewer=ada, conversation_id=talk, seq=m.seq
                        ),
                        lambda m=message: operations.set_message_read(
                            viewer=ada, message_id=m.message_id, read=bool(device % 2)
                        ),
                        lambda: say(ben, talk),
                        lambda: say(ada, talk),
                    ]
                )()

        results = in_parallel([lambda device=device: one_of(device) for device in range(4)])

        assert results == [None] * 4
        assert unread(ada) == sum(not m.read for m in history(ada, talk))
        assert unread(ben) == sum(not m.read for m in history(ben, talk))
        operations.read_up_to(viewer=ada, conversation_id=talk)
        assert unread(ada) == 0

    def test_and_there_is_no_counter_to_repair(self):
        from django.apps import apps

        names = {
            field.name
            for app in ("conversations", "messaging")
            for model in apps.get_app_config(app).get_models()
            for field in model._meta.get_fields()
        }

        assert not {name for name in names if "unread" in name}


# --- 6 --------------------------------------------------------------------------------------------


class TestPromise6ChangesCanAlwaysBeCaughtUp:
    """Whoever holds a revision, or a cursor, gets exactly what is newer."""

    def test_by_revision_from_any_that_ever_was(self, ada, ben):
        talk = direct(ada, ben)
        chance = random.Random(6)
        states: list[dict[UUID, SeenMessage]] = [{}]
        said: list[SeenMessage] = []
        while len(states) < 30:
            before = Conversation.objects.get().revision
            if len(said) < 3 or chance.random() < 0.5:
                said.append(say(ada, talk, f"{len(said)}"))
            else:
                message = said.pop(chance.randrange(len(said)))
                if chance.random() < 0.5:
                    operations.edit_message(
                        editor=ada, message_id=message.message_id, message_body="edited"
                    )
                else:
                    operations.retract_message(actor=ada, message_id=message.message_id)
            assert Conversation.objects.get().revision == before + 1
            states.append({m.message_id: m for m in history(ben, talk)})

        for revision, known in enumerate(states):
            changed = self.changed_after(ben, talk, revision)
            assert {**known, **{m.message_id: m for m in changed}} == states[-1]
            assert [m.revision for m in changed] == sorted({m.revision for m in changed})
            assert all(known.get(m.message_id) != m for m in changed)

    def test_by_cursor_from_any_that_was_ever_given(self, ada, ben, cyd):
        talk = group(ada, ben, cyd)
        clients = []
        for n in range(12):
            say((ada, ben, cyd)[n % 3], talk)
            clients.append(Client(ben))
            clients[-1].catch_up()
            if n % 4 == 3:
                fence.tick(unless_within=timedelta(0))

        for client in clients:
            client.catch_up(limit=2)
            client.check_against_a_fresh_one()

    def test_with_what_my_other_devices_do_at_once(self, ada, ben):
        talk = direct(ada, ben)
        said = [say(ben, talk) for _ in range(16)]
        client = Client(ada)
        client.catch_up()

        def star(device: int) -> None:
            for message in said[device::4]:
                operations.set_message_starred(
                    viewer=ada, message_id=message.message_id, starred=True
                )

        def watch() -> None:
            for _ in range(12):
                client.catch_up(limit=3)

        results = in_parallel([watch, *(lambda device=d: star(device) for d in range(4))])

        assert results == [None] * 5
        assert Participant.objects.get(user=ada).version == 16
        client.catch_up()
        client.check_against_a_fresh_one()
        assert sum(m.starred for m in history(ada, talk)) == 16

    @staticmethod
    def changed_after(viewer, talk: UUID, revision: int) -> list[SeenMessage]:
        found: list[SeenMessage] = []
        position = None
        while True:
            page = queries.list_history(
                viewer=viewer,
                conversation_id=talk,
                changed_after=revision,
                position=position,
                size=7,
            )
            found += page.items
            position = page.next
            if position is None:
                return found


# --- 9 --------------------------------------------------------------------------------------------


class TestPromise9RemovingIsMineAndRetractingIsForAll:
    def test_what_i_remove_is_gone_from_all_my_lists_and_none_of_the_others(self, ada, ben):
        talk = direct(ada, ben)
        said = say(ben, talk, "unwanted")
        operations.set_message_starred(viewer=ada, message_id=said.message_id, starred=True)
        operations.remove_message(viewer=ada, message_id=said.message_id)

        assert self.everywhere(ada, talk) == set()
        assert unread(ada) == 0
        with pytest.raises(NotFound):
            queries.get_message(viewer=ada, message_id=said.message_id)
        assert self.everywhere(ben, talk) == {"unwanted"}
        assert queries.get_message(viewer=ben, message_id=said.message_id).message_body

    def test_what_is_retracted_is_empty_for_all_and_keeps_its_number(self, ada, ben):
        talk = direct(ada, ben)
        say(ada, talk, "one")
        said = say(ada, talk, "secret", subject="secret too")
        say(ada, talk, "three")
        operations.retract_message(actor=ada, message_id=said.message_id)

        for viewer in (ada, ben):
            found = history(viewer, talk)
            assert [(m.seq, m.message_body, m.subject) for m in found] == [
                (1, "one", ""),
                (2, "", ""),
                (3, "three", ""),
            ]
            assert found[1].retracted_at is not None
        assert unread(ben) == 2
        stored = Message.objects.get(seq=2)
        assert (stored.message_body, stored.subject) == ("", "")

    def test_neither_takes_the_others_number_or_reading_back(self, ada, ben):
        talk = direct(ada, ben)
        said = [say(ben, talk) for _ in range(3)]
        operations.read_up_to(viewer=ada, conversation_id=talk, seq=2)
        before = queries.get_conversation(viewer=ada, conversation_id=talk).me

        operations.remove_message(viewer=ben, message_id=said[0].message_id)
        operations.retract_message(actor=ben, message_id=said[1].message_id)

        assert queries.get_conversation(viewer=ada, conversation_id=talk).me == before
        assert [m.seq for m in history(ada, talk)] == [1, 2, 3]
        assert [m.seq for m in history(ben, talk)] == [2, 3]
        assert say(ada, talk).seq == 4

    @staticmethod
    def everywhere(viewer, talk: UUID) -> set[str]:
        """What someone finds in any list."""
        found = history(viewer, talk)
        for box in ("all", "inbox", "sent"):
            found += queries.list_messages(viewer=viewer, box=box, position=None, size=9).items
        found += queries.list_messages(
            viewer=viewer, starred_only=True, position=None, size=9
        ).items
        found += queries.get_conversation(viewer=viewer, conversation_id=talk).messages
        seen = queries.list_conversations(viewer=viewer, messages=5, position=None, size=9).items
        found += [m for c in (*seen, *sync(viewer=viewer).conversations) for m in c.messages]
        found += [c.last_message for c in seen if c.last_message]
        return {m.message_body for m in found}
