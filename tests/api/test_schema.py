import json
import re
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import URLResolver

from parley.api import serializers, urls
from parley.http import wire
from parley.kernel.errors import Refusal
from tests.api.scene import DOCUMENT, OPERATIONS, resolve
from tests.api.shapes import CONVERSATION, ME, MESSAGE, NEWS, PARTICIPANT, READ_STATE, USER

DRAWN = {"/api/schema/", "/api/docs/", "/api/redoc/"}


def addresses(resolver, prefix=""):
    """Return every address below a resolver, its ids written as the document writes them."""
    for pattern in getattr(resolver, "url_patterns", None) or resolver.urlpatterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, here)
        else:
            yield "/" + here.replace("<id:", "{").replace(">", "}")


class TestDocument:
    def test_is_valid_without_a_warning(self, tmp_path):
        call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "x.yaml"))

    def test_is_served_as_openapi_3_1(self, api, db):
        answer = api().get("/api/schema/")

        assert answer.headers["Content-Type"].startswith("application/vnd.oai.openapi+json")
        assert json.loads(answer.content)["openapi"] == "3.1.0"

    def test_names_every_address_of_the_door(self):
        mounted = set(addresses(urls, "api/")) - DRAWN

        assert mounted == set(DOCUMENT["paths"])

    def test_is_about_nothing_else(self):
        assert all(path.startswith("/api/") for path in DOCUMENT["paths"])

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_says_what_each_operation_does_and_refuses(self, name):
        told = OPERATIONS[name].told
        statuses = set(told["responses"])

        assert told["summary"].endswith(".")
        assert statuses & {"200", "201", "204"}
        for answer in told["responses"].values():
            assert "X-Request-ID" in answer["headers"]
        if "security" in told and {} not in told["security"]:
            assert {"401", "403"} <= statuses
        if "requestBody" in told and not name.startswith("token_"):
            assert {"400", "413", "415"} <= statuses
        if "{" in OPERATIONS[name].path:
            assert "404" in statuses

    @pytest.mark.parametrize("name", ["messages_create", "conversations_messages_create"])
    def test_tells_of_idempotency(self, name):
        told = OPERATIONS[name].told

        assert ("header", "Idempotency-Key") in {(p["in"], p["name"]) for p in told["parameters"]}
        assert "`client_id_reused`" in told["responses"]["409"]["description"]
        assert "`blocked`" in told["responses"]["403"]["description"]

    def test_lists_every_code(self):
        item = DOCUMENT["components"]["schemas"]["ErrorItem"]
        told = item["properties"]["code"]["description"]

        ours = {kind for kind in all_of(Refusal) if kind.__module__.startswith("parley.")}

        missing = {kind.code for kind in ours} - set(told.split("`"))
        assert not missing
        assert {"null", "csrf_failed", "too_deep", "no_active_account"} < set(told.split("`"))

    def test_lists_the_codes_that_the_page_explains(self):
        item = DOCUMENT["components"]["schemas"]["ErrorItem"]
        listed = set(
            re.findall(r"^- `(\w+)`", item["properties"]["code"]["description"], re.MULTILINE)
        )
        page = (settings.ROOT / "docs/reference/errors.md").read_text()

        assert listed - set(re.findall(r"`(\w+)`", page)) == set()

    def test_tells_the_bounds_of_text(self):
        letter = resolve({"$ref": "#/components/schemas/NewLetter"})["properties"]

        assert letter["message_body"]["maxLength"] == settings.PARLEY.message_length
        assert letter["message_body"]["minLength"] == 1
        assert letter["subject"]["maxLength"] == 255

    @pytest.mark.parametrize(
        ("name", "keys"),
        [
            ("User", USER),
            ("Message", MESSAGE),
            ("Participant", PARTICIPANT),
            ("Me", ME),
            ("Conversation", [*CONVERSATION, "users"]),
            ("ReadState", READ_STATE),
            ("News", [*NEWS, "users"]),
        ],
    )
    def test_has_the_fields_of_each_object_in_order(self, name, keys):
        assert list(DOCUMENT["components"]["schemas"][name]["properties"]) == keys


class TestPages:
    @pytest.mark.parametrize("path", ["/docs/", "/api/docs/", "/api/redoc/"])
    def test_load_everything_from_here(self, client, db, path):
        page = client.get(path, headers={"Accept": "text/html"})
        text = page.content.decode()

        assert page.status_code == 200
        assert "https://" not in text
        assert "<script>" not in text
        assert "<style" not in text
        for asset in assets_of(text):
            found = client.get(asset)
            assert found.status_code == 200, asset

    def test_come_as_pages_whatever_is_asked_for(self, client, db):
        assert client.get("/api/docs/").headers["Content-Type"].startswith("text/html")

    def test_have_a_policy_without_inline_scripts(self, client, db):
        for path in ("/docs/", "/api/redoc/", "/api/", "/"):
            policy = client.get(path).headers["Content-Security-Policy"]
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy


class TestWire:
    def test_writes_instants_always_alike(self):
        assert wire.instant(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00.000000Z"

    def test_is_what_the_serializers_declare(self):
        declared = serializers.MessageSerializer().fields

        assert list(declared) == MESSAGE


def all_of(kind):
    return set().union({kind}, *(all_of(each) for each in kind.__subclasses__())) - {Refusal}


def assets_of(text):
    return [a for a in re.findall(r'(?:src|href)="(/[^"]+)"', text) if a != "/api/schema/"]
