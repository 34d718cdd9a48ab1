"""Opaque tokens: for what runs for long, and is revoked by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import operations, queries
from parley.accounts.operations import TokenNotFound, TooManyTokens
from parley.api.accounts.serializers import (
    NewlyMadeTokenSerializer,
    NewTokenSerializer,
    TokenSerializer,
)
from parley.api.accounts.signing import SigningViewSet
from parley.api.schema import operation, page_of
from parley.http import paging
from parley.http.parameters import CURSOR, LIMIT
from parley.http.requests import plain
from parley.http.security_log import note


class OpaqueTokenViewSet(SigningViewSet):
    """Tokens for ``Authorization: Token``."""

    def get_permissions(self) -> Any:
        return [AllowAny()] if self.action == "create" else super().get_permissions()

    @operation(
        body=NewTokenSerializer, answers={201: NewlyMadeTokenSerializer}, refuses=(TooManyTokens,)
    )
    def create(self, request: Request) -> Response:
        """Make a token. It is told this once, and kept as a hash."""
        body = self.body()
        user = self.prove(body)
        days = settings.PARLEY.token_days
        made = operations.create_token(
            user=user,
            name=body.get("name", ""),
            lifetime=timedelta(days=days) if days else None,
            most=settings.PARLEY.tokens,
            at=timezone.now(),
        )
        note(plain(request), "token_created", user_id=user.user_id, token_id=made[0].token_id)
        return self.shown(NewlyMadeTokenSerializer, made, None, status.HTTP_201_CREATED)

    @operation(answers={200: page_of(TokenSerializer)}, takes=(LIMIT, CURSOR))
    def list(self, request: Request) -> Response:
        """My tokens, the newest first."""
        found = queries.list_tokens(
            viewer=self.viewer, at=timezone.now(), position=self.position, size=self.size
        )
        write = TokenSerializer().to_representation
        return Response(paging.page(found, write, request=plain(request), scope=self.scope))

    @operation(answers={204: None}, refuses=(TokenNotFound,))
    def destroy(self, request: Request, token_id: UUID) -> Response:
        """Revoke one of my tokens."""
        operations.revoke_token(viewer=self.viewer, token_id=token_id)
        note(plain(request), "token_revoked", user_id=self.viewer.user_id, token_id=token_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
