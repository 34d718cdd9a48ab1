"""The audit record: to be read, by nobody to be changed."""

from __future__ import annotations

import json

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from parley.accounts import queries as accounts
from parley.accounts.models import AuditEntry
from parley.kernel import ids
from parley.ops.admin.lists import ReadOnlyAdmin, Search, link, short

PAGES = {
    "user": "admin:accounts_user_change",
    "conversation": "admin:conversations_conversation_change",
    "message": "admin:messaging_message_change",
}
NEWEST = ("-at", "-entry_id")


class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ("at", "by", "action", "target", "told")
    read_with = ("actor",)
    search_help_text = (
        "Who did it (a username or an e-mail address), or the id of what it was done to."
    )
    fields = ("at", "by", "action", "target", "told")

    @admin.display(description="by")
    def by(self, entry: AuditEntry) -> str:
        return "the server" if entry.actor is None else str(entry.actor)

    @admin.display(description="target")
    def target(self, entry: AuditEntry) -> SafeString:
        page = PAGES.get(entry.target_kind)
        if page is None:
            return format_html("{} {}", entry.target_kind, entry.target_id)
        address = link(reverse(page, args=[entry.target_id]), short(entry.target_id))
        return format_html("{} {}", entry.target_kind, address)

    @admin.display(description="details")
    def told(self, entry: AuditEntry) -> str:
        return ", ".join(
            f"{name}: {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in entry.details.items()
        )

    def search(self, text: str) -> Search:
        """Find what someone did, or what was done to one thing; the newest first."""
        term = text.strip()
        named = ids.parse(term)
        if named is not None:
            return Search(NEWEST, {"target_id": str(named)})
        if not term:
            return Search(NEWEST)
        account = accounts.find_account(login=term)
        if account is None:
            return Search(NEWEST, finds_nothing=True)
        return Search(NEWEST, {"actor_id": account.user_id})
