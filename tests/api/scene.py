"""One scene that every operation of the API can be asked in, and who asks.

A group of ada's, with ben and, until she left, cyd; ben's message is in it. What the table below
says of an operation is the status that each actor gets.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from parley.accounts import operations as accounts
from parley.accounts.models import User
from parley.api.schema import AutoSchema  # noqa: F401 - the document is drawn with it
from parley.conversations import operations as conversations
from parley.http import tokens
from tests.conftest import PASSWORD
from tests.talk import group, say

ACTORS = ("owner", "member", "outsider", "ex_member", "deactivated", "anonymous", "admin")
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass
class Scene:
    """The people, and the ids that addresses name."""

    owner: User
    member: User
    outsider: User
    ex_member: User
    deactivated: User
    admin: User
    anonymous: None = None
    ids: dict[str, UUID] = field(default_factory=dict)
    clients: dict[str, APIClient] = field(default_factory=dict)

    def sign_in(self, actor: str) -> APIClient:
        """Return an actor's client, for whoever asks as that one."""
        client = self.clients[actor] = APIClient()
        if user := getattr(self, actor):
            client.force_login(user)
        return client

    def path(self, template: str) -> str:
        """Return the address with the scene's ids in it."""
        return template.format(**self.ids)

    def random_path(self, template: str) -> str:
        """Return the same with ids that nothing has."""
        return template.format(**dict.fromkeys(self.ids, uuid4()))


def play(person: Callable[..., User], admin: User, *actors: str) -> Scene:
    """Set the scene, with these actors signed in."""
    people = [person(name) for name in ("ada", "ben", "mallory", "cyd", "dan")]
    scene = Scene(*people, admin=admin)
    for actor in actors:
        scene.sign_in(actor)
    accounts.change_person(actor=admin, user=scene.deactivated, is_active=False)
    talk = group(scene.owner, scene.member, scene.ex_member, title="Harbour")
    message = say(scene.member, talk, "the tide is out")
    conversations.leave(viewer=scene.ex_member, conversation_id=talk)
    token, _ = accounts.create_token(
        user=scene.member, name="", lifetime=None, most=10, at=timezone.now()
    )
    scene.ids = {
        "conversation_id": talk,
        "message_id": message.message_id,
        "user_id": scene.member.user_id,
        "token_id": token.token_id,
    }
    return scene


@contextmanager
def undone():
    """Take back what happens within."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@dataclass(frozen=True)
class Row:
    """What one operation takes, and the status that each actor gets for it."""

    statuses: str
    body: Callable[[Scene], dict[str, Any]] | dict[str, Any] | None = None
    query: str = ""

    def expected(self, actor: str) -> int:
        return int(self.statuses.split()[ACTORS.index(actor)])

    def body_in(self, scene: Scene) -> dict[str, Any] | None:
        return self.body(scene) if callable(self.body) else self.body


def ben_signs_in(_scene: Scene) -> dict[str, Any]:
    return {"username": "ben", "password": PASSWORD}


def refresh(scene: Scene) -> dict[str, Any]:
    return {"refresh": tokens.sign_in(scene.member).refresh}


def outsider(scene: Scene) -> dict[str, Any]:
    return {"user_id": str(scene.outsider.user_id)}


ANYONE = "200 200 200 200 200 200 200"
SIGNED_IN = "200 200 200 200 401 401 200"
MEMBERS = "200 200 404 404 401 401 404"
OWNER = "200 403 404 404 401 401 404"

#                              owner member outsider ex_member deactivated anonymous admin
ROWS: dict[str, Row] = {
    "root": Row(ANYONE),
    "register_create": Row(
        "201 201 201 201 201 201 201", {"username": "eve", "password": PASSWORD}
    ),
    "token_create": Row(ANYONE, ben_signs_in),
    "token_refresh_create": Row(ANYONE, refresh),
    "token_verify_create": Row(
        ANYONE, lambda scene: {"token": tokens.sign_in(scene.member).access}
    ),
    "token_blacklist_create": Row(ANYONE, refresh),
    "token_opaque_list": Row(SIGNED_IN),
    "token_opaque_create": Row("201 201 201 201 201 201 201", ben_signs_in),
    "token_opaque_destroy": Row("404 204 404 404 401 401 404"),
    "session_retrieve": Row(ANYONE),
    "session_create": Row(ANYONE, ben_signs_in),
    "session_destroy": Row("204 204 204 204 204 204 204"),
    "users_list": Row(SIGNED_IN),
    "users_me_retrieve": Row(SIGNED_IN),
    "users_me_partial_update": Row(SIGNED_IN, {"first_name": "A."}),
    "users_me_password_create": Row(
        "204 204 204 204 401 401 204",
        {"current_password": PASSWORD, "new_password": "a kettle on the hob"},
    ),
    "users_retrieve": Row(SIGNED_IN),
    "users_partial_update": Row("403 403 403 403 401 401 200", {"role": "host"}),
    "realtime_ticket_create": Row("201 201 201 201 401 401 201"),
    "conversations_list": Row(SIGNED_IN),
    "conversations_create": Row(
        "201 201 201 201 401 401 201",
        lambda scene: {"participants": [str(scene.outsider.user_id)]},
    ),
    "conversations_retrieve": Row(MEMBERS),
    "conversations_update": Row(OWNER, {"title": "Quay"}),
    "conversations_update me": Row(MEMBERS, {"me": {"pinned_at": "2026-01-01T00:00:00Z"}}),
    "conversations_partial_update": Row(
        OWNER, lambda scene: {"participants": [str(scene.outsider.user_id)]}
    ),
    "conversations_destroy": Row("204 204 404 404 401 401 404"),
    "conversations_read_create": Row(MEMBERS, {"seq": 1}),
    "conversations_unread_create": Row(MEMBERS, {"seq": 1}),
    "conversations_participants_list": Row(MEMBERS),
    "conversations_participants_create": Row("201 403 404 404 401 401 404", outsider),
    "conversations_participants_partial_update": Row(OWNER, {"member_role": "owner"}),
    "conversations_participants_destroy": Row("204 204 404 404 401 401 404"),
    "conversations_messages_list": Row(MEMBERS),
    "conversations_messages_create": Row("201 201 404 404 401 401 404", {"message_body": "aye"}),
    "messages_list": Row(SIGNED_IN),
    "messages_create": Row(
        "201 201 404 404 401 401 404",
        lambda scene: {
            "conversation": str(scene.ids["conversation_id"]),
            "message_body": "aye",
        },
    ),
    "messages_create to a person": Row(
        "201 201 201 201 401 401 201", {"recipient": "mallory", "message_body": "aye"}
    ),
    "messages_retrieve": Row(MEMBERS),
    "messages_update": Row("403 200 404 404 401 401 404", {"message_body": "the tide is in"}),
    "messages_partial_update": Row(
        "403 200 404 404 401 401 404", {"message_body": "the tide is in"}
    ),
    "messages_destroy": Row("204 204 404 404 401 401 404"),
    "messages_destroy for everyone": Row("204 204 404 404 401 401 204", query="?for=everyone"),
    "messages_read_update": Row(MEMBERS),
    "messages_read_destroy": Row(MEMBERS),
    "messages_star_update": Row(MEMBERS),
    "messages_star_destroy": Row(MEMBERS),
    "messages_receipts_list": Row(MEMBERS),
    "unread_retrieve": Row(SIGNED_IN),
    "sync_retrieve": Row(SIGNED_IN),
    "blocks_list": Row(SIGNED_IN),
    "blocks_retrieve": Row("404 404 404 404 401 401 404"),
    "blocks_update": Row("204 400 204 204 401 401 204"),
    "blocks_destroy": Row("204 400 204 204 401 401 204"),
}


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    name: str
    method: str
    path: str
    told: dict[str, Any]


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


DOCUMENT = document()
OPERATIONS = {
    told["operationId"]: Operation(told["operationId"], method, path, told)
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
    if method in METHODS
}


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with its reference followed."""
    found = schema
    while "$ref" in found or len(found.get("allOf", ())) == 1:
        if "$ref" in found:
            found = DOCUMENT["components"]["schemas"][found["$ref"].rpartition("/")[2]]
        else:
            found = found["allOf"][0]
    return found


def ask(scene: Scene, actor: str, operation: Operation, row: Row, path: str | None = None) -> Any:
    """Ask for an operation as an actor."""
    address = (path or scene.path(operation.path)) + row.query
    send = getattr(scene.clients[actor], operation.method)
    return send(address, row.body_in(scene), format="json")
