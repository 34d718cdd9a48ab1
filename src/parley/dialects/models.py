"""Integers for what the core names by UUID: the old protocols know nothing else."""

from __future__ import annotations

from uuid import UUID

from django.db import models

from parley.dialects.legacy.models import LegacyKey, LegacySource

__all__ = ["Handle", "LegacyKey", "LegacySource", "MessageHandle", "UserHandle"]


class Handle(models.Model):
    """A number that is given once, and never to anything else."""

    number = models.BigAutoField(primary_key=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.number)


class UserHandle(Handle):
    """The number of a user."""

    user_id: models.UUIDField[UUID, UUID] = models.UUIDField(unique=True)


class MessageHandle(Handle):
    """The number of a message."""

    message_id: models.UUIDField[UUID, UUID] = models.UUIDField(unique=True)
