"""A page of ``/api/sync/`` in the words of live events: so event streams give what was missed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.http import wire
from parley.messaging import listening
from parley.messaging.cursors import Cursor
from parley.messaging.sight import see_by_id
from parley.realtime.frames import Frame, event

Json = Mapping[str, Any]


def events_of(page: bytes, *, viewer: User, cursor: str) -> list[Frame]:
    """Return the events that a client who held this cursor missed, as the page of its sync says.

    They are those of each conversation by revision, then what is the viewer's own.
    """
    news: Json = json.loads(page)
    known = Cursor.read(cursor, viewer.user_id).known
    wheres = [UUID(shown["conversation_id"]) for shown in news["conversations"]]
    standing, now = listening.find_conversations(wheres), timezone.now()
    frames: list[Frame] = []
    for where, shown in zip(wheres, news["conversations"], strict=True):
        previous = known[where].revision if where in known else 0
        members_rev = standing[where].members_rev if where in standing else 0
        frames += _Telling(where, previous, members_rev, now).all(shown)
    return [*frames, *_marked(news, viewer, now), *_gone(news, viewer, now)]


class _Telling:
    """One conversation's events; each names the revision before it."""

    def __init__(self, where: UUID, previous: int, members_rev: int, now: datetime) -> None:
        self._where, self._previous = where, previous
        self._members_rev, self._now = members_rev, now

    def all(self, shown: Json) -> Iterator[Frame]:
        messages, is_new = shown["messages"], bool(shown.get("reset"))
        header = {"conversation": {**shown, "messages": []}}
        if is_new:
            begins = messages[0]["revision"] - 1 if messages else shown["revision"]
            yield self._event("conversation.created", begins, header)
        unknown = 0 if is_new else _first_new(messages)
        for message in messages:
            type_ = "message.created" if message["seq"] >= unknown else "message.changed"
            yield self._event(type_, message["revision"], {"message": message})
        if not is_new:
            yield self._event("conversation.changed", shown["revision"], header)

    def _event(self, type_: str, revision: int, content: Json) -> Frame:
        beside = {
            "prev_revision": min(self._previous, revision),
            "members_rev": self._members_rev,
        }
        self._previous = revision
        return event(
            type_,
            self._now,
            conversation_id=self._where,
            revision=revision,
            content=content,
            beside=beside,
        )


def _first_new(messages: list[Json]) -> float:
    """Return the ``seq`` from which on messages are not known to the client.

    What nobody changed is in the page because it is new, and so is all after it. Of what was sent
    and changed since, with nothing new before it, that cannot be told; it is given as changed.
    """
    new = (m["seq"] for m in messages if m["edited_at"] is None and m["retracted_at"] is None)
    return min(new, default=float("inf"))


def _marked(news: Json, viewer: User, now: datetime) -> Iterator[Frame]:
    """Tell of messages whose marks changed how they look now."""
    marked = {UUID(mark["message_id"]) for mark in news["marks"]}
    seen = see_by_id(viewer.user_id, marked) if marked else []
    senders = {message.sender_id for message in seen}
    people = wire.People.of(accounts.people(viewer=viewer, user_ids=senders))
    for message in seen:
        shown = {"message": wire.message(message, people)}
        yield event("message.changed", now, conversation_id=message.conversation_id, content=shown)


def _gone(news: Json, viewer: User, now: datetime) -> Iterator[Frame]:
    """Tell of messages that the viewer removed, and of conversations that they are not in."""
    for gone in news["removed"]:
        yield event("message.removed", now, content=gone)
    if news["left"]:
        me = {"user": wire.person(accounts.me(viewer=viewer).without_contact())}
        for where in news["left"]:
            yield event("participant.left", now, conversation_id=UUID(where), content=me)
