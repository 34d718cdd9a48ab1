"""The bodies that the endpoints of accounts take, and what they show besides users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.utils import html

from parley.accounts.models import Role
from parley.accounts.names import (
    LONGEST_EMAIL,
    LONGEST_NAME,
    LONGEST_PHONE_NUMBER,
    LONGEST_USERNAME,
)
from parley.accounts.operations import LONGEST_TOKEN_NAME
from parley.accounts.passwords import LONGEST_PASSWORD
from parley.api.fields import ExactText, WordField
from parley.api.serializers import BodySerializer, Shown, UserSerializer
from parley.http import wire

LONGEST_TOKEN = 16_384


class Password(ExactText):
    """A password: never shown, never trimmed."""

    def __init__(self, **options: Any) -> None:
        style = {"input_type": "password", "autocomplete": "off"}
        super().__init__(longest=LONGEST_PASSWORD, write_only=True, style=style, **options)


class Jwt(ExactText):
    def __init__(self, **options: Any) -> None:
        super().__init__(longest=LONGEST_TOKEN, **options)


class FlagField(serializers.BooleanField):
    """True or false, and nothing that only looks like one; a form has words for them."""

    def to_internal_value(self, data: Any) -> bool:
        is_form = html.is_html_input(getattr(self.parent, "initial_data", None))
        if not isinstance(data, bool) and not is_form:
            self.fail("invalid", input=data)
        return bool(super().to_internal_value(data))


class CredentialsSerializer(BodySerializer):
    """A username or an e-mail address (either may stand in either field), and a password."""

    LOGINS = ("username", "email")

    username = ExactText(longest=LONGEST_EMAIL, required=False, write_only=True)
    email = ExactText(longest=LONGEST_EMAIL, required=False, write_only=True)
    password = Password()

    def get_fields(self) -> dict[str, Any]:
        """Ask for one of the two: the one that was given; where neither was, the username."""
        fields = super().get_fields()
        data = getattr(self, "initial_data", None)
        if isinstance(data, Mapping):
            given = [name for name in self.LOGINS if data.get(name) not in (None, "")]
            named = [name for name in self.LOGINS if name in data]
            chosen = (given or named or ["username"])[0]
            fields = {
                chosen: fields[chosen],
                **{n: fields[n] for n in fields if n not in self.LOGINS},
            }
            fields[chosen].required = True
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return them with the name as ``login``, whichever field it was in."""
        login = next(attrs.pop(name) for name in self.LOGINS if name in attrs)
        return attrs | {"login": login}


# --- sign-ins and tokens


class PairSerializer(Shown):
    """A refresh token, good for 24 hours, and an access token, good for 15 minutes."""

    refresh = serializers.CharField()
    access = serializers.CharField()


class RefreshedSerializer(Shown):
    """A fresh access token; with ``PARLEY_REFRESH_ROTATION`` also the refresh token that replaces
    the one sent.
    """

    access = serializers.CharField()
    refresh = serializers.CharField(required=False)


class EmptySerializer(Shown):
    """Nothing more to say."""


class PlainErrorSerializer(Shown):
    """What went wrong, as SimpleJWT says it."""

    detail = serializers.CharField()
    code = serializers.CharField(required=False)


class RefreshSerializer(BodySerializer):
    refresh = Jwt(write_only=True)


class VerifySerializer(BodySerializer):
    token = Jwt(write_only=True)


class NewTokenSerializer(CredentialsSerializer):
    """Who asks, and what to call the token."""

    name = ExactText(longest=LONGEST_TOKEN_NAME, required=False, allow_blank=True)


class NewlyMadeTokenSerializer(Shown):
    """The token, which is told this once, and when it expires."""

    token = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Any) -> wire.Json:
        token, text = instance
        return {"token": text, "expires_at": wire.instant_or_none(token.expiry)}


class TokenSerializer(Shown):
    """One of my tokens: what it is called and how it begins, never the secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="About when.")

    SHOWN = 8

    def to_representation(self, instance: Any) -> wire.Json:
        return {
            "id": str(instance.token_id),
            "name": instance.name,
            "prefix": instance.token_key[: self.SHOWN],
            "created_at": wire.instant(instance.created),
            "expires_at": wire.instant_or_none(instance.expiry),
            "last_used_at": wire.instant_or_none(instance.last_used_at),
        }


class SessionSerializer(Shown):
    """Whose session this is, if anyone's, and the token that changing anything needs."""

    user = UserSerializer(allow_null=True)
    csrf_token = serializers.CharField()

    def to_representation(self, instance: Any) -> wire.Json:
        person, csrf_token = instance
        return {"user": person and wire.person(person), "csrf_token": csrf_token}


# --- people


class ProfileSerializer(BodySerializer):
    first_name = ExactText(longest=LONGEST_NAME, required=False, allow_blank=True)
    last_name = ExactText(longest=LONGEST_NAME, required=False, allow_blank=True)
    phone_number = ExactText(
        longest=LONGEST_PHONE_NUMBER, required=False, allow_blank=True, allow_null=True
    )
    email = ExactText(longest=LONGEST_EMAIL, required=False, allow_blank=True, allow_null=True)


class SignUpSerializer(ProfileSerializer):
    """Who someone wants to be. A role is not theirs to choose."""

    username = ExactText(longest=LONGEST_USERNAME)
    password = Password()

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        first = ("username", "password", "email")
        return {name: fields[name] for name in (*first, *(n for n in fields if n not in first))}


class ProfileChangeSerializer(ProfileSerializer):
    """What is left out stays. Another e-mail address needs the password."""

    current_password = Password(required=False)


class PasswordChangeSerializer(BodySerializer):
    current_password = Password()
    new_password = Password()


class PersonChangeSerializer(BodySerializer):
    """What is left out stays. For admins."""

    role = WordField(Role.choices, required=False)
    is_active = FlagField(required=False)
