"""A client that keeps a copy by ``sync`` alone, as the SDK does, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any
from uuid import UUID

from parley.accounts.models import User
from parley.conversations.seen import SeenParticipant
from parley.messaging import queries
from parley.messaging.seen import News, SeenConversation, SeenMessage
from parley.messaging.sync import sync


@dataclass
class Copy:
    """One conversation as the client has it.

    ``against`` holds, by message, the read state of those that are not as the watermark says.
    ``first`` is the first number of the part of the history that it keeps complete.
    """

    header: SeenConversation
    first: int
    messages: dict[UUID, SeenMessage] = field(default_factory=dict)
    against: dict[UUID, bool] = field(default_factory=dict)

    def take_message(self, viewer_id: UUID, message: SeenMessage) -> None:
        known = self.messages.get(message.message_id)
        if known is None or message.revision >= known.revision:
            self.messages[message.message_id] = message
        self.take_state(viewer_id, message.message_id, read=message.read, starred=message.starred)

    def take_state(self, viewer_id: UUID, message_id: UUID, *, read: bool, starred: bool) -> None:
        known = self.messages.get(message_id)
        if known is None:
            return
        self.messages[message_id] = known._replace(starred=starred)
        self.against.pop(message_id, None)
        if read != self.is_read(viewer_id, known):
            self.against[message_id] = read

    def is_read(self, viewer_id: UUID, message: SeenMessage) -> bool:
        by_rule = message.sender_id == viewer_id or message.seq <= self.header.me.watermark
        return self.against.get(message.message_id, by_rule)

    def shown(self, viewer_id: UUID) -> list[SeenMessage]:
        found = [m._replace(read=self.is_read(viewer_id, m)) for m in self.messages.values()]
        return sorted(found, key=lambda m: m.seq)


@dataclass
class Client:
    """A client of one person; ``cursors`` are all it was ever given, with what they continue."""

    viewer: User
    copies: dict[UUID, Copy] = field(default_factory=dict)
    cursors: list[tuple[str, bool]] = field(default_factory=list)
    more: bool = True

    def step(self, *, limit: int, back: int = 0) -> News:
        """Take one page from the last cursor, or from one that is ``back`` places older."""
        begins = not self.cursors
        cursor, is_first = (None, True) if begins else self.cursors[-1 - back % len(self.cursors)]
        if begins:
            self.copies.clear()
        news = sync(viewer=self.viewer, cursor=cursor, limit=limit)
        self._take(news, is_first=is_first)
        self.cursors.append((news.cursor, is_first and news.more))
        self.more = news.more
        return news

    def catch_up(self, *, limit: int = 50) -> None:
        """End the pass that is under way, and take another one: it has what changed meanwhile."""
        if self.more:
            self.take_pass(limit=limit)
        self.take_pass(limit=limit)

    def take_pass(self, *, limit: int = 50) -> None:
        for _ in range(1_000):
            if not self.step(limit=limit).more:
                return
        raise AssertionError("the pass does not end")

    def _take(self, news: News, *, is_first: bool) -> None:
        for seen in news.conversations:
            copy = self.copies.get(seen.conversation_id)
            if copy is None or seen.reset or is_first:
                oldest = min((m.seq for m in seen.messages), default=seen.last_seq + 1)
                copy = self.copies[seen.conversation_id] = Copy(seen, oldest)
            copy.header = seen
            for message in seen.messages:
                copy.take_message(self.viewer.user_id, message)
        for mark in news.marks:
            if mark.conversation_id in self.copies:
                self.copies[mark.conversation_id].take_state(
                    self.viewer.user_id, mark.message_id, read=mark.read, starred=mark.starred
                )
        for conversation_id, message_id in news.removed:
            if conversation_id in self.copies:
                self.copies[conversation_id].messages.pop(message_id, None)
        for conversation_id in news.left:
            self.copies.pop(conversation_id, None)

    # --- what it shows

    def headers(self) -> dict[UUID, dict[str, Any]]:
        """The conversations without their messages, the others' positions aside."""
        return {c: _header(copy.header) for c, copy in self.copies.items()}

    def check_against_a_fresh_one(self) -> None:
        """Fail unless a client that starts now would show the same."""
        fresh = Client(self.viewer)
        fresh.catch_up(limit=7)
        assert self.headers() == fresh.headers()
        for client in (self, fresh):
            for conversation_id, copy in client.copies.items():
                shown = copy.shown(self.viewer.user_id)
                held = {m.message_id for m in shown}
                assert shown == [
                    m
                    for m in _history(self.viewer, conversation_id)
                    if m.seq >= copy.first or m.message_id in held
                ]


def _header(seen: SeenConversation) -> dict[str, Any]:
    left_out = {"messages", "participants", "reset"}
    header = {f.name: getattr(seen, f.name) for f in fields(seen) if f.name not in left_out}
    return header | {"participants": sorted(map(_without_positions, seen.participants), key=str)}


def _without_positions(participant: SeenParticipant) -> SeenParticipant:
    return replace(participant, read_seq=0, delivered_seq=0)


def _history(viewer: User, conversation_id: UUID) -> list[SeenMessage]:
    found: list[SeenMessage] = []
    position = None
    while True:
        page = queries.list_history(
            viewer=viewer, conversation_id=conversation_id, after=0, position=position, size=200
        )
        found += page.items
        position = page.next
        if position is None:
            return found
