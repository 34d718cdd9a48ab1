"""Any sequence of what people can do, in any order, against a plain model of the rules.

After every step what is unread equals two recounts (the model's and the database's), numbers have
no gap, revisions are unique and receipts have not fallen; and clients that sync now and then, from
the last cursor or an older one, show in the end what a client shows that starts afresh, which is
what the model says.

``PARLEY_TEST_EXAMPLES`` and ``PARLEY_TEST_STEPS`` make it longer; then a failure is made small,
too.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from parley.accounts.models import User
from parley.conversations import fence
from parley.conversations import operations as conversations
from parley.conversations.models import MemberRole, Participant
from parley.kernel.errors import Conflict, NotAllowed, NotFound, Refusal
from parley.messaging import operations, queries
from parley.messaging import sync as sync_module
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.operations.following import make_heavy
from tests.promises import listed
from tests.promises.client import Client
from tests.promises.model import Said, Talk
from tests.talk import history

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

NAMES = ("ada", "ben", "cyd")
MOST_GROUPS = 2
ON_A_SERVER = connection.vendor != "sqlite"
EXAMPLES = int(os.environ.get("PARLEY_TEST_EXAMPLES", "8" if ON_A_SERVER else "30"))
STEPS = int(os.environ.get("PARLEY_TEST_STEPS", "60"))
# Making a failure small takes minutes; whoever asks for many examples has them.
PHASES = set(Phase) if "PARLEY_TEST_EXAMPLES" in os.environ else set(Phase) - {Phase.shrink}


def about(what: str) -> Any:
    """A step of examples about this, and of those about everything."""
    return precondition(lambda self: self.about in {what, "everything"})


people = st.integers(0, len(NAMES) - 1)
# Where, and who: mostly someone who is there, now and then just anyone.
scenes = st.tuples(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4]), st.integers(0, 11))
ANYONE = 10
# Which message: mostly a late one.
places = st.integers(0, 12)
limits = st.sampled_from([1, 2, 3, 5, 50])
numbers = itertools.count()


class Machine(RuleBasedStateMachine):
    monkeypatch: ClassVar[pytest.MonkeyPatch]

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[UUID, Talk] = {}
        self.blocks: set[tuple[int, int]] = set()
        self.receipts: dict[tuple[UUID, UUID], tuple[int, int]] = {}

    @initialize(
        known=st.sampled_from([0, 1, 2, 64]),
        newest=st.sampled_from([1, 3, 20]),
        about=st.sampled_from(["reading", "people", "everything"]),
    )
    def begin(self, known: int, newest: int, about: str) -> None:
        """Three people who are new here, and clients whose bounds are sometimes met soon.

        Only a step of its own ticks, so that the same steps always come to the same. Some examples
        are about reading or about coming and going alone: what is rare comes together there.
        """
        self.about = about
        self.monkeypatch.setattr(sync_module.ticker, "tick", lambda: None)
        self.monkeypatch.setattr(sync_module, "MOST_KNOWN", known)
        self.monkeypatch.setattr(sync_module, "NEWEST", newest)
        self.users = [self._sign_up(name) for name in NAMES]
        self.clients = [Client(user) for user in self.users]
        self.create_group(owner=0, others={1, 2})
        self.write(sender=1, other=0, body="hello")
        for who in range(4):
            self.say(scene=(0, who), times=1)

    def _sign_up(self, name: str) -> User:
        user = User(username=f"{name}{next(numbers)}", password="!")
        user.save()
        return user

    def _at(self, scene: tuple[int, int]) -> tuple[Talk, int]:
        place, who = scene
        talk = list(self.model.values())[place % len(self.model)]
        if who >= ANYONE or not talk.present:
            return talk, who % len(NAMES)
        return talk, sorted(talk.present)[who % len(talk.present)]

    # --- talking

    @precondition(lambda self: sum(not t.is_direct for t in self.model.values()) < MOST_GROUPS)
    @about("people")
    @rule(owner=people, others=st.sets(people))
    def create_group(self, owner: int, others: set[int]) -> None:
        found, _ = conversations.create_conversation(
            creator=self.users[owner],
            participant_ids=[self.users[other].user_id for other in others],
            kind="group",
        )
        self._remember(found, is_direct=False, members=others | {owner})

    @about("people")
    @rule(sender=people, other=people, body=st.text("ab ñ", min_size=1, max_size=4))
    def write(self, sender: int, other: int, body: str) -> None:
        draft = Draft(
            self.users[sender].user_id, f"x{body}", recipient_ids=(self.users[other].user_id,)
        )
        if (other, sender) in self.blocks:
            with pytest.raises(conversations.Blocked):
                operations.send(draft)
            return
        sent = operations.send(draft).message
        talk = self._remember(sent.conversation_id, is_direct=True, members={sender, other})
        talk.send(sender, sent.message_id, draft.message_body)
        assert sent.seq == len(talk.said)

    @about("people")
    @rule(one=people, other=people)
    def open_direct(self, one: int, other: int) -> None:
        try:
            found, _ = conversations.create_conversation(
                creator=self.users[one], participant_ids=[self.users[other].user_id], kind="direct"
            )
        except conversations.Blocked:
            assert (other, one) in self.blocks
        else:
            talk = self._remember(found, is_direct=True, members={one, other})
            talk.present.add(one)

    def _remember(self, conversation_id: UUID, *, is_direct: bool, members: set[int]) -> Talk:
        return self.model.setdefault(conversation_id, Talk(conversation_id, is_direct, members))

    @rule(scene=scenes, times=st.sampled_from([1, 1, 2, 6]))
    def say(self, scene: tuple[int, int], times: int) -> None:
        talk, who = self._at(scene)
        drafts = [
            Draft(self.users[who].user_id, f"{n}", conversation_id=talk.conversation_id)
            for n in range(times)
        ]
        for draft, result in zip(drafts, operations.send_many(drafts), strict=True):
            if not isinstance(result, Refusal):
                assert who in talk.present
                talk.send(who, draft.message_id, draft.message_body)
                assert result.message.seq == len(talk.said)
            elif isinstance(result, NotFound):
                assert who not in talk.present
            else:
                assert talk.is_direct
                assert any((other, who) in self.blocks for other in talk.people)

    @about("reading")
    @rule(scene=scenes, place=places, word=st.sampled_from(["one", "two"]))
    def edit(self, scene: tuple[int, int], place: int, word: str) -> None:
        def change(talk: Talk, who: int, message: Said) -> None:
            assert message.sender == who
            assert not message.is_retracted
            message.body = word

        def do(user: User, message_id: UUID) -> object:
            return operations.edit_message(editor=user, message_id=message_id, message_body=word)

        self._to_a_message(scene, place, do, change)

    @about("reading")
    @rule(scene=scenes, place=places)
    def retract(self, scene: tuple[int, int], place: int) -> None:
        def change(talk: Talk, who: int, message: Said) -> None:
            message.is_retracted, message.body = True, ""

        def do(user: User, message_id: UUID) -> object:
            return operations.retract_message(actor=user, message_id=message_id)

        self._to_a_message(scene, place, do, change)

    # --- reading and marking

    @rule(scene=scenes, place=st.none() | places)
    def read_up_to(self, scene: tuple[int, int], place: int | None) -> None:
        talk, who = self._at(scene)
        seq = None if place is None else 1 + place % (len(talk.said) + 2)

        def do(user: User) -> object:
            return operations.read_up_to(viewer=user, conversation_id=talk.conversation_id, seq=seq)

        if self._as_member(talk, who, do):
            talk.read_up_to(who, seq)

    @about("reading")
    @rule(scene=scenes, place=places)
    def unread_from(self, scene: tuple[int, int], place: int) -> None:
        talk, who = self._at(scene)
        seq = 1 + place % (len(talk.said) + 2)

        def do(user: User) -> object:
            return operations.unread_from(
                viewer=user, conversation_id=talk.conversation_id, seq=seq
            )

        if self._as_member(talk, who, do):
            talk.unread_from(who, seq)

    @rule(scene=scenes, place=places, read=st.booleans())
    def set_read(self, scene: tuple[int, int], place: int, read: bool) -> None:  # noqa: FBT001
        def do(user: User, message_id: UUID) -> object:
            return operations.set_message_read(viewer=user, message_id=message_id, read=read)

        def change(talk: Talk, who: int, message: Said) -> None:
            talk.set_read(who, message, read=read)

        self._to_a_message(scene, place, do, change)

    @about("reading")
    @rule(scene=scenes, place=places, starred=st.booleans())
    def star(self, scene: tuple[int, int], place: int, starred: bool) -> None:  # noqa: FBT001
        def do(user: User, message_id: UUID) -> object:
            return operations.set_message_starred(
                viewer=user, message_id=message_id, starred=starred
            )

        def change(talk: Talk, who: int, message: Said) -> None:
            (talk.starred[who].add if starred else talk.starred[who].discard)(message.seq)

        self._to_a_message(scene, place, do, change)

    @about("reading")
    @rule(scene=scenes, place=places)
    def remove(self, scene: tuple[int, int], place: int) -> None:
        def do(user: User, message_id: UUID) -> object:
            return operations.remove_message(viewer=user, message_id=message_id)

        self._to_a_message(scene, place, do, Talk.remove)

    @about("reading")
    @rule(scene=scenes, place=places)
    def deliver(self, scene: tuple[int, int], place: int) -> None:
        talk, who = self._at(scene)

        def do(user: User) -> object:
            return operations.set_delivered(
                viewer=user, conversation_id=talk.conversation_id, seq=1 + place
            )

        self._as_member(talk, who, do)

    # --- coming and going

    @about("people")
    @rule(scene=scenes, who=people)
    def join(self, scene: tuple[int, int], who: int) -> None:
        talk, _ = self._at(scene)
        owner = self._owner(talk)
        if owner is None:
            return
        absent = sorted(set(range(len(NAMES))) - talk.present)
        who = absent[who % len(absent)] if absent else who
        try:
            conversations.add_participant(
                actor=owner, conversation_id=talk.conversation_id, user_id=self.users[who].user_id
            )
        except Conflict:
            assert who in talk.present
        else:
            assert who not in talk.present
            talk.join(who)

    @about("people")
    @rule(scene=scenes)
    def leave(self, scene: tuple[int, int]) -> None:
        talk, who = self._at(scene)

        def do(user: User) -> None:
            conversations.leave(viewer=user, conversation_id=talk.conversation_id)

        if self._as_member(talk, who, do):
            talk.leave(who)

    @about("people")
    @rule(scene=scenes)
    def send_away(self, scene: tuple[int, int]) -> None:
        talk, who = self._at(scene)
        owner = self._owner(talk)
        if owner is None or who not in talk.present:
            return
        conversations.remove_participant(
            actor=owner, conversation_id=talk.conversation_id, user_id=self.users[who].user_id
        )
        talk.leave(who)

    @about("people")
    @rule(scene=scenes, wanted=st.sets(people))
    def set_members(self, scene: tuple[int, int], wanted: set[int]) -> None:
        talk, _ = self._at(scene)
        owner = self._owner(talk)
        if owner is None:
            return
        conversations.change_conversation(
            actor=owner,
            conversation_id=talk.conversation_id,
            title=f"with {len(wanted)}",
            participant_ids=[self.users[person].user_id for person in wanted],
        )
        then = wanted | {self.users.index(owner)}
        for person in sorted(then - talk.present):
            talk.join(person)
        for person in sorted(talk.present - then):
            talk.leave(person)

    def _owner(self, talk: Talk) -> User | None:
        found = Participant.objects.filter(
            conversation_id=talk.conversation_id, left_at=None, member_role=MemberRole.OWNER
        ).first()
        assert (found is not None) == (not talk.is_direct and bool(talk.present))
        return next((u for u in self.users if found and u.user_id == found.user_id), None)

    @about("people")
    @rule(scene=scenes, name=st.sampled_from(["muted_until", "archived_at", "pinned_at"]))
    def set_own(self, scene: tuple[int, int], name: str) -> None:
        talk, who = self._at(scene)
        value = timezone.now() + timedelta(days=1)

        def do(user: User) -> None:
            conversations.set_own(
                viewer=user, conversation_id=talk.conversation_id, **{name: value}
            )

        self._as_member(talk, who, do)

    @about("people")
    @rule(who=people, other=people, blocked=st.booleans())
    def block(self, who: int, other: int, blocked: bool) -> None:  # noqa: FBT001
        if who == other:
            return
        do = conversations.block if blocked else conversations.unblock
        do(blocker=self.users[who], user_id=self.users[other].user_id)
        (self.blocks.add if blocked else self.blocks.discard)((who, other))

    # --- syncing

    @rule()
    def tick(self) -> None:
        fence.tick(unless_within=timedelta(0))

    @rule(who=people, limit=limits)
    def sync_a_page(self, who: int, limit: int) -> None:
        self.clients[who].step(limit=limit)

    @rule(who=people, limit=limits, back=st.integers(1, 6))
    def sync_from_an_older_cursor(self, who: int, limit: int, back: int) -> None:
        self.clients[who].step(limit=limit, back=back)

    @rule(who=people, limit=limits)
    def catch_up(self, who: int, limit: int) -> None:
        self.clients[who].catch_up(limit=limit)

    # --- being in very many conversations, for which any number will do

    @about("lists")
    @rule(who=people)
    def become_heavy(self, who: int) -> None:
        make_heavy(self.users[who].user_id)

    @about("lists")
    @rule(who=people)
    def look_at_lists(self, who: int) -> None:
        assert listed.differing(self.users[who]) == []

    # --- what holds

    def _as_member(self, talk: Talk, who: int, do: Callable[[User], object]) -> bool:
        """Do it, and say whether it was done; only those who are in it can."""
        try:
            do(self.users[who])
        except NotFound:
            assert who not in talk.present
            return False
        assert who in talk.present
        return True

    def _to_a_message(
        self,
        scene: tuple[int, int],
        place: int,
        do: Callable[[User, UUID], object],
        change: Callable[[Talk, int, Said], Any],
    ) -> None:
        """Do it to a message; who does not see it cannot, and who may not is refused."""
        talk, who = self._at(scene)
        if not talk.said:
            return
        message = talk.said[-1 - place % len(talk.said)]
        try:
            do(self.users[who], message.message_id)
        except NotFound:
            assert message not in talk.visible(who)
        except (NotAllowed, Conflict):
            assert message.sender != who or message.is_retracted
        else:
            assert message in talk.visible(who)
            change(talk, who, message)

    @invariant()
    def unread_equals_both_recounts(self) -> None:
        for person, user in enumerate(getattr(self, "users", ())):
            counts = [talk.count_unread(person) for talk in self.model.values()]
            expected = (sum(counts), sum(1 for count in counts if count), False)
            for found in (queries.count_unread(viewer=user), queries.recount_unread(viewer=user)):
                assert (found.messages, found.conversations, found.capped) == expected

    @invariant()
    def numbers_have_no_gap_and_revisions_are_unique(self) -> None:
        found = Message.objects.filter(conversation_id__in=self.model)
        by_talk: dict[UUID, list[Message]] = {c: [] for c in self.model}
        for message in found.select_related("conversation").order_by("seq"):
            by_talk[message.conversation_id].append(message)
        for conversation_id, messages in by_talk.items():
            said = self.model[conversation_id].said
            assert [(m.seq, m.message_body) for m in messages] == [(m.seq, m.body) for m in said]
            assert len({m.revision for m in messages}) == len(messages)
            assert all(m.revision <= m.conversation.revision for m in messages)

    @invariant()
    def receipts_never_fall(self) -> None:
        for row in Participant.objects.filter(conversation_id__in=self.model):
            now = (row.read_seq, row.delivered_seq)
            before = self.receipts.get((row.user_id, row.conversation_id), (0, 0))
            assert now[0] >= before[0]
            assert now[1] >= before[1]
            self.receipts[row.user_id, row.conversation_id] = now

    def teardown(self) -> None:
        for person, client in enumerate(getattr(self, "clients", ())):
            client.catch_up(limit=3)
            client.check_against_a_fresh_one()
            for talk in self.model.values():
                if person in talk.present:
                    self._check_against_the_model(talk, person)

    def _check_against_the_model(self, talk: Talk, person: int) -> None:
        shown = history(self.users[person], talk.conversation_id)
        visible = talk.visible(person)
        assert [(m.seq, m.message_body) for m in shown] == [(m.seq, m.body) for m in visible]
        assert {m.seq for m in shown if m.starred} == talk.starred[person] & {m.seq for m in shown}
        counted = {m.seq for m in visible if m.sender != person and not m.is_retracted}
        assert {m.seq for m in shown if not m.read} & counted == talk.unread[person] & counted


@pytest.mark.long
def test_any_sequence_leaves_counts_right_and_a_syncing_client_equal_to_a_fresh_one(monkeypatch):
    Machine.monkeypatch = monkeypatch
    listed.install(monkeypatch)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=PHASES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
