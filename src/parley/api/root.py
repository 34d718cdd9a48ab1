"""Where everything begins: a list of the API's main addresses, and a door for those in browsers."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import (
    SpectacularJSONAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)
from rest_framework.permissions import AllowAny
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from parley.api.fields import LONGEST_NAME

PLACES = (
    "register",
    "token",
    "session",
    "users",
    "conversations",
    "messages",
    "unread",
    "sync",
    "blocks",
    "schema",
    "docs",
    "redoc",
)
# ReDoc draws with styles that it makes itself, and searches in a worker that it makes itself.
REDOC_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class RootView(APIView):
    """Parley: people write to one another, read, remove, and keep every device in step."""

    permission_classes = (AllowAny,)
    name = "Parley API"

    @extend_schema(
        operation_id="root",
        summary="The main addresses.",
        tags=["api"],
        request=None,
        responses={200: OpenApiTypes.OBJECT},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """Return them as full URLs."""
        return Response({name: reverse(f"api:{name}", request=request) for name in PLACES})


class SchemaView(SpectacularJSONAPIView):
    """The OpenAPI document of this API."""

    authentication_classes = ()


class DocsPage:
    """A page about the API: HTML, whatever kind of answer is asked for."""

    def perform_content_negotiation(self, request: Request, force: object = None) -> Any:
        return TemplateHTMLRenderer(), TemplateHTMLRenderer.media_type


class SwaggerView(DocsPage, SpectacularSwaggerSplitView):
    """The API, to look at and to try."""

    authentication_classes = ()
    http_method_names = ("get", "head")
    url_name = "api:schema"
    template_name = "api/swagger.html"


class RedocView(DocsPage, SpectacularRedocView):
    """The API, to read."""

    authentication_classes = ()
    http_method_names = ("get", "head")
    url_name = "api:schema"
    template_name = "api/redoc.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        answer.headers["Content-Security-Policy"] = REDOC_POLICY
        return answer


class SignInForm(AuthenticationForm):
    """A username or an e-mail address, and a password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["username"]
        field.label = "Username or e-mail"
        field.max_length = LONGEST_NAME  # type: ignore[attr-defined]
        field.widget.attrs["maxlength"] = LONGEST_NAME


class SignInView(LoginView):
    template_name = "api/login.html"
    form_class = SignInForm


class SignOutView(LogoutView):
    next_page = "/api/"
