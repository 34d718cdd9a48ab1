"""People: signing up, oneself, the directory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from django.contrib.auth import update_session_auth_hash
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import operations, queries
from parley.accounts.credentials import Proof
from parley.accounts.models import SEARCHED
from parley.accounts.names import (
    EmailTaken,
    IllegalEmail,
    IllegalUsername,
    Lookalike,
    MixedScripts,
    UsernameTaken,
)
from parley.accounts.operations import (
    ChangedMeanwhile,
    LastAdmin,
    NotAnAdmin,
    PasswordNeeded,
    WrongPassword,
)
from parley.accounts.passwords import WeakPassword
from parley.accounts.queries import UserNotFound
from parley.api.accounts.serializers import (
    PasswordChangeSerializer,
    PersonChangeSerializer,
    ProfileChangeSerializer,
    SignUpSerializer,
)
from parley.api.bases import BaseViewSet
from parley.api.schema import operation, page_of
from parley.api.serializers import UserSerializer
from parley.http import paging, wire
from parley.http.authentication import CHALLENGE
from parley.http.parameters import CURSOR, LIMIT, Text
from parley.http.requests import plain
from parley.http.security_log import note
from parley.http.signing_in import taking_password
from parley.http.throttling import SignUpThrottle

SEARCH: Text = Text(
    "search", "How a username, a full name or a last name begins.", longest=SEARCHED
)


def scope_of(query: Mapping[str, str]) -> str:
    """Return where a cursor of the directory is valid: in its own search.

    :raises Invalid: what is looked for is no text.
    """
    return f"people.{SEARCH.read(query)}"


class RegistrationViewSet(BaseViewSet):
    """Signing up."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (SignUpThrottle,)

    def get_authenticate_header(self, _request: Any) -> str:
        return CHALLENGE

    @operation(
        body=SignUpSerializer,
        answers={201: UserSerializer},
        refuses=(
            IllegalUsername,
            MixedScripts,
            UsernameTaken,
            Lookalike,
            IllegalEmail,
            EmailTaken,
            WeakPassword,
        ),
    )
    def create(self, request: Request) -> Response:
        """Sign up. Whoever does is a guest."""
        user = operations.sign_up(**self.body())
        note(plain(request), "sign_up", user_id=user.user_id)
        return self.shown(UserSerializer, queries.me(viewer=user), None, status.HTTP_201_CREATED)


class MeViewSet(BaseViewSet):
    """Myself."""

    def _taking_password(self) -> AbstractContextManager[None]:
        return taking_password(
            plain(self.request),
            account=str(self.viewer.user_id),
            user=self.viewer,
            door=self.request.path,
        )

    @operation(answers={200: UserSerializer})
    def retrieve(self, request: Request) -> Response:
        """How I am written down."""
        return self.shown(UserSerializer, queries.me(viewer=self.viewer), None)

    @operation(
        body=ProfileChangeSerializer,
        answers={200: UserSerializer},
        refuses=(IllegalEmail, EmailTaken, PasswordNeeded, WrongPassword),
    )
    def partial_update(self, request: Request) -> Response:
        """Change my name, my phone number, and with my password my e-mail address."""
        body = self.body()
        with self._taking_password() if "current_password" in body else nullcontext():
            operations.update_profile(user=self.viewer, **body)
        return self.shown(UserSerializer, queries.me(viewer=self.viewer), None)

    @operation(
        body=PasswordChangeSerializer,
        answers={204: None},
        refuses=(WrongPassword, WeakPassword, ChangedMeanwhile),
    )
    def set_password(self, request: Request) -> Response:
        """Change my password. All my sign-ins, tokens and sessions end but the one that asks."""
        asking: Any = request.auth
        body = self.body()
        with self._taking_password():
            operations.change_password(user=self.viewer, keep=asking, **body)
        if asking.proof == Proof.SESSION:
            update_session_auth_hash(plain(request), self.viewer)
        note(plain(request), "password_changed", user_id=self.viewer.user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class PeopleViewSet(BaseViewSet):
    """Everyone who may sign in."""

    @property
    def scope(self) -> str:
        return scope_of(self.request.query_params)

    @operation(answers={200: page_of(UserSerializer)}, takes=(SEARCH, LIMIT, CURSOR))
    def list(self, request: Request) -> Response:
        """Everyone by username; with a search, those with a name that begins so."""
        found = queries.list_people(
            viewer=self.viewer,
            search=SEARCH.read(request.query_params),
            position=self.position,
            size=self.size,
        )
        return Response(paging.page(found, wire.person, request=plain(request), scope=self.scope))

    @operation(answers={200: UserSerializer}, refuses=(UserNotFound,))
    def retrieve(self, request: Request, user_id: UUID) -> Response:
        """One person."""
        found = queries.get_person(viewer=self.viewer, user_id=user_id)
        return self.shown(UserSerializer, found, None)

    @operation(
        body=PersonChangeSerializer,
        answers={200: UserSerializer},
        refuses=(UserNotFound, NotAnAdmin, LastAdmin),
    )
    def partial_update(self, request: Request, user_id: UUID) -> Response:
        """Change someone's role, or whether they may sign in. For admins; audited."""
        user = queries.get_user(viewer=self.viewer, user_id=user_id)
        body = self.body()
        operations.change_person(actor=self.viewer, user=user, **body)
        note(
            plain(request),
            "person_changed",
            user_id=user_id,
            actor_id=self.viewer.user_id,
            **body,
        )
        return self.retrieve(request, user_id)
