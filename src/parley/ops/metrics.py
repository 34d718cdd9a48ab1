"""``/metrics``: what this process counts, in the text format that Prometheus reads (0.0.4)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from parley.kernel.metrics import Metric, known, watch

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PROCESS = Path("/proc/self")  # where there is such a place
STARTED = time.time()

watch("process_start_time_seconds", "When it started, since 1970.", lambda: STARTED)
watch("process_cpu_seconds_total", "Processor time spent.", time.process_time, kind="counter")


def _resident() -> int:
    pages = (PROCESS / "statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _open() -> int:
    return sum(1 for _ in (PROCESS / "fd").iterdir())


if PROCESS.exists():
    watch("process_resident_memory_bytes", "Memory in use.", _resident)
    watch("process_open_fds", "Files and sockets open.", _open)


@csrf_exempt
@require_safe
def metrics(_request: HttpRequest) -> HttpResponse:
    """What this process counts; it names nobody, and asks no database."""
    lines = [line for metric in known() for line in _lines(metric)]
    return HttpResponse("\n".join(lines) + "\n", content_type=CONTENT_TYPE)


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.says}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for values, number in sorted(metric.read().items()):
        labels = ",".join(
            f'{name}="{value}"' for name, value in zip(metric.labels, values, strict=True)
        )
        yield f"{metric.name}{f'{{{labels}}}' if labels else ''} {number}"
