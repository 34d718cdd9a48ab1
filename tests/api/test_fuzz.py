"""Requests drawn from the OpenAPI document are answered as it says, and never by a 500."""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from parley.config.wsgi import application
from parley.http import tokens
from tests.api.scene import play, undone

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
pytestmark = pytest.mark.django_db

schema = schemathesis.openapi.from_wsgi("/api/schema/", application)


@pytest.fixture
def scene(person, admin):
    """The scene, whose connection stays open between the requests of a test."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield play(person, admin)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@schema.parametrize()
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_operation_answers_as_documented(case, scene, settings):
    settings.PARLEY = settings.PARLEY.model_copy(update={"rates": False})
    token = tokens.sign_in(scene.owner).access
    case.path_parameters |= {k: str(scene.ids[k]) for k in case.path_parameters}
    if isinstance(case.query, dict) and "wait" in case.query:
        del case.query["wait"]

    with undone():
        case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {token}"})
