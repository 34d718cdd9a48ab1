"""The database function and the portable way are one: same drafts in, same answers and rows out."""

import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from parley.accounts.models import User
from parley.conversations import operations as conversations
from parley.conversations.models import Conversation, Participant
from parley.kernel import ids
from parley.kernel.errors import Refusal, Unavailable
from parley.messaging import operations
from parley.messaging.drafts import Draft
from parley.messaging.models import Message
from parley.messaging.operations import sending
from parley.messaging.operations.portable import Talk
from tests.talk import direct, group, in_parallel, say, write_to

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

PEOPLE = 4
TALKS = 4
NOWHERE = ids.new_id()
NUMBERS = itertools.count()


@dataclass
class World:
    """One set of data, and what was said in it, by the order in which it was drafted."""

    people: list[User]
    talks: list[UUID]
    drafted: list[Draft] = field(default_factory=list)

    def draft(self, plan) -> Draft:
        """Draft what a plan says, or take a draft of before once more."""
        if isinstance(plan, int):
            return self.drafted[plan % len(self.drafted)] if self.drafted else self.draft(PLAIN)
        made = Draft(
            sender_id=self.people[plan.sender].user_id,
            message_body=plan.body,
            subject=plan.subject,
            client_id=plan.client_id,
            reply_to=self.message(plan.reply),
            **self.place(plan.where),
        )
        self.drafted.append(made)
        return made

    def place(self, where):
        if isinstance(where, tuple):
            return {"recipient_ids": tuple(self.people[n].user_id for n in where)}
        return {"conversation_id": [*self.talks, NOWHERE][where]}

    def message(self, n) -> UUID | None:
        if n is None:
            return None
        return self.drafted[n % len(self.drafted)].message_id if self.drafted else NOWHERE

    def name(self, message_id) -> object:
        known = [draft.message_id for draft in self.drafted]
        return known.index(message_id) if message_id in known else message_id

    def told(self, answers):
        return [self.tell(answer) for answer in answers]

    def tell(self, answer):
        if isinstance(answer, Refusal):
            return answer.code, answer.attr, answer.detail
        seen = answer.message
        return answer.is_new, self.shown(seen), seen.read, seen.starred

    def shown(self, m):
        return (
            self.name(m.message_id),
            [p.user_id for p in self.people].index(m.sender_id),
            m.seq,
            m.revision,
            m.subject,
            m.message_body,
            m.client_id,
            self.name(m.reply_to),
            m.edited_at is None,
            m.retracted_at is None,
        )

    def rows(self):
        """Everything that is stored, without ids and instants."""
        mine = {p.user_id: n for n, p in enumerate(self.people)}
        found = Conversation.objects.filter(participants__user_id__in=mine).distinct()
        return sorted((self.conversation(c, mine) for c in found), key=repr)

    def conversation(self, c, mine):
        messages = list(Message.objects.filter(conversation=c).order_by("seq"))
        members = Participant.objects.filter(conversation=c)
        return (
            (c.kind, c.last_seq, c.revision, c.members_rev, c.member_count),
            c.gen == c.active_gen,
            [self.shown(m) for m in messages],
            [m.fingerprint is None for m in messages],
            [b.sent_at - a.sent_at > timedelta(0) for a, b in itertools.pairwise(messages)],
            not messages or (messages[-1].sent_at, messages[-1].gen) == (c.active_at, c.active_gen),
            sorted((mine[p.user_id], *_state(p)) for p in members),
        )


def _state(p):
    is_hidden = p.left_at is not None
    return is_hidden, p.version, p.joined_revision, p.visible_after, p.read_seq, p.watermark


@dataclass(frozen=True)
class Plan:
    sender: int = 0
    where: int | tuple[int, ...] = 0
    body: str = "hello"
    subject: str = ""
    client_id: str | None = None
    reply: int | None = None


PLAIN = Plan()
ADA_AND_BEN, ADA_AND_CYD, GROUP, LEFT = range(TALKS)


def _world(person) -> World:
    """Return a world of its own, of people whom no other one knows."""
    ada, ben, cyd, dan = (person(f"person{next(NUMBERS)}") for _ in range(PEOPLE))
    talks = [direct(ada, ben), direct(ada, cyd), group(ada, ben, cyd), group(ben, ada)]
    conversations.leave(viewer=ada, conversation_id=talks[LEFT])
    return World([ada, ben, cyd, dan], talks)


@dataclass(frozen=True)
class Deed:
    """Something that happens between two batches."""

    what: str
    who: int
    other: int

    def do(self, world: World) -> None:
        one, other = world.people[self.who], world.people[self.other]
        talk = world.talks[self.other]
        message_id = world.message(self.other)
        try:
            if self.what == "block" and one != other:
                conversations.block(blocker=one, user_id=other.user_id)
            elif self.what == "leave":
                conversations.leave(viewer=one, conversation_id=talk)
            elif self.what == "edit":
                operations.edit_message(editor=one, message_id=message_id, message_body="other")
            elif self.what == "star":
                operations.set_message_starred(viewer=one, message_id=message_id, starred=True)
            elif self.what == "retract":
                operations.retract_message(actor=one, message_id=message_id)
        except Refusal:
            pass


some = st.sampled_from([0, 0, 1, *range(PEOPLE)])  # who meet often have more to disagree about
plans = st.builds(
    Plan,
    sender=some,
    where=st.sampled_from([0, 0, *range(TALKS + 1)]) | st.lists(some, max_size=3).map(tuple),
    body=st.sampled_from(["hello", "hello", "wörld 😀"]),
    subject=st.sampled_from(["", "", "s"]),
    client_id=st.sampled_from([None, "a", "a", "A", "b"]),
    reply=st.none() | st.none() | st.integers(0, 20),
)
batches = st.lists(plans | plans | st.integers(0, 20), min_size=1, max_size=8)
deeds = st.builds(Deed, st.sampled_from(["block", "leave", "edit", "star", "retract"]), some, some)


class TestTheTwoWays:
    def test_answer_alike_and_store_alike(self, person):
        @settings(
            max_examples=60,
            phases={Phase.generate, Phase.shrink},
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.lists(batches | batches | deeds, min_size=1, max_size=5))
        def play(steps):
            one, other = _world(person), _world(person)
            for step in steps:
                if isinstance(step, Deed):
                    step.do(one)
                    step.do(other)
                    continue
                answers = operations.send_many([one.draft(plan) for plan in step])
                with patch.object(sending, "_write", sending._write_portably):
                    portable = operations.send_many([other.draft(plan) for plan in step])
                assert one.told(answers) == other.told(portable), steps
            assert one.rows() == other.rows()

        play()

    def test_take_fingerprints_alike(self, ada, ben):
        draft = Draft(
            ada.user_id, "wörld 😀", subject="s", client_id="a", recipient_ids=(ben.user_id,)
        )
        talk = direct(ada, ben)
        operations.send(draft)

        stored = Message.objects.get().fingerprint
        assert bytes(stored) == draft.fingerprint(talk)


class TestALockedConversation:
    def test_stalls_only_what_goes_into_it(self, ada, ben, cyd):
        stuck, free = direct(ada, ben), direct(ada, cyd)
        drafts = [Draft(ada.user_id, "x", conversation_id=talk) for talk in (stuck, free)]

        def hold():
            with transaction.atomic():
                Conversation.objects.select_for_update().get(conversation_id=stuck)
                answers = in_parallel([lambda: operations.send_many(drafts)])[0]
            return [type(answer) for answer in answers]

        if connection.vendor != "postgresql":  # one writer, or no skipping: everything waits
            return
        assert hold() == [Unavailable, operations.Sent]

    def test_of_a_hidden_direct_is_brought_back(self, ada, ben):
        talk = write_to(ada, ben).conversation_id
        conversations.leave(viewer=ben, conversation_id=talk)

        answers = operations.send_many(
            [Draft(ada.user_id, "x", conversation_id=talk) for _ in range(3)]
        )

        assert [answer.message.seq for answer in answers] == [2, 3, 4]
        assert Participant.objects.get(user=ben, conversation_id=talk).left_at is None


class TestABatch:
    def test_takes_a_reply_only_in_its_own_conversation(self, ada, ben, cyd):
        talk, elsewhere = direct(ada, ben), direct(ada, cyd)
        first, other = say(ada, talk), say(ada, elsewhere)
        plain = Draft(ada.user_id, "x", conversation_id=talk, reply_to=first.message_id)
        crossed = replace(plain, conversation_id=elsewhere)

        answers = operations.send_many(
            [
                plain,
                crossed,
                Draft(ada.user_id, "y", conversation_id=talk, reply_to=other.message_id),
            ]
        )

        assert [getattr(a, "code", "sent") for a in answers] == [
            "sent",
            "does_not_exist",
            "does_not_exist",
        ]

    @pytest.mark.parametrize("by_people", [True, False])
    def test_costs_the_same_for_few_and_many(self, ada, person, by_people):
        others = [person(f"other{n}") for n in range(9)]
        talks = [direct(ada, other) for other in others]
        first = [say(ada, talk).message_id for talk in talks]

        def draft(n):
            where = {"recipient_ids": (others[n].user_id,)}
            where = where if by_people else {"conversation_id": talks[n]}
            return Draft(ada.user_id, "x", client_id=f"c{n}", reply_to=first[n], **where)

        def cost(drafts):
            with CaptureQueriesContext(connection) as asked:
                sending._write_portably(drafts)
                sending._write_portably(drafts)  # which finds them
            return len(asked)

        assert cost([draft(0), draft(1)]) == cost([draft(n) for n in range(2, 9)])

    def test_is_written_by_one_insert(self, ada, ben):
        talk = direct(ada, ben)
        drafts = [Draft(ada.user_id, "x", conversation_id=talk) for _ in range(3)]

        with CaptureQueriesContext(connection) as asked:
            sending._write_portably(drafts)

        sql = [str(each["sql"]) for each in asked]
        written = [each for each in sql if "INTO messaging_message " in each]
        assert len(written) == 1
        assert " times: " not in written[0]

    def test_that_fails_half_way_leaves_nothing(self, ada, ben):
        drafts = [Draft(ada.user_id, "x", conversation_id=direct(ada, ben)) for _ in range(3)]

        with patch.object(Talk, "add"), pytest.raises(IntegrityError):  # all have one number
            sending._write_portably(drafts)

        assert not Message.objects.exists()

    @pytest.mark.parametrize("way", [sending._write, sending._write_portably])
    @pytest.mark.parametrize("is_standing", [True, False])
    def test_decides_a_repeated_draft_once(self, ada, ben, way, is_standing):
        where = {"conversation_id": direct(ada, ben)} if is_standing else {}
        taken = Draft(ada.user_id, "x", client_id="a", recipient_ids=(ben.user_id,), **where)
        refused = replace(taken, reply_to=NOWHERE)  # its client id is taken by its second time

        with patch.object(sending, "_write", way):
            answers = operations.send_many([refused, taken, refused, taken])

        assert [getattr(a, "code", "sent") for a in answers] == ["does_not_exist", "sent"] * 2
        assert [a.is_new for a in answers[1::2]] == [True, False]
