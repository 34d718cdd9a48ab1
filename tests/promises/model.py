"""The rules in plain words: who sees what, and what is unread, recounted naively.

Nothing here knows of watermarks, revisions or databases. Each person's unread messages of a
conversation are a set; every rule says what becomes of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID


@dataclass
class Said:
    """A message. Its number is its place in the conversation, from 1."""

    seq: int
    sender: int
    message_id: UUID
    body: str
    is_edited: bool = False
    is_retracted: bool = False


@dataclass
class Talk:
    """A conversation of people, who are numbers; ``present`` are those who are in it now."""

    conversation_id: UUID
    is_direct: bool
    people: set[int]
    present: set[int] = field(default_factory=set)
    said: list[Said] = field(default_factory=list)
    hidden_to: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    unread: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    removed: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    starred: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self.present = set(self.people)

    def send(self, sender: int, message_id: UUID, body: str) -> None:
        """Say something; whoever had hidden the conversation finds it again."""
        message = Said(len(self.said) + 1, sender, message_id, body)
        self.said.append(message)
        if self.is_direct:
            self.present |= self.people
        for person in self.present - {sender}:
            self.unread[person].add(message.seq)

    def read_up_to(self, person: int, seq: int | None) -> None:
        self.unread[person] -= set(range(1, (seq or len(self.said)) + 1))

    def unread_from(self, person: int, seq: int) -> None:
        self.unread[person] |= {m.seq for m in self.said if m.seq >= seq and m.sender != person}

    def set_read(self, person: int, message: Said, *, read: bool) -> None:
        if message.sender == person:
            return
        if read:
            self.unread[person].discard(message.seq)
        else:
            self.unread[person].add(message.seq)

    def remove(self, person: int, message: Said) -> None:
        self.removed[person].add(message.seq)
        self.starred[person].discard(message.seq)

    def join(self, person: int) -> None:
        """Come, or come again: the whole history, and nothing unread."""
        self.people.add(person)
        self.present.add(person)
        self.unread[person].clear()

    def leave(self, person: int) -> None:
        self.present.discard(person)
        if self.is_direct:
            self.hidden_to[person] = len(self.said)
            self.unread[person].clear()

    def visible(self, person: int) -> list[Said]:
        if person not in self.present:
            return []
        return [
            m
            for m in self.said
            if m.seq > self.hidden_to[person] and m.seq not in self.removed[person]
        ]

    def count_unread(self, person: int) -> int:
        return sum(
            m.seq in self.unread[person] and m.sender != person and not m.is_retracted
            for m in self.visible(person)
        )
