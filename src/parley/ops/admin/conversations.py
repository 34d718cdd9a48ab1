"""Conversations: who is in them, and, on the record, what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from parley.accounts import queries as accounts
from parley.accounts.models import User
from parley.accounts.operations import record
from parley.accounts.people import Person
from parley.conversations.models import Conversation
from parley.conversations.queries import MOST_NESTED, nested_participants
from parley.kernel import ids
from parley.kernel.database import exactly
from parley.messaging.models import Message
from parley.ops.admin.lists import ReadOnlyAdmin, Search, WalkedList, link

NAMED = 3  # so many people stand for a conversation in the list
PAGE = 50


class ConversationList(WalkedList):
    """Each page is listed with the first few people of its conversations: two queries more."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        viewer: Any = request.user
        people = first_people(viewer, self.result_list, NAMED)
        for conversation in self.result_list:
            conversation.first_people = people[conversation.pk]


def first_people(
    viewer: User, conversations: Sequence[Conversation], most: int
) -> dict[UUID, list[Person]]:
    """Return the longest-standing participants of each conversation."""
    nested = nested_participants(conversations)
    named = {p.user_id for found in nested.values() for p in found[:most]}
    people = accounts.people(viewer=viewer, user_ids=named)
    return {
        conversation_id: [people[p.user_id] for p in found[:most] if p.user_id in people]
        for conversation_id, found in nested.items()
    }


class ConversationAdmin(ReadOnlyAdmin[Conversation]):
    list_display = ("named", "kind", "members", "length", "active_at")
    list_filter = ("kind",)
    search_help_text = "A conversation_id, or whose: a username, an e-mail address or a user_id."
    change_form_template = "ops/admin/conversation.html"
    fields = (
        "conversation_id",
        "kind",
        "title",
        "created_at",
        "changed_at",
        "active_at",
        "member_count",
        "last_seq",
        "revision",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConversationList

    @admin.display(description="conversation")
    def named(self, conversation: Conversation) -> str:
        found: list[Person] = conversation.first_people  # type: ignore[attr-defined]
        names = ", ".join(person.username for person in found) or "nobody"
        more = conversation.member_count - len(found)
        people = f"{names} and {more:,} more" if more > 0 else names
        return f"{conversation.title}: {people}" if conversation.title else people

    @admin.display(description="members")
    def members(self, conversation: Conversation) -> str:
        return f"{conversation.member_count:,}"

    @admin.display(description="messages")
    def length(self, conversation: Conversation) -> SafeString:
        address = reverse("admin:messaging_message_changelist")
        return link(f"{address}?q={conversation.conversation_id}", f"{conversation.last_seq:,}")

    def search(self, text: str) -> Search:
        """Find one conversation, or those that someone is or was in; the newest first."""
        order, term = ("-conversation_id",), text.strip()
        if not term:
            return Search(order)
        named = ids.parse(term)
        account = None if named else accounts.find_account(login=term)
        if account is not None:
            return Search(order, {"participants__user_id": account.user_id})
        if named is None:
            return Search(order, finds_nothing=True)
        # Ids are of one kind only, and a person's are looked up faster than they are told apart.
        by = "conversation_id" if self._is_conversation(named) else "participants__user_id"
        return Search(order, {by: named})

    def _is_conversation(self, named: UUID) -> bool:
        return self.model._default_manager.filter(pk=named).exists()  # noqa: SLF001 - Django's name

    # --- one conversation

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        conversation: Conversation = context["original"]
        context |= {"participants": self._participants(request, conversation)}
        context |= {"more_participants": max(0, conversation.member_count - MOST_NESTED)}
        return super().render_change_form(request, context, *args, **kwargs)

    def _participants(self, request: HttpRequest, conversation: Conversation) -> list[Any]:
        found = nested_participants([conversation])[conversation.conversation_id]
        viewer: Any = request.user
        people = accounts.people(viewer=viewer, user_ids=[p.user_id for p in found])
        return [(people.get(p.user_id), p) for p in found]

    # --- what was said

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.read)
        own = path("<path:object_id>/messages/", view, name="conversations_conversation_messages")
        return [own, *super().get_urls()]

    def read(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a page of a conversation, newest first, and record that it was looked at."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        conversation = self.get_object(request, object_id)
        if conversation is None:
            raise Http404
        found = self._page(request, conversation, request.GET.get("before", ""))
        shown = found[:PAGE]
        self._note(request, conversation, shown)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Messages",
            "conversation": conversation,
            "shown": shown,
            "older": shown[-1].seq if len(found) > PAGE else None,
        }
        return TemplateResponse(request, "ops/admin/messages.html", context)

    def _page(self, request: HttpRequest, conversation: Conversation, before: str) -> list[Message]:
        messages = self.admin_site.get_model_admin(Message).get_queryset(request)
        last = int(before) if before.isdecimal() else conversation.last_seq + 1
        found = messages.filter(
            **exactly("conversation_id", conversation.conversation_id),
            seq__lt=min(last, conversation.last_seq + 1),
        )
        return list(found.order_by("-conversation_id", "-seq")[: PAGE + 1])

    def _note(
        self, request: HttpRequest, conversation: Conversation, shown: Sequence[Message]
    ) -> None:
        actor: Any = request.user
        record(
            actor=actor,
            action="conversation.open_messages",
            target_kind="conversation",
            target_id=conversation.conversation_id,
            at=timezone.now(),
            **({"from_seq": shown[-1].seq, "to_seq": shown[0].seq} if shown else {}),
        )
