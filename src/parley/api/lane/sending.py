"""Sending in the lane: checked as the serializers check, and sent together with all others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from parley.accounts import express
from parley.api.fields import LONGEST_NAME
from parley.api.lane.answers import Answer, encode
from parley.api.lane.credentials import Proved
from parley.api.lane.requests import Arrived, NotMine
from parley.http import wire
from parley.kernel import ids
from parley.kernel.errors import Invalid
from parley.kernel.text import check_text
from parley.messaging.drafts import LONGEST_CLIENT_ID, LONGEST_SUBJECT, Draft
from parley.messaging.group_commit import group
from parley.messaging.seen import Sent

Prepared = Callable[[], Awaitable[Answer]]
PLACES = ("conversation", "recipient", "recipients")


async def prepare_in(request: Arrived, proved: Proved, conversation_id: UUID) -> Prepared:
    """Return what answers ``POST /api/conversations/{id}/messages/``."""
    draft = _draft(request, proved, request.json(), conversation_id=conversation_id)
    return partial(_send, draft, proved)


async def prepare(request: Arrived, proved: Proved) -> Prepared:
    """Return what answers ``POST /api/messages/``, into a conversation or to one person.

    :raises NotMine: to several, to nobody, or to someone unknown.
    """
    body = request.json()
    given = [name for name in PLACES if name in body]
    if given == ["conversation"]:
        draft = _draft(request, proved, body, conversation_id=_id(body["conversation"]))
        return partial(_send, draft, proved)
    if given != ["recipient"]:
        raise NotMine
    recipient_id = await express.find_recipient(name=_text(body, "recipient", LONGEST_NAME))
    if recipient_id is None:
        raise NotMine
    draft = _draft(request, proved, body, recipient_ids=(recipient_id,))
    return partial(_send, draft, proved)


async def _send(draft: Draft, proved: Proved) -> Answer:
    """Send it, and answer with the message.

    :raises Refusal: as :meth:`GroupCommit.send` does.
    """
    sent: Sent = await group().send(draft)
    people = wire.People({proved.viewer.user_id: proved.person})
    return Answer(201 if sent.is_new else 200, encode(wire.message(sent.message, people)))


def _draft(request: Arrived, proved: Proved, body: Mapping[str, Any], **where: Any) -> Draft:
    reply_to = body.get("reply_to")
    return Draft(
        sender_id=proved.viewer.user_id,
        message_body=_text(body, "message_body", settings.PARLEY.message_length),
        subject=_text(body, "subject", LONGEST_SUBJECT, blank=True) if "subject" in body else "",
        client_id=_client_id(request, body),
        reply_to=None if reply_to is None else _id(reply_to),
        **where,
    )


def _client_id(request: Arrived, body: Mapping[str, Any]) -> str | None:
    """Return the name that a retry would bear again: from the body or its header."""
    named = None
    if body.get("client_id") is not None:
        named = _text(body, "client_id", LONGEST_CLIENT_ID)
    header = request.headers.get(b"idempotency-key")
    if header is None:
        return named
    if not header.isascii() or (named is not None and named.encode() != header):
        raise NotMine
    return _text({"key": header.decode()}, "key", LONGEST_CLIENT_ID)


def _text(body: Mapping[str, Any], name: str, longest: int, *, blank: bool = False) -> str:
    """Return a text of the body.

    :raises NotMine: it is none, or may not be stored; the serializers say what is wrong.
    """
    found = body.get(name)
    if not isinstance(found, str):
        raise NotMine
    try:
        return check_text(found, attr=name, longest=longest, may_be_blank=blank)
    except Invalid:
        raise NotMine from None


def _id(text: object) -> UUID:
    found = ids.parse(text) if isinstance(text, str) else None
    if found is None:
        raise NotMine
    return found
