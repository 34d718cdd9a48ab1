"""A column whose text is compared byte by byte on every database."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class ExactTextField(models.CharField):  # type: ignore[type-arg]
    """Text that equals only the same bytes: no collation folds case, accents or trailing spaces.

    MySQL and MariaDB store it as ``varbinary`` (their collations differ, and pad), PostgreSQL under
    ``COLLATE "C"``, SQLite as it is. ``max_length`` counts code points.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            return f"varbinary({4 * (self.max_length or 0)})"
        plain = super().db_type(connection)
        return f'{plain} COLLATE "C"' if connection.vendor == "postgresql" else plain

    def get_db_prep_value(
        self,
        value: Any,
        connection: BaseDatabaseWrapper,
        prepared: bool = False,  # noqa: FBT001, FBT002 - Django's signature
    ) -> Any:
        found = super().get_db_prep_value(value, connection, prepared)
        return found.encode() if connection.vendor == "mysql" and isinstance(found, str) else found

    def from_db_value(
        self, value: Any, expression: object, connection: BaseDatabaseWrapper
    ) -> str | None:
        return value.decode() if isinstance(value, bytes) else value
