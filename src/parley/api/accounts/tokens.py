"""JSON Web Tokens, at the paths and in the shapes of SimpleJWT, errors included."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import views
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import InvalidToken

from parley.api.accounts.serializers import (
    CredentialsSerializer,
    EmptySerializer,
    PairSerializer,
    PlainErrorSerializer,
    RefreshedSerializer,
    RefreshSerializer,
    VerifySerializer,
)
from parley.api.accounts.signing import SigningViewSet
from parley.api.schema import operation
from parley.http import refusals, tokens
from parley.http.parsers import FormParser, LoudJSONParser, MultiPartParser
from parley.http.requests import plain
from parley.http.security_log import note

REFUSED = {400: OpenApiTypes.OBJECT, 401: PlainErrorSerializer, 429: PlainErrorSerializer}


def plain_errors(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception in REST framework's own words: field dicts, and ``{"detail",
    "code"}``.
    """
    answer = refusals.as_api_exception(error)
    refusals.report(error, answer, plain(context["request"]))
    return views.exception_handler(answer, context)


class TokenViewSet(SigningViewSet):
    """Tokens for scripts and apps: sign in, stay signed in, sign out."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes = (LoudJSONParser, FormParser, MultiPartParser)

    def get_exception_handler(self) -> Any:
        return plain_errors

    @operation(body=CredentialsSerializer, answers={200: PairSerializer, **REFUSED})
    def obtain(self, request: Request) -> Response:
        """Sign in: a refresh token and an access token."""
        pair = tokens.sign_in(self.prove(self.body()))
        return Response({"refresh": pair.refresh, "access": pair.access})

    @operation(body=RefreshSerializer, answers={200: RefreshedSerializer, **REFUSED})
    def refresh(self, request: Request) -> Response:
        """Get a fresh access token for a refresh token."""
        try:
            pair = tokens.refresh(self.body()["refresh"])
        except tokens.BadToken:
            raise InvalidToken from None
        replaced = {"refresh": pair.refresh} if pair.refresh else {}
        return Response({"access": pair.access, **replaced})

    @operation(body=VerifySerializer, answers={200: EmptySerializer, **REFUSED})
    def verify(self, request: Request) -> Response:
        """Whether a token, access or refresh, is valid now."""
        try:
            tokens.read_any(self.body()["token"])
        except tokens.BadToken:
            raise InvalidToken from None
        return Response({})

    @operation(body=RefreshSerializer, answers={200: EmptySerializer, **REFUSED})
    def blacklist(self, request: Request) -> Response:
        """Sign out: the sign-in of this refresh token ends, and its access tokens with it."""
        try:
            user = tokens.end(self.body()["refresh"])
        except tokens.BadToken:
            raise InvalidToken from None
        note(plain(request), "sign_out", user_id=user.user_id, door=request.path)
        return Response({})
