"""People, their credentials, and the record of what admins do."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from knox.models import AbstractAuthToken, AuthTokenManager

from parley.kernel.fields import ExactTextField
from parley.kernel.hooks import Hook
from parley.kernel.ids import new_id
from parley.kernel.text import name_key

# Called with each new user in the transaction that stores them, whoever creates them.
user_created: Hook[User] = Hook()

SEARCHED = 150  # as much of a name as a search looks at


def new_stamp() -> str:
    """Return a fresh security stamp."""
    return secrets.token_hex(16)


class Role(models.TextChoices):
    GUEST = "guest"
    HOST = "host"
    ADMIN = "admin"


def search_key(value: str) -> str:
    """Return the form in which a name is searched: white space apart, as its key."""
    return name_key(" ".join(value.split()))[:SEARCHED]


class UserManager(BaseUserManager["User"]):
    """How Django's own commands make and find users. People sign up: ``operations.sign_up``."""

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
        fields |= {"role": Role.ADMIN}
        return self.create_user(username, email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username_key=name_key(username or ""))


class User(AbstractBaseUser, PermissionsMixin):  # type: ignore[django-manager-missing] # knox's
    """Someone who may sign in. Names are unique by their keys (NFKC, case folded).

    ``security_stamp`` is renewed with the password and at deactivation. Every sign-in, token and
    session carries the stamp that it was made under, and is dead once the two differ, however the
    password came to be changed.
    """

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
    is_staff = models.BooleanField(default=False, editable=False)
    security_stamp = models.CharField(max_length=32, default=new_stamp, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Where the directory finds someone; nowhere, once they are deactivated.
    by_username = ExactTextField(max_length=600, null=True, editable=False)
    by_full_name = ExactTextField(max_length=SEARCHED, null=True, editable=False)
    by_last_name = ExactTextField(max_length=SEARCHED, null=True, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = ["email"]
    # What follows from a column, and is written with it.
    FOLLOWING: ClassVar[dict[str, set[str]]] = {
        "username": {"username_key", "by_username"},
        "email": {"email_key"},
        "first_name": {"by_full_name"},
        "last_name": {"by_full_name", "by_last_name"},
        "is_active": {"by_username", "by_full_name", "by_last_name"},
        "role": {"is_staff", "is_superuser"},
        "password": {"security_stamp"},
    }

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["username_key"], name="user_username_once"),
            models.UniqueConstraint(fields=["email_key"], name="user_email_once"),
        ]
        indexes = [
            # The three ranges that a search for people walks. Nothing stands before the key:
            # MariaDB would look up that alone, and read on through everyone.
            models.Index(fields=["by_username", "user_id"], name="user_by_username"),
            models.Index(fields=["by_full_name", "user_id"], name="user_by_full_name"),
            models.Index(fields=["by_last_name", "user_id"], name="user_by_last_name"),
            # Who is an admin: asked before one of them goes, and listed for them.
            models.Index(fields=["role", "username_key"], name="user_by_role"),
        ]

    def __str__(self) -> str:
        return str(self.username)

    def follow(self) -> None:
        """Set what follows from other columns: keys from names, Django's flags from the role."""
        self.username_key = name_key(self.username)
        self.email = self.email or None
        self.email_key = name_key(self.email) if self.email else None
        full_name = search_key(f"{self.first_name} {self.last_name}")
        last_name = search_key(self.last_name)
        keys = (self.username_key, full_name, last_name) if self.is_active else (None, None, None)
        self.by_username, self.by_full_name, self.by_last_name = keys
        self.is_staff = self.is_superuser = self.role == Role.ADMIN

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, with the columns that follow from others; of a new user ``user_created`` tells."""
        self.follow()
        changed = kwargs.get("update_fields")
        if changed is not None:
            following = (self.FOLLOWING.get(name, set()) for name in changed)
            kwargs["update_fields"] = set(changed).union(*following)
        if not self._state.adding:
            super().save(*args, **kwargs)
            return
        with transaction.atomic(savepoint=False):
            super().save(*args, **kwargs)
            user_created(self)

    def set_password(self, raw_password: str | None) -> None:
        """Set another password; with the save everything ends that was opened with the old one."""
        super().set_password(raw_password)
        self.security_stamp = new_stamp()

    def set_unusable_password(self) -> None:
        super().set_unusable_password()
        self.security_stamp = new_stamp()

    def check_password(self, raw_password: str | None) -> bool:
        """Whether this is the password. An older hash is replaced, which ends no sign-in."""
        return check_password(raw_password, self.password, self._rehash)

    def _rehash(self, raw_password: str) -> None:
        better = make_password(raw_password)
        type(self).objects.filter(pk=self.pk, password=self.password).update(password=better)
        self.password = better

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Bind sessions to the stamp, where Django binds them to the hash of the password."""
        salt = "parley.accounts.session"
        mac = salted_hmac(salt, self.security_stamp, secret=secret, algorithm="sha256")
        digest: str = mac.hexdigest()
        return digest


class SignIn(models.Model):
    """One sign-in by JWT: the refresh token that is valid now, and every access token made from it.

    Ending it deletes the row.
    """

    sign_in_id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=new_id, editable=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins")
    security_stamp = models.CharField(max_length=32)
    refresh_jti = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.sign_in_id)


class OpaqueToken(AbstractAuthToken):  # type: ignore[misc] # knox brings no types
    """A token for ``Authorization: Token``: hashed at rest, many a user, shown once."""

    token_id: models.UUIDField[UUID, UUID] = models.UUIDField(
        unique=True, default=new_id, editable=False
    )
    security_stamp = models.CharField(max_length=32)
    name = models.CharField(max_length=100, blank=True, default="")
    last_used_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True
    )

    objects: ClassVar[Any] = AuthTokenManager()

    def __str__(self) -> str:
        return f"{self.name or self.token_key}"


class Ticket(models.Model):
    """What opens one WebSocket for clients that can set no header: one use, and only its digest is
    kept.

    ``proof`` and ``key`` are those of the credential that it was made from, with which it ends.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    proof = models.CharField(max_length=10)
    key = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.digest[:8]


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
        indexes = [
            # What was done to one thing, and by whom.
            models.Index(fields=["target_id", "at"], name="audit_by_target"),
            models.Index(fields=["actor", "at"], name="audit_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.target_kind} {self.target_id}"
