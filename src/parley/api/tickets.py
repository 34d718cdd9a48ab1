"""Tickets for WebSockets, where no header can be set."""

from __future__ import annotations

from typing import Any, cast

from django.utils import timezone
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import operations
from parley.accounts.credentials import Credential
from parley.api.bases import BaseViewSet
from parley.api.schema import operation
from parley.api.serializers import Shown
from parley.http import wire


class TicketSerializer(Shown):
    """What stands in `/ws/?ticket=…`, once, within thirty seconds."""

    ticket = serializers.CharField()
    expires_at = serializers.DateTimeField()

    def to_representation(self, instance: Any) -> wire.Json:
        ticket, expires_at = instance
        return {"ticket": ticket, "expires_at": wire.instant(expires_at)}


class TicketViewSet(BaseViewSet):
    """Tickets for WebSockets."""

    name = "Ticket"

    @operation(answers={201: TicketSerializer})
    def create(self, request: Request) -> Response:
        """Give a ticket that opens one WebSocket, for clients that can set no header."""
        made = operations.issue_ticket(
            user=self.viewer, credential=cast(Credential, request.auth), at=timezone.now()
        )
        return self.shown(TicketSerializer, made, None, status.HTTP_201_CREATED)
