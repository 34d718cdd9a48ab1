"""The addresses of accounts, below ``/api/``."""

from __future__ import annotations

from typing import Any

from django.urls import path

from parley.api.accounts import schema
from parley.api.accounts.opaque import OpaqueTokenViewSet
from parley.api.accounts.people import MeViewSet, PeopleViewSet, RegistrationViewSet
from parley.api.accounts.session import SessionViewSet
from parley.api.accounts.tokens import TokenViewSet

__all__ = ["schema", "urlpatterns"]


def _path(route: str, view: Any, actions: dict[str, str], name: str) -> Any:
    return path(route, view.as_view(actions, name=view.name), name=name)


urlpatterns = [
    _path("register/", RegistrationViewSet, {"post": "create"}, "register"),
    _path("token/", TokenViewSet, {"post": "obtain"}, "token"),
    _path("token/refresh/", TokenViewSet, {"post": "refresh"}, "token-refresh"),
    _path("token/verify/", TokenViewSet, {"post": "verify"}, "token-verify"),
    _path("token/blacklist/", TokenViewSet, {"post": "blacklist"}, "token-blacklist"),
    _path("token/opaque/", OpaqueTokenViewSet, {"get": "list", "post": "create"}, "opaque-tokens"),
    _path("token/opaque/<id:token_id>/", OpaqueTokenViewSet, {"delete": "destroy"}, "opaque-token"),
    _path(
        "session/",
        SessionViewSet,
        {"get": "retrieve", "post": "create", "delete": "destroy"},
        "session",
    ),
    _path("users/", PeopleViewSet, {"get": "list"}, "users"),
    _path("users/me/", MeViewSet, {"get": "retrieve", "patch": "partial_update"}, "me"),
    _path("users/me/password/", MeViewSet, {"post": "set_password"}, "password"),
    _path(
        "users/<id:user_id>/",
        PeopleViewSet,
        {"get": "retrieve", "patch": "partial_update"},
        "user",
    ),
]
