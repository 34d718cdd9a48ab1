"""Any sequence of what people can do, in any order, against a plain model of the rules.

After every step what is unread equals two recounts (the model's and the database's), numbers have
no gap, revisions are unique and receipts have not fallen; and clients that sync now and then, from
the last cursor or an older one, show in the end what a client shows that starts afresh.

``PARLEY_TEST_EXAMPLES`` and ``PARLEY_TEST_STEPS`` make it longer; then a failure is made small.
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
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
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
from tests.promises.client import Client
from tests.promises.model import Said, Talk

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

NAMES = ("ada", "ben", "cyd", "dan")
ON_A_SERVER = connection.vendor != "sqlite"
EXAMPLES = int(os.environ.get("PARLEY_TEST_EXAMPLES", "8" if ON_A_SERVER else "25"))
# Making a failure small takes minutes; whoever asks for many examples has them.
PHASES = set(Phase) if "PARLEY_TEST_EXAMPLES" in os.environ else set(Phase) - {Phase.shrink}
STEPS = int(os.environ.get("PARLEY_TEST_STEPS", "40"))

people = st.integers(0, len(NAMES) - 1)
places = st.integers(0, 1_000)
limits = st.sampled_from([1, 2, 3, 5, 50])
numbers = itertools.count()


class Machine(RuleBasedStateMachine):
    talks = Bundle("talks")
    monkeypatch: ClassVar[pytest.MonkeyPatch]

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[UUID, Talk] = {}
        self.blocks: set[tuple[int, int]] = set()
        self.receipts: dict[tuple[UUID, UUID], tuple[int, int]] = {}

    @initialize(known=st.sampled_from([0, 1, 2, 64]), newest=st.sampled_from([1, 3, 20]))
    def begin(self, known: int, newest: int) -> None:
        """Four people who are new here, and clients whose bounds are sometimes met soon.

        Only a step of its own ticks, so that the same steps always come to the same.
        """
        self.monkeypatch.setattr(sync_module._ticker, "tick", lambda: None)
        self.monkeypatch.setattr(sync_module, "MOST_KNOWN", known)
        self.monkeypatch.setattr(sync_module, "NEWEST", newest)
        self.users = [self._sign_up(name) for name in NAMES]
        self.clients = [Client(user) for user in self.users]

    def _sign_up(self, name: str) -> User:
        user = User(username=f"{name}{next(numbers)}", password="!")
        user.save()
        return user

    # --- talking

    @rule(target=talks, owner=people, others=st.sets(people, max_size=3))
    def create_group(self, owner: int, others: set[int]) -> Talk:
        found, _ = conversations.create_conversation(
            creator=self.users[owner],
            participant_ids=[self.users[other].user_id for other in others],
            kind="group",
        )
        return self._remember(found, is_direct=False, members=others | {owner})

    @rule(target=talks, sender=people, other=people, body=st.text("ab ñ", min_size=1, max_size=4))
    def write(self, sender: int, other: int, body: str) -> Talk:
        draft = Draft(
            self.users[sender].user_id, f"x{body}", recipient_ids=(self.users[other].user_id,)
        )
        if (other, sender) in self.blocks:
            with pytest.raises(conversations.Blocked):
                operations.send(draft)
            return self._direct(sender, other)
        sent = operations.send(draft).message
        talk = self._remember(sent.conversation_id, is_direct=True, members={sender, other})
        talk.send(sender, sent.message_id, draft.message_body)
        assert sent.seq == len(talk.said)
        return talk

    @rule(target=talks, one=people, other=people)
    def open_direct(self, one: int, other: int) -> Talk:
        return self._direct(one, other)

    def _direct(self, one: int, other: int) -> Talk:
        """Open their direct conversation; where it is refused, any other will do."""
        try:
            found, _ = conversations.create_conversation(
                creator=self.users[one], participant_ids=[self.users[other].user_id], kind="direct"
            )
        except conversations.Blocked:
            assert (other, one) in self.blocks
            return self.create_group(one, set())
        talk = self._remember(found, is_direct=True, members={one, other})
        talk.present.add(one)
        return talk

    def _remember(self, conversation_id: UUID, *, is_direct: bool, members: set[int]) -> Talk:
        new = Talk(conversation_id, is_direct, members)
        return self.model.setdefault(conversation_id, new)

    @rule(talk=talks, sender=people, times=st.sampled_from([1, 1, 2, 6]))
    def say(self, talk: Talk, sender: int, times: int) -> None:
        drafts = [
            Draft(self.users[sender].user_id, f"{n}", conversation_id=talk.conversation_id)
            for n in range(times)
        ]
        for draft, result in zip(drafts, operations.send_many(drafts), strict=True):
            if not isinstance(result, Refusal):
                assert sender in talk.present
                talk.send(sender, draft.message_id, draft.message_body)
                assert result.message.seq == len(talk.said)
            elif isinstance(result, NotFound):
                assert sender not in talk.present
            else:
                assert talk.is_direct
                assert any((other, sender) in self.blocks for other in talk.people)

    @rule(talk=talks, who=people, place=places, word=st.sampled_from(["one", "two"]))
    def edit(self, talk: Talk, who: int, place: int, word: str) -> None:
        def change(message: Said) -> None:
            assert message.sender == who
            assert not message.is_retracted
            message.body = word

        self._do(
            talk,
            who,
            place,
            lambda user, message_id: operations.edit_message(
                editor=user, message_id=message_id, message_body=word
            ),
            change,
        )

    @rule(talk=talks, who=people, place=places)
    def retract(self, talk: Talk, who: int, place: int) -> None:
        def change(message: Said) -> None:
            message.is_retracted, message.body = True, ""

        self._do(
            talk,
            who,
            place,
            lambda user, message_id: operations.retract_message(actor=user, message_id=message_id),
            change,
        )

    # --- reading and marking

    @rule(talk=talks, who=people, place=st.none() | places)
    def read_up_to(self, talk: Talk, who: int, place: int | None) -> None:
        seq = None if place is None else 1 + place % (len(talk.said) + 2)
        if self._as_member(
            talk,
            who,
            lambda user: operations.read_up_to(
                viewer=user, conversation_id=talk.conversation_id, seq=seq
            ),
        ):
            talk.read_up_to(who, seq)

    @rule(talk=talks, who=people, place=places)
    def unread_from(self, talk: Talk, who: int, place: int) -> None:
        seq = 1 + place % (len(talk.said) + 2)
        if self._as_member(
            talk,
            who,
            lambda user: operations.unread_from(
                viewer=user, conversation_id=talk.conversation_id, seq=seq
            ),
        ):
            talk.unread_from(who, seq)

    @rule(talk=talks, who=people, place=places, read=st.booleans())
    def set_read(self, talk: Talk, who: int, place: int, read: bool) -> None:  # noqa: FBT001
        self._do(
            talk,
            who,
            place,
            lambda user, message_id: operations.set_message_read(
                viewer=user, message_id=message_id, read=read
            ),
            lambda message: talk.set_read(who, message, read=read),
        )

    @rule(talk=talks, who=people, place=places, starred=st.booleans())
    def star(self, talk: Talk, who: int, place: int, starred: bool) -> None:  # noqa: FBT001
        def change(message: Said) -> None:
            (talk.starred[who].add if starred else talk.starred[who].discard)(message.seq)

        self._do(
            talk,
            who,
            place,
            lambda user, message_id: operations.set_message_starred(
                viewer=user, message_id=message_id, starred=starred
            ),
            change,
        )

    @rule(talk=talks, who=people, place=places)
    def remove(self, talk: Talk, who: int, place: int) -> None:
        self._do(
            talk,
            who,
            place,
            lambda user, message_id: operations.remove_message(viewer=user, message_id=message_id),
            lambda message: talk.remove(who, message),
        )

    @rule(talk=talks, who=people, place=places)
    def deliver(self, talk: Talk, who: int, place: int) -> None:
        self._as_member(
            talk,
            who,
            lambda user: operations.set_delivered(
                viewer=user, conversation_id=talk.conversation_id, seq=1 + place % 9
            ),
        )

    # --- coming and going

    @rule(talk=talks, who=people)
    def join(self, talk: Talk, who: int) -> None:
        owner = self._owner(talk)
        if owner is None:
            return
        try:
            conversations.add_participant(
                actor=owner, conversation_id=talk.conversation_id, user_id=self.users[who].user_id
            )
        except Conflict:
            assert who in talk.present
        else:
            assert who not in talk.present
            talk.join(who)

    @rule(talk=talks, who=people)
    def leave(self, talk: Talk, who: int) -> None:
        if self._as_member(
            talk,
            who,
            lambda user: conversations.leave(viewer=user, conversation_id=talk.conversation_id),
        ):
            talk.leave(who)

    @rule(talk=talks, who=people)
    def send_away(self, talk: Talk, who: int) -> None:
        owner = self._owner(talk)
        if owner is None or who not in talk.present:
            return
        conversations.remove_participant(
            actor=owner, conversation_id=talk.conversation_id, user_id=self.users[who].user_id
        )
        talk.leave(who)

    @rule(talk=talks, who=st.sets(people))
    def set_members(self, talk: Talk, who: set[int]) -> None:
        owner = self._owner(talk)
        if owner is None:
            return
        conversations.change_conversation(
            actor=owner,
            conversation_id=talk.conversation_id,
            title=f"with {len(who)}",
            participant_ids=[self.users[person].user_id for person in who],
        )
        wanted = who | {self.users.index(owner)}
        for person in sorted(wanted - talk.present):
            talk.join(person)
        for person in sorted(talk.present - wanted):
            talk.leave(person)

    def _owner(self, talk: Talk) -> User | None:
        found = Participant.objects.filter(
            conversation_id=talk.conversation_id, left_at=None, member_role=MemberRole.OWNER
        ).first()
        assert (found is not None) == (not talk.is_direct and bool(talk.present))
        return next((u for u in self.users if found and u.user_id == found.user_id), None)

    @rule(talk=talks, who=people, name=st.sampled_from(["muted_until", "archived_at", "pinned_at"]))
    def set_own(self, talk: Talk, who: int, name: str) -> None:
        value = timezone.now() + timedelta(days=1)
        self._as_member(
            talk,
            who,
            lambda user: conversations.set_own(
                viewer=user, conversation_id=talk.conversation_id, **{name: value}
            ),
        )

    @rule(who=people, other=people)
    def block(self, who: int, other: int) -> None:
        if who != other:
            conversations.block(blocker=self.users[who], user_id=self.users[other].user_id)
            self.blocks.add((who, other))

    @rule(who=people, other=people)
    def unblock(self, who: int, other: int) -> None:
        if who != other:
            conversations.unblock(blocker=self.users[who], user_id=self.users[other].user_id)
            self.blocks.discard((who, other))

    # --- syncing

    @rule()
    def tick(self) -> None:
        fence.tick(unless_within=timedelta(0))

    @rule(who=people, limit=limits)
    def sync_a_page(self, who: int, limit: int) -> None:
        self.clients[who].step(limit=limit)

    @rule(who=people, limit=limits, back=st.integers(1, 20))
    def sync_from_an_older_cursor(self, who: int, limit: int, back: int) -> None:
        self.clients[who].step(limit=limit, back=back)

    @rule(who=people, limit=limits)
    def catch_up(self, who: int, limit: int) -> None:
        self.clients[who].catch_up(limit=limit)

    # --- what holds

    def _as_member(self, talk: Talk, who: int, do: Callable[[User], Any]) -> bool:
        """Do it, and say whether it was done; only those who are in it can."""
        try:
            do(self.users[who])
        except NotFound:
            assert who not in talk.present
            return False
        assert who in talk.present
        return True

    def _do(
        self,
        talk: Talk,
        who: int,
        place: int,
        do: Callable[[User, UUID], Any],
        change: Callable[[Said], Any],
    ) -> None:
        """Do it to a message; who does not see it cannot, and who may not is refused."""
        if not talk.said:
            return
        message = talk.said[place % len(talk.said)]
        try:
            do(self.users[who], message.message_id)
        except NotFound:
            assert message not in talk.visible(who)
        except (NotAllowed, Conflict):
            assert message.sender != who or message.is_retracted
        else:
            assert message in talk.visible(who)
            change(message)

    @invariant()
    def unread_equals_both_recounts(self) -> None:
        for person, user in enumerate(getattr(self, "users", ())):
            counts = [talk.count_unread(person) for talk in self.model.values()]
            expected = (sum(counts), sum(1 for count in counts if count), False)
            for found in (queries.count_unread(viewer=user), queries.recount_unread(viewer=user)):
                assert (found.messages, found.conversations, found.capped) == expected

    @invariant()
    def numbers_have_no_gap_and_revisions_are_unique(self) -> None:
        found = Message.objects.filter(conversation_id__in=self.model).select_related(
            "conversation"
        )
        by_talk: dict[UUID, list[Message]] = {c: [] for c in self.model}
        for message in found.order_by("seq"):
            by_talk[message.conversation_id].append(message)
        for conversation_id, messages in by_talk.items():
            said = self.model[conversation_id].said
            assert [(m.seq, m.message_body) for m in messages] == [(m.seq, m.body) for m in said]
            assert len({m.revision for m in messages}) == len(messages)
            assert all(m.revision <= m.conversation.revision for m in messages)

    @invariant()
    def receipts_never_fall(self) -> None:
        rows = Participant.objects.filter(conversation_id__in=self.model)
        for row in rows:
            now = (row.read_seq, row.delivered_seq)
            before = self.receipts.get((row.user_id, row.conversation_id), (0, 0))
            assert now[0] >= before[0]
            assert now[1] >= before[1]
            self.receipts[row.user_id, row.conversation_id] = now

    def teardown(self) -> None:
        for client in getattr(self, "clients", ()):
            client.catch_up(limit=3)
            client.check_against_a_fresh_one()


def test_any_sequence_leaves_counts_right_and_a_syncing_client_equal_to_a_fresh_one(monkeypatch):
    Machine.monkeypatch = monkeypatch
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
