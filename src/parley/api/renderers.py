"""How answers are written: compact JSON, and pages for people in browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import renderers

if TYPE_CHECKING:  # views load their renderers, and not the other way round
    from rest_framework.request import Request
    from rest_framework.views import APIView


class BrowsableAPIRenderer(renderers.BrowsableAPIRenderer):
    """The browsable API: forms to create and send; to change something, its JSON as it is."""

    template = "api/browse.html"

    def get_rendered_html_form(
        self, data: Any, view: APIView, method: str, request: Request
    ) -> Any:
        # A form sends every one of its fields: what was left empty would be taken for a change.
        if method in {"PUT", "PATCH"}:
            return None
        # What was shown is not what is sent: each form begins empty.
        return super().get_rendered_html_form(None, view, method, request)
