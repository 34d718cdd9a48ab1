"""The addresses of the canonical API."""

from __future__ import annotations

from typing import Any

from django.urls import include, path, register_converter

from parley.api.blocks import BlockViewSet
from parley.api.conversations import ConversationViewSet, ParticipantViewSet
from parley.api.converters import IdConverter
from parley.api.messages import HistoryViewSet, MessageViewSet, ReceiptViewSet
from parley.api.news import SyncViewSet, UnreadViewSet
from parley.api.root import RedocView, RootView, SchemaView, SwaggerView

register_converter(IdConverter, "id")

app_name = "api"

LIST = {"get": "list", "post": "create"}
READ = {"get": "retrieve"}
DETAIL = READ | {"put": "update", "patch": "partial_update", "delete": "destroy"}
CONVERSATION = "conversations/<id:conversation_id>/"
MESSAGE = "messages/<id:message_id>/"


def _path(route: str, view: Any, actions: dict[str, str], name: str) -> Any:
    return path(route, view.as_view(actions, name=view.name), name=name)


urlpatterns = [
    path("", RootView.as_view(), name="root"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", SwaggerView.as_view(), name="docs"),
    path("redoc/", RedocView.as_view(), name="redoc"),
    path("", include("parley.api.accounts.urls")),
    _path("conversations/", ConversationViewSet, LIST, "conversations"),
    _path(CONVERSATION, ConversationViewSet, DETAIL, "conversation"),
    _path(f"{CONVERSATION}read/", ConversationViewSet, {"post": "read"}, "conversation-read"),
    _path(f"{CONVERSATION}unread/", ConversationViewSet, {"post": "unread"}, "conversation-unread"),
    _path(f"{CONVERSATION}participants/", ParticipantViewSet, LIST, "participants"),
    _path(
        f"{CONVERSATION}participants/<id:user_id>/",
        ParticipantViewSet,
        {"patch": "partial_update", "delete": "destroy"},
        "participant",
    ),
    _path(f"{CONVERSATION}messages/", HistoryViewSet, LIST, "history"),
    _path("messages/", MessageViewSet, LIST, "messages"),
    _path(MESSAGE, MessageViewSet, DETAIL, "message"),
    _path(
        f"{MESSAGE}read/",
        MessageViewSet,
        {"put": "set_read", "delete": "set_unread"},
        "message-read",
    ),
    _path(f"{MESSAGE}star/", MessageViewSet, {"put": "star", "delete": "unstar"}, "message-star"),
    _path(f"{MESSAGE}receipts/", ReceiptViewSet, {"get": "list"}, "receipts"),
    _path("unread/", UnreadViewSet, READ, "unread"),
    _path("sync/", SyncViewSet, READ, "sync"),
    _path("blocks/", BlockViewSet, {"get": "list"}, "blocks"),
    _path(
        "blocks/<id:user_id>/",
        BlockViewSet,
        READ | {"put": "update", "delete": "destroy"},
        "block",
    ),
]
