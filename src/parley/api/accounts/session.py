"""The session, for pages: a cookie, and the CSRF token that goes with it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login, logout
from django.middleware.csrf import get_token
from rest_framework import status
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from parley.accounts import queries
from parley.accounts.models import User
from parley.api.accounts.serializers import CredentialsSerializer, SessionSerializer
from parley.api.accounts.signing import SigningViewSet
from parley.api.schema import operation
from parley.api.serializers import UserSerializer
from parley.http.authentication import SessionAuthentication
from parley.http.requests import plain
from parley.http.security_log import note


class SessionViewSet(SigningViewSet):
    """My session. Changing it needs a CSRF token, signing in as well: ``GET`` gives one."""

    authentication_classes = (SessionAuthentication,)
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        is_known = (request.method or "").lower() in self.action_map
        if is_known and request.method not in SAFE_METHODS:
            SessionAuthentication().enforce_csrf(request)
        super().initial(request, *args, **kwargs)

    @operation(answers={200: SessionSerializer})
    def retrieve(self, request: Request) -> Response:
        """Who is signed in, and the CSRF token."""
        user = request.user
        person = queries.me(viewer=user) if isinstance(user, User) else None
        return self.shown(SessionSerializer, (person, get_token(plain(request))), None)

    @operation(body=CredentialsSerializer, answers={200: UserSerializer})
    def create(self, request: Request) -> Response:
        """Sign in. The session gets another key, and the CSRF token changes."""
        user = self.prove(self.body())
        login(plain(request), user)
        return self.shown(UserSerializer, queries.me(viewer=user), None)

    @operation(answers={204: None})
    def destroy(self, request: Request) -> Response:
        """Sign out."""
        if isinstance(request.user, User):
            note(plain(request), "sign_out", user_id=request.user.user_id, door=request.path)
        logout(plain(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
