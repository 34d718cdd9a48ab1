import pytest
from django.test import RequestFactory
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from parley.kernel.metrics import answers
from parley.ops.metrics import metrics

OPEN = "application/openmetrics-text"


@pytest.fixture
def ask():
    def ask(method="get", **headers):
        return metrics(getattr(RequestFactory(headers=headers), method)("/metrics"))

    return ask


class TestMetrics:
    @pytest.mark.parametrize(
        ("accept", "type_", "read"),
        [
            ("", "text/plain", text_string_to_metric_families),
            (f"{OPEN}; version=1.0.0", OPEN, openmetrics.text_string_to_metric_families),
        ],
    )
    def test_are_what_prometheus_reads(self, ask, accept, type_, read):
        answers.counted["GET", "200"] += 1

        answer = ask(accept=accept)

        assert answer.headers["Content-Type"].startswith(f"{type_};")
        found = {each.name: each for each in read(answer.content.decode())}
        mine = {name for name in found if name.startswith("parley_")}
        assert mine == {
            "parley_http_requests",
            "parley_live_connections",
            "parley_requests_waiting",
            "parley_sends_waiting",
        }
        assert found["parley_http_requests"].type == "counter"
        assert "process_resident_memory_bytes" in found

    def test_are_only_asked(self, ask):
        answer = ask("post")

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")

    def test_are_there_by_default(self, client):
        assert client.get("/metrics").status_code == 200
