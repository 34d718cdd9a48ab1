"""Lists over tables of millions: found by an index, walked in its order, never counted out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

M = TypeVar("M", bound=Model)

MOST_LISTED = 1_000
PER_PAGE = 50


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of the first thousand rows: further on one searches, and does not turn pages."""

    @cached_property
    def count(self) -> int:
        found: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return found.order_by().values("pk")[:MOST_LISTED].count()


@dataclass(frozen=True, slots=True)
class Search:
    """What a search comes to: a range of one index, and the order in which that index has it."""

    order: Sequence[str]
    filters: dict[str, Any] = field(default_factory=dict)
    finds_nothing: bool = False


class WalkedList(ChangeList):
    """A list in the order of the index that the search chose; no address can ask for another."""

    model_admin: WalkedAdmin[Any]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return list(self.model_admin.search(self.query).order)


if TYPE_CHECKING:

    class _ModelAdmin(admin.ModelAdmin[M], Generic[M]): ...

else:

    class _ModelAdmin(admin.ModelAdmin, Generic[M]): ...


class WalkedAdmin(_ModelAdmin[M]):
    """An admin of a large table. A subclass says in :meth:`search` what is found, and by what."""

    list_per_page = PER_PAGE
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would be a count
    sortable_by = ()
    # Read by a query of their own: joined, some planner would begin with them, and sort everything.
    read_with: Sequence[str] = ()
    search_fields = ("pk",)  # any: it is there so that Django shows the field
    paginator = BoundedPaginator
    change_list_template = "ops/admin/list.html"

    class Media:
        css = {"all": ["ops/admin.css"]}

    def search(self, text: str) -> Search:
        """Return where to find what someone typed; nothing typed is everything."""
        raise NotImplementedError

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        return super().get_queryset(request).prefetch_related(*self.read_with)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WalkedList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        found = self.search(search_term)
        return queryset.none() if found.finds_nothing else queryset.filter(**found.filters), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(
            request, {"most_listed": MOST_LISTED, **(extra_context or {})}
        )

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


class ReadOnlyAdmin(WalkedAdmin[M]):
    """An admin of what nobody edits in a form."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def link(address: str, text: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', address, text)


def short(value: object) -> SafeString:
    """Return the two ends of an id, and the whole of it for who points at it."""
    text = str(value)
    return format_html('<span title="{}">{}…{}</span>', text, text[:8], text[-6:])
