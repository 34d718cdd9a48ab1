"""The addresses of the canonical API."""

from __future__ import annotations

from django.urls import include, path, register_converter

from parley.api.bases import address
from parley.api.blocks import BlockViewSet
from parley.api.conversations import ConversationViewSet, ParticipantViewSet
from parley.api.converters import IdConverter
from parley.api.messages import HistoryViewSet, MessageViewSet, ReceiptViewSet
from parley.api.news import SyncViewSet, UnreadViewSet
from parley.api.root import RedocView, RootView, SchemaView, SwaggerView
from parley.api.tickets import TicketViewSet

register_converter(IdConverter, "id")

app_name = "api"

LIST = {"get": "list", "post": "create"}
READ = {"get": "retrieve"}
DETAIL = READ | {"put": "update", "patch": "partial_update", "delete": "destroy"}
CONVERSATION = "conversations/<id:conversation_id>/"
MESSAGE = "messages/<id:message_id>/"


urlpatterns = [
    path("", RootView.as_view(), name="root"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", SwaggerView.as_view(), name="docs"),
    path("redoc/", RedocView.as_view(), name="redoc"),
    path("", include("parley.api.accounts.urls")),
    address("conversations/", ConversationViewSet, LIST, "conversations"),
    address(
        CONVERSATION,
        ConversationViewSet,
        DETAIL,
        "conversation",
        below=("history", "participants", "conversation-read", "conversation-unread"),
    ),
    address(f"{CONVERSATION}read/", ConversationViewSet, {"post": "read"}, "conversation-read"),
    address(
        f"{CONVERSATION}unread/", ConversationViewSet, {"post": "unread"}, "conversation-unread"
    ),
    address(f"{CONVERSATION}participants/", ParticipantViewSet, LIST, "participants"),
    address(
        f"{CONVERSATION}participants/<id:user_id>/",
        ParticipantViewSet,
        {"patch": "partial_update", "delete": "destroy"},
        "participant",
    ),
    address(f"{CONVERSATION}messages/", HistoryViewSet, LIST, "history"),
    address("messages/", MessageViewSet, LIST, "messages"),
    address(
        MESSAGE,
        MessageViewSet,
        DETAIL,
        "message",
        below=("message-read", "message-star", "receipts"),
    ),
    address(
        f"{MESSAGE}read/",
        MessageViewSet,
        {"put": "set_read", "delete": "set_unread"},
        "message-read",
    ),
    address(f"{MESSAGE}star/", MessageViewSet, {"put": "star", "delete": "unstar"}, "message-star"),
    address(f"{MESSAGE}receipts/", ReceiptViewSet, {"get": "list"}, "receipts"),
    address("unread/", UnreadViewSet, READ, "unread"),
    address("sync/", SyncViewSet, READ, "sync"),
    address("realtime/ticket/", TicketViewSet, {"post": "create"}, "ticket"),
    address("blocks/", BlockViewSet, {"get": "list"}, "blocks"),
    address(
        "blocks/<id:user_id>/",
        BlockViewSet,
        READ | {"put": "update", "delete": "destroy"},
        "block",
    ),
]
