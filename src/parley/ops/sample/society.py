"""The plan of a sample: who talks with whom, how much, and what they have read of it.

Few people are in very many conversations and few conversations hold very many messages (both by
Zipf's law), most hold a handful; some members are far behind, some have left, and here and there
something is starred, kept unread or removed. The same seed plans the same society.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from uuid import UUID

from parley.accounts.models import User
from parley.conversations.models import Kind, MemberRole
from parley.kernel import ids
from parley.messaging.models import Flag
from parley.messaging.operations.loading import History, Member, Said
from parley.ops.sample.texts import FAMILY_NAMES, LANGUAGES, TITLES, Language

SKEW_OF_PEOPLE = 0.8
SKEW_OF_TALK = 0.9
SPAN = timedelta(days=365)
LARGEST_GROUP = 2_000
MARKED_MEMBERS = 40  # marks are drawn among the first members of a large group

# How often.
DIRECT = 0.7
TITLED = 0.8
GONE = 0.02
ARCHIVED = 0.05
MUTED = 0.03
PINNED = 0.02
READ_ALL = 0.7
FAR_BEHIND = 0.08
ONE_SAYING = 0.7
REPLY = 0.05
EDITED = 0.01
RETRACTED = 0.005
MARKED = 0.02

MARKS = (Flag.STARRED, Flag.REMOVED, Flag.KEPT, Flag.READ)


@dataclass(frozen=True, slots=True)
class Plan:
    """A conversation to be, before anybody has said anything."""

    kind: str
    people: tuple[int, ...]
    length: int
    created_at: datetime
    active_at: datetime


def shares(count: int, total: int, *, skew: float) -> list[int]:
    """Divide ``total`` into ``count`` whole parts by Zipf's law, the largest first."""
    if not count:
        return []
    weights = [1 / rank**skew for rank in range(1, count + 1)]
    scale = total / sum(weights)
    bounds = [round(edge * scale) for edge in accumulate(weights, initial=0.0)]
    return [high - low for low, high in pairwise(bounds)]


class Society:
    """People and plans, from one source of chance."""

    def __init__(self, *, users: int, seed: int, now: datetime, name: str) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a sample guards nothing
        self.now = now
        self.name = name
        self.ids = [ids.new_id(at=self._past(now)) for _ in range(users)]
        self._languages = self.chance.choices(LANGUAGES, [one.weight for one in LANGUAGES], k=users)
        ranks = list(range(1, users + 1))
        self.chance.shuffle(ranks)
        self._popularity = list(accumulate(1 / rank**SKEW_OF_PEOPLE for rank in ranks))

    def _past(self, until: datetime) -> datetime:
        return until - SPAN * self.chance.random()

    def _happens(self, share: float) -> bool:
        return self.chance.random() < share

    # --- people

    def users(self, *, password: str) -> Iterator[User]:
        """Return the people; ``password`` is a hash, and everybody's."""
        for n, (user_id, language) in enumerate(zip(self.ids, self._languages, strict=True)):
            yield User(
                user_id=user_id,
                username=f"{self.name}-{n}",
                email=f"{self.name}-{n}@example.org",
                first_name=self.chance.choice(language.names),
                last_name=self.chance.choice(FAMILY_NAMES),
                password=password,
                created_at=self.now - SPAN,
            )

    # --- who talks with whom

    def plans(self, *, conversations: int, messages: int) -> list[Plan]:
        """Return the conversations to be, the longest quiet first, as they would have come."""
        lengths = shares(conversations, messages, skew=SKEW_OF_TALK)
        pairs: set[frozenset[int]] = set()
        plans = [self._plan(length, pairs) for length in lengths]
        return sorted(plans, key=lambda plan: plan.active_at)

    def _plan(self, length: int, pairs: set[frozenset[int]]) -> Plan:
        active_at = self.now - SPAN * self.chance.random() ** 3
        created_at = active_at - (SPAN * self.chance.random() if length else timedelta(0))
        pair = self._pair(pairs) if self._happens(DIRECT) else None
        people = pair or self._circle()
        kind = Kind.DIRECT if pair else Kind.GROUP
        return Plan(kind, people, length, created_at, active_at)

    def _pair(self, pairs: set[frozenset[int]]) -> tuple[int, ...] | None:
        """Return two who have no direct conversation yet, if they are found soon."""
        for _ in range(20):
            pair = frozenset(self._draw(2))
            if len(pair) > 1 and pair not in pairs:
                pairs.add(pair)
                return tuple(pair)
        return None

    def _circle(self) -> tuple[int, ...]:
        wanted = min(int(3 * self.chance.paretovariate(1.2)), LARGEST_GROUP, len(self.ids))
        return tuple(dict.fromkeys(self._draw(wanted)))

    def _draw(self, count: int) -> list[int]:
        people = range(len(self.ids))
        return self.chance.choices(people, cum_weights=self._popularity, k=count)

    # --- what they say

    def history(self, plan: Plan) -> History:
        """Return a plan's conversation; what is said in it comes while it is read."""
        members = [self._member(plan, place) for place in range(len(plan.people))]
        is_titled = plan.kind == Kind.GROUP and self._happens(TITLED)
        return History(
            kind=plan.kind,
            title=self.chance.choice(TITLES) if is_titled else "",
            created_at=plan.created_at,
            members=members,
            said=self._said(plan, members),
        )

    def _member(self, plan: Plan, place: int) -> Member:
        is_owner = plan.kind == Kind.GROUP and place == 0
        return Member(
            user_id=self.ids[plan.people[place]],
            member_role=MemberRole.OWNER if is_owner else MemberRole.MEMBER,
            read_seq=self._read_seq(plan.length),
            is_gone=place > 0 and self._happens(GONE),
            is_archived=self._happens(ARCHIVED),
            muted_until=self.now + timedelta(days=30) if self._happens(MUTED) else None,
            pinned_at=plan.active_at if self._happens(PINNED) else None,
        )

    def _read_seq(self, length: int) -> int:
        """Most have read everything, some are a little behind, a few have not looked for long."""
        if self._happens(READ_ALL):
            return length
        if self._happens(FAR_BEHIND):
            return int(length * self.chance.random())
        return max(0, length - int(self.chance.expovariate(1 / 8)) - 1)

    def _said(self, plan: Plan, members: Sequence[Member]) -> Iterator[Said]:
        chance, language = self.chance, self._languages[plan.people[0]]
        people = [member.user_id for member in members]
        talkative = list(accumulate(1 / rank for rank in range(1, len(people) + 1)))
        step = (plan.active_at - plan.created_at) / max(1, plan.length)
        for n in range(plan.length):
            [sender] = chance.choices(people, cum_weights=talkative)
            yield Said(
                sender_id=sender,
                message_body=self._body(language),
                sent_at=plan.created_at + step * (n + chance.random()),
                is_reply=self._happens(REPLY),
                is_edited=self._happens(EDITED),
                is_retracted=self._happens(RETRACTED),
                marks=self._marks(people) if self._happens(MARKED) else (),
            )

    def _body(self, language: Language) -> str:
        count = 1 if self._happens(ONE_SAYING) else self.chance.randint(2, 6)
        return " ".join(self.chance.choices(language.sayings, k=count))

    def _marks(self, people: Sequence[UUID]) -> list[tuple[UUID, Flag]]:
        return [(self.chance.choice(people[:MARKED_MEMBERS]), self.chance.choice(MARKS))]
