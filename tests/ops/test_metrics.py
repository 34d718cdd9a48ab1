import re

from django.test import Client

from parley.kernel.metrics import Counter, watch

COMMENT = re.compile(r"# (HELP [a-z_]+ \S.*|TYPE [a-z_]+ (counter|gauge))")
SAMPLE = re.compile(
    r'([a-z_]+)(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? (\d+(\.\d+)?(e[+-]\d+)?)'
)


class TestMetrics:
    def test_are_written_for_prometheus(self, client):
        answer = client.get("/metrics")

        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.content.decode()
        assert text.endswith("\n")
        for line in text.splitlines():
            assert (COMMENT if line.startswith("#") else SAMPLE).fullmatch(line), line

    def test_tell_what_is_counted_and_watched(self, client):
        counter = Counter("parley_test_total", "For this test.", "kind", "status")
        counter.add("a", "1")
        counter.add("a", "1")
        counter.add("b", "2")
        watch("parley_test", "For this test.", lambda: 7)

        lines = client.get("/metrics").content.decode().splitlines()

        at = lines.index("# HELP parley_test_total For this test.")
        assert lines[at + 1 : at + 4] == [
            "# TYPE parley_test_total counter",
            'parley_test_total{kind="a",status="1"} 2',
            'parley_test_total{kind="b",status="2"} 1',
        ]
        assert "parley_test 7" in lines
        assert "# TYPE process_cpu_seconds_total counter" in lines

    def test_are_only_asked(self):
        answer = Client(enforce_csrf_checks=True).post("/metrics")

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
