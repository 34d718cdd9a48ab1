"""What a process counts of itself, for whatever watches over it: numbers, and nobody's data.

They stand in Prometheus's own registry, beside what its library tells of the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import REGISTRY, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Answers(Collector):
    """How many requests were answered, by method and status.

    The event loop alone counts, with every request: the library's counter, which any thread may
    raise, would cost a hundred times as much.
    """

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterable[CounterMetricFamily]:
        labels = ["method", "status"]
        family = CounterMetricFamily("parley_http_requests", "Requests answered.", labels=labels)
        for (method, status), number in self.counted.copy().items():
            family.add_metric([method, status], number)
        yield family


answers = Answers()
REGISTRY.register(answers)
live_connections = Gauge("parley_live_connections", "WebSockets, event streams and long polls.")
sends_waiting = Gauge("parley_sends_waiting", "Messages that were taken and are not committed yet.")
requests_waiting = Gauge("parley_requests_waiting", "Requests that wait for a thread.")
