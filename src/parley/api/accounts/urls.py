"""The addresses of accounts, below ``/api/``."""

from __future__ import annotations

from parley.api.accounts import schema
from parley.api.accounts.opaque import OpaqueTokenViewSet
from parley.api.accounts.people import MeViewSet, PeopleViewSet, RegistrationViewSet
from parley.api.accounts.session import SessionViewSet
from parley.api.accounts.tokens import TokenViewSet
from parley.api.bases import address

__all__ = ["schema", "urlpatterns"]


urlpatterns = [
    address("register/", RegistrationViewSet, {"post": "create"}, "register"),
    address("token/", TokenViewSet, {"post": "obtain"}, "token"),
    address("token/refresh/", TokenViewSet, {"post": "refresh"}, "token-refresh"),
    address("token/verify/", TokenViewSet, {"post": "verify"}, "token-verify"),
    address("token/blacklist/", TokenViewSet, {"post": "blacklist"}, "token-blacklist"),
    address(
        "token/opaque/", OpaqueTokenViewSet, {"get": "list", "post": "create"}, "opaque-tokens"
    ),
    address(
        "token/opaque/<id:token_id>/", OpaqueTokenViewSet, {"delete": "destroy"}, "opaque-token"
    ),
    address(
        "session/",
        SessionViewSet,
        {"get": "retrieve", "post": "create", "delete": "destroy"},
        "session",
    ),
    address("users/", PeopleViewSet, {"get": "list"}, "users"),
    address("users/me/", MeViewSet, {"get": "retrieve", "patch": "partial_update"}, "me"),
    address("users/me/password/", MeViewSet, {"post": "set_password"}, "password"),
    address(
        "users/<id:user_id>/",
        PeopleViewSet,
        {"get": "retrieve", "patch": "partial_update"},
        "user",
    ),
]
