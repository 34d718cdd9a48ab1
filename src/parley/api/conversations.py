"""Conversations, and who is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from parley.api.bases import BaseViewSet
from parley.api.schema import PAGED, operation, page_of
from parley.api.serializers import (
    ConversationChangeSerializer,
    ConversationSerializer,
    MemberRoleSerializer,
    NewConversationSerializer,
    NewParticipantSerializer,
    ParticipantField,
    ParticipantSerializer,
    ReadStateSerializer,
    ReadUpToSerializer,
    UnreadFromSerializer,
)
from parley.conversations import operations, queries
from parley.conversations.models import Kind
from parley.conversations.operations import (
    AlreadyParticipant,
    Blocked,
    ConversationNotFound,
    KindMismatch,
    LastOwner,
    NotAnOwner,
    UnknownParticipant,
)
from parley.http.parameters import USERS, Amount, Choice, Flag
from parley.messaging import operations as messaging
from parley.messaging import queries as messages
from parley.messaging.queries import Filters
from parley.messaging.seen import SeenConversation

ARCHIVED = Flag("archived", "`true`: those I archived, and only those.")
KIND = Choice("kind", "Only conversations of this kind.", words=tuple(Kind.values))
UNREAD = Flag("unread", "`true`: only where something is unread.")
FEW = Amount("messages", "How many of the newest messages to nest: 0–100.", default=1, most=100)
FILTERS = (ARCHIVED, KIND, UNREAD, FEW)
MANY = Amount("messages", "How many of the newest messages to nest: 0–100.", default=20, most=100)


def read_filters(query: Mapping[str, str]) -> Filters:
    """Return which conversations are asked for, and how many messages of each.

    :raises Invalid: not as it may be asked.
    """
    return {
        "archived": ARCHIVED.read(query),
        "kind": KIND.read(query),
        "unread_only": UNREAD.read(query),
        "messages": FEW.read(query),
    }


class ConversationViewSet(BaseViewSet):
    """Conversations that I am in."""

    @operation(answers={200: page_of(ConversationSerializer)}, takes=(*FILTERS, *PAGED))
    def list(self, request: Request) -> Response:
        """My conversations, latest activity first."""
        found = messages.list_conversations(
            viewer=self.viewer,
            **read_filters(request.query_params),
            position=self.position,
            size=self.size,
        )
        return self.page(found, ConversationSerializer, SeenConversation.people)

    @operation(
        answers={201: ConversationSerializer, 200: ConversationSerializer},
        body=NewConversationSerializer,
        takes=(MANY, USERS),
        refuses=(UnknownParticipant, KindMismatch, Blocked),
    )
    def create(self, request: Request) -> Response:
        """Begin a conversation; the caller is always in it.

        Two people and no title: the one direct conversation of that pair, which answers 200 if it
        stands already.
        """
        body, show = self.body(), self._shower()
        conversation_id, is_new = operations.create_conversation(
            creator=self.viewer,
            participant_ids=body["participants"],
            kind=body.get("kind"),
            title=body.get("title", ""),
        )
        return show(conversation_id, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @operation(
        answers={200: ConversationSerializer}, takes=(MANY, USERS), refuses=(ConversationNotFound,)
    )
    def retrieve(self, request: Request, conversation_id: UUID) -> Response:
        """One conversation, with its newest messages."""
        return self._shower()(conversation_id)

    @operation(
        answers={200: ConversationSerializer},
        body=ConversationChangeSerializer,
        takes=(MANY, USERS),
        refuses=(ConversationNotFound, NotAnOwner, UnknownParticipant),
    )
    def update(self, request: Request, conversation_id: UUID) -> Response:
        """Rename a group or name its participants, as an owner; mute, archive or pin it for myself.

        What is left out stays as it is, with PUT as with PATCH.
        """
        body, show = self.body(), self._shower()
        shared = {"title": body.get("title"), "participant_ids": body.get("participants")}
        if any(value is not None for value in shared.values()):
            operations.change_conversation(
                actor=self.viewer, conversation_id=conversation_id, **shared
            )
        if body.get("me"):
            operations.set_own(viewer=self.viewer, conversation_id=conversation_id, **body["me"])
        return show(conversation_id)

    partial_update = update

    @operation(answers={204: None}, refuses=(ConversationNotFound,))
    def destroy(self, request: Request, conversation_id: UUID) -> Response:
        """Leave it: it is gone from my lists. A direct conversation comes back with the next
        message.
        """
        operations.leave(viewer=self.viewer, conversation_id=conversation_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @operation(
        answers={200: ReadStateSerializer},
        body=ReadUpToSerializer,
        refuses=(ConversationNotFound,),
    )
    def read(self, request: Request, conversation_id: UUID) -> Response:
        """I have read everything up to a message; the receipt that others see never moves back."""
        state = messaging.read_up_to(
            viewer=self.viewer, conversation_id=conversation_id, seq=self.body().get("seq")
        )
        return self.shown(ReadStateSerializer, state, None)

    @operation(
        answers={200: ReadStateSerializer},
        body=UnreadFromSerializer,
        refuses=(ConversationNotFound,),
    )
    def unread(self, request: Request, conversation_id: UUID) -> Response:
        """Everything from a message on is unread for me again; others still see that I read it."""
        state = messaging.unread_from(
            viewer=self.viewer, conversation_id=conversation_id, seq=self.body()["seq"]
        )
        return self.shown(ReadStateSerializer, state, None)

    def _shower(self) -> Callable[..., Response]:
        """Return what answers with a conversation as the query wants it: what is wrong with the
        query is said before anything changes.
        """
        n, people_of = MANY.read(self.request.query_params), self.people_of()

        def show(conversation_id: UUID, status: int = 200) -> Response:
            seen = messages.get_conversation(
                viewer=self.viewer, conversation_id=conversation_id, messages=n
            )
            named = people_of(seen.people())
            answer = self.shown(ConversationSerializer, seen, named, status)
            answer.data.update(named.beside())
            return answer

        return show


class ParticipantViewSet(BaseViewSet):
    """Who is in a conversation."""

    @operation(
        answers={200: page_of(ParticipantSerializer, as_field=ParticipantField)},
        takes=PAGED,
        refuses=(ConversationNotFound,),
    )
    def list(self, request: Request, conversation_id: UUID) -> Response:
        """Everyone in a conversation, longest-standing first."""
        found = queries.list_participants(
            viewer=self.viewer,
            conversation_id=conversation_id,
            position=self.position,
            size=self.size,
        )
        return self.page(found, ParticipantSerializer, lambda seen: [seen.user_id])

    @operation(
        answers={201: ParticipantSerializer},
        body=NewParticipantSerializer,
        refuses=(ConversationNotFound, NotAnOwner, UnknownParticipant, AlreadyParticipant),
    )
    def create(self, request: Request, conversation_id: UUID) -> Response:
        """Add someone to a group, as an owner; they see the whole history, with nothing unread."""
        seen = operations.add_participant(
            actor=self.viewer, conversation_id=conversation_id, **self.body()
        )
        return self._answer(seen, status.HTTP_201_CREATED)

    @operation(
        answers={200: ParticipantSerializer},
        body=MemberRoleSerializer,
        refuses=(ConversationNotFound, NotAnOwner, LastOwner),
    )
    def partial_update(self, request: Request, conversation_id: UUID, user_id: UUID) -> Response:
        """Make someone an owner or a member, as an owner."""
        seen = operations.set_member_role(
            actor=self.viewer, conversation_id=conversation_id, user_id=user_id, **self.body()
        )
        return self._answer(seen)

    @operation(answers={204: None}, refuses=(ConversationNotFound, NotAnOwner))
    def destroy(self, request: Request, conversation_id: UUID, user_id: UUID) -> Response:
        """Take someone out of a group, as an owner; anyone may take out themselves."""
        operations.remove_participant(
            actor=self.viewer, conversation_id=conversation_id, user_id=user_id
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _answer(self, seen: Any, status: int = 200) -> Response:
        return self.shown(ParticipantSerializer, seen, self.people([seen.user_id]), status)
