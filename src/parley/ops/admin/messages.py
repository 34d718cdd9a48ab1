"""Messages: lists that show no words, single ones on the record, and retracting."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib import messages as notes
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from parley.accounts import queries as accounts
from parley.accounts.operations import record
from parley.kernel import ids
from parley.kernel.database import exactly
from parley.kernel.errors import Refusal
from parley.messaging.models import Message
from parley.messaging.operations import retract_message
from parley.ops.admin.lists import PER_PAGE, ReadOnlyAdmin, Search, link, short

BY_TIME = ("-message_id",)  # ids are born in the order of time
BY_SEQ = ("-conversation_id", "-seq")
BY_SENDER = ("-sender_id", "-sent_at", "-message_id")


class MessageAdmin(ReadOnlyAdmin[Message]):
    list_display = ("sent_at", "from_", "where", "seq", "state")
    read_with = ("sender",)
    search_help_text = (
        "A message_id, a conversation_id, or whose: a username, an e-mail address or a user_id."
    )
    actions = ("retract",)
    change_form_template = "ops/admin/message.html"
    fields = (
        "message_id",
        "from_",
        "where",
        "seq",
        "sent_at",
        "edited_at",
        "retracted_at",
        "reply_to",
        "subject",
        "message_body",
    )

    @admin.display(description="from")
    def from_(self, message: Message) -> SafeString:
        return link(reverse("admin:accounts_user_change", args=[message.sender_id]), message.sender)

    @admin.display(description="conversation")
    def where(self, message: Message) -> SafeString:
        key = message.conversation_id
        return link(reverse("admin:conversations_conversation_change", args=[key]), short(key))

    @admin.display(description="state")
    def state(self, message: Message) -> str:
        if message.retracted_at:
            return "retracted"
        return "edited" if message.edited_at else ""

    def search(self, text: str) -> Search:
        """Find one message, those of a conversation, or those that someone sent; newest first."""
        term = text.strip()
        if not term:
            return Search(BY_TIME)
        named = ids.parse(term)
        if named is not None:
            return self._search_id(named)
        account = accounts.find_account(login=term)
        if account is None:
            return Search(BY_TIME, finds_nothing=True)
        return Search(BY_SENDER, exactly("sender_id", account.user_id))

    def _search_id(self, named: UUID) -> Search:
        """Ids are of one kind only; each look-up is one seek."""
        found = self.model._default_manager  # noqa: SLF001 - Django's own name for it
        if found.filter(conversation_id=named).exists():
            return Search(BY_SEQ, exactly("conversation_id", named))
        if found.filter(sender_id=named).exists():
            return Search(BY_SENDER, exactly("sender_id", named))
        return Search(BY_TIME, {"message_id": named})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show one message, and record that it was looked at."""
        message: Message = context["original"]
        actor: Any = request.user
        record(
            actor=actor,
            action="message.open",
            target_kind="message",
            target_id=message.message_id,
            at=timezone.now(),
            conversation=str(message.conversation_id),
            sender=str(message.sender_id),
        )
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description="Retract for everyone", permissions=["view"])
    def retract(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        """Ask once more, then empty these messages for everybody."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across") == "1" or len(chosen) > PER_PAGE:
            notes.error(request, f"At most {PER_PAGE} messages can be retracted at a time.")
            return None
        if "sure" in request.POST:
            self._retract(request, [message.message_id for message in queryset])
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Retract for everyone?",
            "chosen": list(queryset),
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "ops/admin/retract.html", context)

    def _retract(self, request: HttpRequest, message_ids: list[UUID]) -> None:
        actor: Any = request.user
        done = 0
        for message_id in message_ids:
            try:
                retract_message(actor=actor, message_id=message_id)
                done += 1
            except Refusal as refusal:
                notes.error(request, f"{message_id}: {refusal.detail}")
        notes.success(request, f"Retracted for everyone: {done}.")
