"""Messages: sending, reading, marking, changing, removing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import queries as accounts
from parley.accounts.queries import UnknownPerson
from parley.api.bases import BaseViewSet, KeyMismatch, client_id
from parley.api.schema import PAGED, operation, page_of
from parley.api.serializers import (
    MessageBodySerializer,
    MessageSerializer,
    NewLetterSerializer,
    NewMessageSerializer,
    ReceiptSerializer,
)
from parley.conversations.operations import Blocked, ConversationNotFound
from parley.http.parameters import Choice, Exclusive, Flag, Id, Place, only_one
from parley.http.throttling import SendThrottle
from parley.messaging import operations, queries
from parley.messaging.drafts import Draft
from parley.messaging.queries import Places
from parley.messaging.refusals import (
    ClientIdReused,
    MayNotRetract,
    MessageNotFound,
    NotTheSender,
    Retracted,
    UnknownReply,
)
from parley.messaging.seen import SeenMessage

BOX = Choice("box", "Which side of it.", default="all", words=("all", "inbox", "sent"))
UNREAD = Flag("unread", "`true`: only what I have not read.")
STARRED = Flag("starred", "`true`: only what I starred.")
CONVERSATION = Id("conversation", "Only of this conversation.")
WITH = Id("with", "Only of my direct conversation with this user.")
FOR = Choice(
    "for",
    "`me`: it is gone for me alone. `everyone`: it is retracted; a tombstone stays.",
    default="me",
    words=("me", "everyone"),
)
BEFORE = Place("before", "Only what came before this `seq`.")
AFTER = Place("after", "Only what came after this `seq`, oldest first.")
AROUND = Place("around", "What is around this `seq`, and the message itself.")
CHANGED_AFTER = Place("changed_after", "Only what changed after this revision, in that order.")
PLACES = (BEFORE, AFTER, AROUND, CHANGED_AFTER)


def read_places(query: Mapping[str, str]) -> Places:
    """Return from where on, or around what, a history is asked for.

    :raises Invalid: not as it may be asked.
    """
    only_one(query, *PLACES)
    return {
        "before": BEFORE.read(query),
        "after": AFTER.read(query),
        "around": AROUND.read(query),
        "changed_after": CHANGED_AFTER.read(query),
    }


SENDING = (KeyMismatch, UnknownReply, ConversationNotFound, Blocked, ClientIdReused)


class SendingViewSet(BaseViewSet):
    """What sends messages; sends have a rate of their own."""

    def get_throttles(self) -> list[Any]:
        return [SendThrottle()] if self.action == "create" else super().get_throttles()

    def shown_message(self, seen: SeenMessage, status: int = 200) -> Response:
        return self.shown(MessageSerializer, seen, self.people([seen.sender_id]), status)

    def send(self, body: dict[str, Any], **where: Any) -> Response:
        """Send what a body says, and answer with the message: 201, or 200 if sent before."""
        sent = operations.send(self.draft(body, **where))
        answer = status.HTTP_201_CREATED if sent.is_new else status.HTTP_200_OK
        return self.shown_message(sent.message, answer)

    def draft(self, body: dict[str, Any], **where: Any) -> Draft:
        return Draft(
            sender_id=self.viewer.user_id,
            message_body=body["message_body"],
            subject=body.get("subject", ""),
            client_id=client_id(self.request, body),
            reply_to=body.get("reply_to"),
            **where,
        )


class HistoryViewSet(SendingViewSet):
    """The messages of one conversation."""

    @operation(
        answers={200: page_of(MessageSerializer)},
        takes=(*PLACES, *PAGED),
        refuses=(Exclusive, ConversationNotFound),
    )
    def list(self, request: Request, conversation_id: UUID) -> Response:
        """A conversation's messages, newest first; with `after` and `changed_after` oldest first.

        `before`, `after`, `around` and `changed_after` exclude each other.
        """
        found = queries.list_history(
            viewer=self.viewer,
            conversation_id=conversation_id,
            **read_places(request.query_params),
            position=self.position,
            size=self.size,
        )
        return self.page(found, MessageSerializer, SeenMessage.people)

    @operation(
        answers={201: MessageSerializer, 200: MessageSerializer},
        body=NewMessageSerializer,
        refuses=SENDING,
        idempotent=True,
    )
    def create(self, request: Request, conversation_id: UUID) -> Response:
        """Write in a conversation; the same `client_id` again answers 200 with the first."""
        return self.send(self.body(), conversation_id=conversation_id)


class MessageViewSet(SendingViewSet):
    """Messages across my conversations."""

    @operation(
        answers={200: page_of(MessageSerializer)},
        takes=(BOX, UNREAD, STARRED, CONVERSATION, WITH, *PAGED),
        refuses=(ConversationNotFound,),
    )
    def list(self, request: Request) -> Response:
        """Messages across my conversations, newest first."""
        query = request.query_params
        found = queries.list_messages(
            viewer=self.viewer,
            box=BOX.read(query),
            unread_only=UNREAD.read(query),
            starred_only=STARRED.read(query),
            conversation_id=CONVERSATION.read(query),
            with_user_id=WITH.read(query),
            position=self.position,
            size=self.size,
        )
        return self.page(found, MessageSerializer, SeenMessage.people)

    @operation(
        answers={201: MessageSerializer, 200: MessageSerializer},
        body=NewLetterSerializer,
        refuses=(UnknownPerson, *SENDING),
        idempotent=True,
    )
    def create(self, request: Request) -> Response:
        """Send a message: into a conversation, to one person, or to several, who make a new group.

        The same `client_id` again answers 200 with the first message, whatever happened to it
        since.
        """
        body = self.body()
        if "conversation" in body:
            return self.send(body, conversation_id=body["conversation"])
        try:
            people = _recipients(body)
        except UnknownPerson as unknown:
            return self._sent_before(body, unknown)
        return self.send(body, recipient_ids=people)

    def _sent_before(self, body: dict[str, Any], unknown: UnknownPerson) -> Response:
        """Answer a retry to people who were deactivated since its first message.

        :raises UnknownPerson: it is none.
        """
        people = _recipients(body, once_active=True)
        sent = operations.find_sent(self.draft(body, recipient_ids=people))
        if sent is None:
            raise unknown
        return self.shown_message(sent.message)

    @operation(answers={200: MessageSerializer}, refuses=(MessageNotFound,))
    def retrieve(self, request: Request, message_id: UUID) -> Response:
        """One message."""
        return self.shown_message(queries.get_message(viewer=self.viewer, message_id=message_id))

    @operation(
        answers={200: MessageSerializer},
        body=MessageBodySerializer,
        refuses=(MessageNotFound, NotTheSender, Retracted),
    )
    def update(self, request: Request, message_id: UUID) -> Response:
        """Write it anew, as its sender."""
        seen = operations.edit_message(
            editor=self.viewer, message_id=message_id, message_body=self.body()["message_body"]
        )
        return self.shown_message(seen)

    partial_update = update

    @operation(answers={204: None}, takes=(FOR,), refuses=(MessageNotFound, MayNotRetract))
    def destroy(self, request: Request, message_id: UUID) -> Response:
        """Remove it for me; for everyone, as its sender, an owner of the group or an admin."""
        if FOR.read(request.query_params) == "everyone":
            operations.retract_message(actor=self.viewer, message_id=message_id)
        else:
            operations.remove_message(viewer=self.viewer, message_id=message_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @operation(answers={200: MessageSerializer}, refuses=(MessageNotFound,))
    def set_read(self, request: Request, message_id: UUID) -> Response:
        """I have read this one message."""
        return self._marked(message_id, read=True)

    @operation(answers={200: MessageSerializer}, refuses=(MessageNotFound,))
    def set_unread(self, request: Request, message_id: UUID) -> Response:
        """Keep this one message unread."""
        return self._marked(message_id, read=False)

    @operation(answers={200: MessageSerializer}, refuses=(MessageNotFound,))
    def star(self, request: Request, message_id: UUID) -> Response:
        """Star it, for myself."""
        return self._starred(message_id, starred=True)

    @operation(answers={200: MessageSerializer}, refuses=(MessageNotFound,))
    def unstar(self, request: Request, message_id: UUID) -> Response:
        """Take the star away."""
        return self._starred(message_id, starred=False)

    def _marked(self, message_id: UUID, *, read: bool) -> Response:
        return self.shown_message(
            operations.set_message_read(viewer=self.viewer, message_id=message_id, read=read)
        )

    def _starred(self, message_id: UUID, *, starred: bool) -> Response:
        return self.shown_message(
            operations.set_message_starred(
                viewer=self.viewer, message_id=message_id, starred=starred
            )
        )


class ReceiptViewSet(BaseViewSet):
    """Who has had a message."""

    @operation(answers={200: page_of(ReceiptSerializer)}, takes=PAGED, refuses=(MessageNotFound,))
    def list(self, request: Request, message_id: UUID) -> Response:
        """Who has had it, and who has read it."""
        found = queries.list_receipts(
            viewer=self.viewer, message_id=message_id, position=self.position, size=self.size
        )
        return self.page(found, ReceiptSerializer, lambda receipt: [receipt.user_id])


def _recipients(body: dict[str, Any], *, once_active: bool = False) -> tuple[UUID, ...]:
    """Return the ids of the people whom a letter names; with ``once_active`` deactivated ones too.

    :raises UnknownPerson: there is no such active user; ``attr`` is the field that names them.
    """
    attr = "recipient" if "recipient" in body else "recipients"
    names = [body["recipient"]] if attr == "recipient" else body["recipients"]
    try:
        return tuple(accounts.find_recipients(names=names, once_active=once_active))
    except UnknownPerson as unknown:
        raise UnknownPerson(unknown.detail, attr=attr) from None
