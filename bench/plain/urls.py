"""Messages, conversations and what is unread, by model serializers and view sets."""

from typing import Any
from uuid import uuid4

from django.db import transaction
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.response import Response

from parley.accounts.models import User
from parley.conversations.models import Conversation, Participant
from parley.messaging.models import Flag, Mark, Message


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["user_id", "username", "first_name", "last_name", "role", "created_at"]


class MessageSerializer(serializers.ModelSerializer):
    sender = UserSerializer(read_only=True)

    class Meta:
        model = Message
        fields = [
            *("message_id", "sender", "message_body", "sent_at", "conversation", "subject", "seq"),
            *("revision", "client_id", "reply_to", "edited_at", "retracted_at"),
        ]
        read_only_fields = ["message_id", "sent_at", "conversation", "seq", "revision"]
        validators = []


class ParticipantSerializer(serializers.ModelSerializer):
    user = UserSerializer(read_only=True)

    class Meta:
        model = Participant
        fields = ["user", "member_role", "read_seq", "delivered_seq", "joined_at"]


class ConversationSerializer(serializers.ModelSerializer):
    participants = ParticipantSerializer(many=True, read_only=True)
    last_message = serializers.SerializerMethodField()
    unread_count = serializers.SerializerMethodField()

    class Meta:
        model = Conversation
        fields = [
            *("conversation_id", "participants", "created_at", "kind", "title", "last_seq"),
            *("revision", "changed_at", "last_message", "unread_count"),
        ]

    def get_last_message(self, conversation):
        last = conversation.messages.select_related("sender").order_by("-seq").first()
        return last and MessageSerializer(last).data

    def get_unread_count(self, conversation):
        mine = conversation.participants.get(user=self.context["request"].user)
        newer = conversation.messages.filter(seq__gt=mine.watermark, retracted_at=None)
        return newer.exclude(sender=mine.user_id).count()


class Pages(LimitOffsetPagination):
    default_limit = 50

    def get_count(self, queryset):  # counting a history is not what is compared here
        return 0

    def paginate_queryset(self, queryset, request, view=None):
        self.limit, self.count, self.offset = self.get_limit(request), 0, 0
        return list(queryset[: self.limit])

    def get_paginated_response(self, data):
        return Response({"next": None, "previous": None, "results": data})


class HistoryViewSet(viewsets.ModelViewSet):
    serializer_class = MessageSerializer
    pagination_class = Pages

    def get_queryset(self):
        found = Message.objects.filter(
            conversation_id=self.kwargs["conversation_id"],
            conversation__participants__user=self.request.user,
        )
        return found.select_related("sender").order_by("-seq")

    @transaction.atomic
    def perform_create(self, serializer: Any) -> None:
        talks = Conversation.objects.select_for_update()
        talk = get_object_or_404(talks, pk=self.kwargs["conversation_id"])
        get_object_or_404(talk.participants, user=self.request.user, left_at=None)
        talk.last_seq += 1
        talk.revision += 1
        talk.active_at = talk.changed_at = timezone.now()
        talk.save()
        serializer.save(
            message_id=uuid4(),
            sender=self.request.user,
            conversation=talk,
            seq=talk.last_seq,
            revision=talk.revision,
            gen=talk.gen,
            sent_at=talk.active_at,
        )


class MessageViewSet(viewsets.ModelViewSet):
    serializer_class = MessageSerializer
    lookup_url_kwarg = "message_id"

    def get_queryset(self):
        found = Message.objects.filter(conversation__participants__user=self.request.user)
        return found.select_related("sender")

    @action(detail=True, methods=["put"])
    def star(self, request, message_id):
        message = self.get_object()
        Mark.objects.update_or_create(
            user=request.user,
            conversation_id=message.conversation_id,
            seq=message.seq,
            defaults={"flags": Flag.STARRED, "starred_sent_at": message.sent_at},
            create_defaults={
                "message_id": message.message_id,
                "flags": Flag.STARRED,
                "starred_sent_at": message.sent_at,
                "version": 1,
                "gen": 1,
            },
        )
        return Response(self.get_serializer(message).data)


class UserViewSet(viewsets.ReadOnlyModelViewSet):
    serializer_class = UserSerializer
    pagination_class = Pages
    queryset = User.objects.order_by("username")


class ParticipantViewSet(viewsets.ReadOnlyModelViewSet):
    serializer_class = ParticipantSerializer
    pagination_class = Pages

    def get_queryset(self):
        found = Participant.objects.filter(
            conversation_id=self.kwargs["conversation_id"],
            conversation__participants__user=self.request.user,
            left_at=None,
        )
        return found.select_related("user").order_by("joined_at", "user_id")


class ConversationViewSet(viewsets.ModelViewSet):
    serializer_class = ConversationSerializer
    pagination_class = Pages
    lookup_url_kwarg = "conversation_id"

    def get_queryset(self):
        mine = Conversation.objects.filter(participants__user=self.request.user)
        return mine.prefetch_related("participants__user").order_by("-active_at")

    @action(detail=True, methods=["post"])
    @transaction.atomic
    def read(self, request, conversation_id):
        mine = get_object_or_404(
            Participant.objects.select_for_update(of=("self",)).select_related("conversation"),
            user=request.user,
            conversation_id=conversation_id,
        )
        mine.watermark = max(mine.watermark, min(request.data["seq"], mine.conversation.last_seq))
        mine.read_seq = max(mine.read_seq, mine.watermark)
        mine.save()
        newer = mine.conversation.messages.filter(seq__gt=mine.watermark)
        unread = newer.exclude(sender=request.user).count()
        return Response({"read_seq": mine.read_seq, "unread_count": unread})

    @action(detail=False)
    def unread(self, request):
        messages = conversations = 0
        for mine in Participant.objects.filter(user=request.user).select_related("conversation"):
            newer = mine.conversation.messages.filter(seq__gt=mine.watermark)
            count = newer.exclude(sender=request.user).count()
            messages, conversations = messages + count, conversations + bool(count)
        return Response({"messages": messages, "conversations": conversations})

    @action(detail=False)
    def sync(self, request):
        changed = self.get_queryset().filter(changed_at__gt=timezone.now())
        return Response({"conversations": self.get_serializer(changed, many=True).data})


TALK = "api/conversations/<uuid:conversation_id>/"
LIST = {"get": "list", "post": "create"}
urlpatterns = [
    path("api/conversations/", ConversationViewSet.as_view({"get": "list"})),
    path(TALK, ConversationViewSet.as_view({"get": "retrieve"})),
    path(f"{TALK}participants/", ParticipantViewSet.as_view({"get": "list"})),
    path("api/messages/<uuid:message_id>/", MessageViewSet.as_view({"get": "retrieve"})),
    path("api/messages/<uuid:message_id>/star/", MessageViewSet.as_view({"put": "star"})),
    path("api/users/", UserViewSet.as_view({"get": "list"})),
    path(f"{TALK}messages/", HistoryViewSet.as_view(LIST)),
    path(f"{TALK}read/", ConversationViewSet.as_view({"post": "read"})),
    path("api/unread/", ConversationViewSet.as_view({"get": "unread"})),
    path("api/sync/", ConversationViewSet.as_view({"get": "sync"})),
]
