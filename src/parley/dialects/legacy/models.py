"""What was brought over from older databases: so that running an import twice doubles nothing."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db import models

from parley.kernel.fields import ExactTextField


class LegacySource(models.Model):
    """One older database, and how far it has been read.

    ``places`` says for each table where its last imported row stands, ``brought`` how many came
    from it. ``first`` is its first user: a database with another one is not this source.
    """

    name = models.CharField(max_length=60, unique=True)
    dialect = models.CharField(max_length=20)
    first = models.TextField(default="")
    places = models.JSONField(default=dict)
    brought = models.JSONField(default=dict)

    rows: ClassVar[Any] = models.Manager()

    def __str__(self) -> str:
        return self.name


class LegacyKey(models.Model):
    """Who or what a key of an older database became here."""

    source = models.ForeignKey(LegacySource, models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=13)
    key = ExactTextField(max_length=64)
    new_id: models.UUIDField[UUID, UUID] = models.UUIDField()

    rows: ClassVar[Any] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "kind", "key"], name="legacy_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
