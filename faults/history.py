"""The history of a run, and its checker: what was asked and answered, against what is stored.

Every attempt has a body of its own. A sender asks again until it is answered, and only then goes on
to its next message; a message without a client id is asked for once. At the end all conversations
are read back. What must not be found is in ``VIOLATIONS``; where all are 0, nothing acknowledged
was lost, nothing doubled, reordered, or made up: "Z".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

VIOLATIONS = (
    "lost_acked",  # answered as stored, and not there
    "dup_body",  # stored more than once
    "dup_seq",  # two messages bear one number
    "seq_holes",  # numbers are missing
    "sender_out_of_order",  # one sender's later message has the lower number
    "ack_mismatch",  # the answer's id or number is not that of what is stored, or two differ
    "ghost",  # stored, and never sent
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it is read back."""

    message_id: str
    seq: int
    sender: str
    body: str


@dataclass(slots=True)
class Attempt:
    """One message that somebody wanted to send, however often it was asked for."""

    sender: str
    conversation: str
    body: str
    client_id: str | None
    began: float
    acked: float | None = None
    acks: list[tuple[str, int]] = field(default_factory=list)  # (message id, seq), one an answer
    statuses: Counter[int] = field(default_factory=Counter)  # 0 stands for no answer at all

    @property
    def latency(self) -> float:
        """Seconds until it was acknowledged; endless if it never was."""
        return float("inf") if self.acked is None else self.acked - self.began


@dataclass(slots=True)
class History:
    attempts: list[Attempt] = field(default_factory=list)

    def begin(
        self, sender: str, conversation: str, body: str, client_id: str | None, now: float
    ) -> Attempt:
        attempt = Attempt(sender, conversation, body, client_id, now)
        self.attempts.append(attempt)
        return attempt

    @property
    def acked(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.acked is not None]

    def statuses(self) -> Counter[int]:
        return sum((attempt.statuses for attempt in self.attempts), Counter())

    def longest_gap(self) -> float:
        """The longest time, in seconds, in which nobody got an acknowledgement."""
        instants = sorted(a.acked for a in self.attempts if a.acked is not None)
        return max((later - earlier for earlier, later in pairwise(instants)), default=0.0)

    def share_acked_within(self, seconds: float) -> float:
        return sum(a.latency <= seconds for a in self.attempts) / max(len(self.attempts), 1)


def check(history: History, stored: Mapping[str, Sequence[Stored]]) -> dict[str, int]:
    """Count the violations of a history, given the messages of each conversation."""
    found = dict.fromkeys(VIOLATIONS, 0)
    for messages in stored.values():
        numbers = Counter(m.seq for m in messages)
        found["dup_seq"] += sum(times - 1 for times in numbers.values())
        found["seq_holes"] += len(set(range(1, max(numbers, default=0) + 1)) - numbers.keys())
    bodies = Counter(m.body for messages in stored.values() for m in messages)
    found["dup_body"] = sum(times - 1 for times in bodies.values())
    found["ghost"] = len(bodies.keys() - {a.body for a in history.attempts})
    _check_acks(history, stored, found)
    return found


def _check_acks(
    history: History, stored: Mapping[str, Sequence[Stored]], found: dict[str, int]
) -> None:
    by_id = {(where, m.message_id): m for where, messages in stored.items() for m in messages}
    order: dict[tuple[str, str], list[int]] = defaultdict(list)
    for attempt in history.acked:
        message_id, seq = attempt.acks[0]
        kept = by_id.get((attempt.conversation, message_id))
        found["lost_acked"] += kept is None
        if kept is not None:
            is_other = len(set(attempt.acks)) > 1 or (kept.seq, kept.body) != (seq, attempt.body)
            found["ack_mismatch"] += is_other
            order[attempt.sender, attempt.conversation].append(kept.seq)
    for numbers in order.values():
        found["sender_out_of_order"] += sum(a > b for a, b in pairwise(numbers))
