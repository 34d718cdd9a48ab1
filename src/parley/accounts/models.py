"""People, their credentials, and the record of what admins do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager

from parley.kernel.fields import ExactTextField
from parley.kernel.ids import new_id
from parley.kernel.text import name_key


class Role(models.TextChoices):
    GUEST = "guest"
    HOST = "host"
    ADMIN = "admin"


class UserManager(BaseUserManager["User"]):
    """How Django's own commands make and find users; people sign up through ``operations.sign_up``."""

    def create_user(
        self, username: str, email: str | None = None, password: str | None = None, **fields: Any
    ) -> User:
        user = self.model(username=username, email=email or None, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **fields: Any
    ) -> User:
        fields |= {"is_staff": True, "is_superuser": True, "role": Role.ADMIN}
        return self.create_user(username, email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username_key=name_key(username or ""))


class User(AbstractBaseUser, PermissionsMixin):
    """Someone who may sign in. Names are shown as written, and unique by their keys (NFKC, case folded)."""

    user_id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=new_id, editable=False
    )
    username = ExactTextField(max_length=150, unique=True)
    username_key = ExactTextField(max_length=600, editable=False)
    email = models.EmailField(null=True, blank=True, max_length=254)  # noqa: DJ001 - absent is not ""
    email_key = ExactTextField(max_length=600, null=True, editable=False)
    first_name = models.CharField(max_length=150, blank=True, default="")
    last_name = models.CharField(max_length=150, blank=True, default="")
    phone_number = models.CharField(max_length=32, null=True, blank=True)  # noqa: DJ001
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.GUEST)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = ["email"]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["username_key"], name="user_username_once"),
            models.UniqueConstraint(fields=["email_key"], name="user_email_once"),
        ]

    def __str__(self) -> str:
        return self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; the keys always follow the names."""
        self.username_key = name_key(self.username)
        self.email = self.email or None
        self.email_key = name_key(self.email) if self.email else None
        changed = kwargs.get("update_fields")
        if changed is not None:
            kwargs["update_fields"] = {*changed} | {
                f"{name}_key" for name in ("username", "email") if name in changed
            }
        super().save(*args, **kwargs)


class SignIn(models.Model):
    """One sign-in by JWT: the refresh token that is valid now, and every access token made from it."""

    sign_in_id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=new_id, editable=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins")
    refresh_jti = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.sign_in_id)


class OpaqueToken(AbstractAuthToken):
    """A token for ``Authorization: Token``: hashed at rest, many a user, shown once."""

    token_id: models.UUIDField[UUID, UUID] = models.UUIDField(
        unique=True, default=new_id, editable=False
    )
    name = models.CharField(max_length=100, blank=True, default="")
    last_used_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True
    )

    objects: ClassVar[Any] = AuthTokenManager()

    def __str__(self) -> str:
        return f"{self.name or self.token_key}"


class AuditEntry(models.Model):
    """Who did what to what, and when. Never changed, never deleted by the application."""

    entry_id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=new_id, editable=False
    )
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=40)
    target_kind = models.CharField(max_length=20)
    target_id = models.CharField(max_length=64)
    details = models.JSONField(default=dict)
    at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.target_kind} {self.target_id}"
