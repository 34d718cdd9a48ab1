import pytest
from django.db import OperationalError, connection
from django.test import Client

NOWHERE = "redis://127.0.0.1:1/0"


class TestHealthz:
    def test_answers_without_a_database(self, client):
        answer = client.get("/healthz")

        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    def test_is_only_asked(self, path):
        answer = Client(enforce_csrf_checks=True).post(path)

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


class TestReadyz:
    @pytest.mark.django_db
    def test_is_well_when_the_database_answers(self, client):
        answer = client.get("/readyz")

        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    @pytest.mark.django_db
    def test_names_the_database_that_does_not_answer(self, client, monkeypatch):
        def fail(*_):
            raise OperationalError("away")

        monkeypatch.setattr(connection, "cursor", fail)

        answer = client.get("/readyz")

        assert answer.status_code == 503
        assert answer.json() == {"status": "unavailable", "failing": ["database"]}
        assert answer.headers["Retry-After"] == "1"

    @pytest.mark.django_db
    def test_names_the_redis_that_does_not_answer(self, client, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"redis_url": NOWHERE})

        answer = client.get("/readyz")

        assert (answer.status_code, answer.json()["failing"]) == (503, ["redis"])
