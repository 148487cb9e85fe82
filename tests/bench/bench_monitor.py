"""CPU and memory of the monitor at 50 requests/s, beside aiperf's own in the same run. Prints JSON; asserts nothing.

`python -m tests.bench.bench_monitor [--minutes 3] [--rate 50]`. Growth is judged from a sixth of the time on, which is
ten minutes of an hour.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.support.monitor import Monitor, free_port, supervised, wait_for

SAMPLE_SECONDS = 5.0


def main() -> None:
    """Start everything, sample, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=50.0)
    given = parser.parse_args()
    port = free_port()
    server = {
        "name": "frontend",
        "command": [sys.executable, "-m", "tests.support.scripted_main", "--port", str(port)],
        "ready": {"http": f"http://127.0.0.1:{port}/health", "timeout_seconds": 20},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {
            "deployment": {"endpoint": {"url": f"http://127.0.0.1:{port}", "model": "scripted"}},
            "probes": [{"name": "chat", "request_rate": given.rate, "output_tokens": 16, "rotate_seconds": 600}],
            "schedules": [{"name": "control", "faults": ["none"], "timing": {"every_seconds": 120}}],
        }
        with (
            supervised({"name": "bench", "components": [server]}, folder / "deployment"),
            Monitor(config, folder / "monitor") as monitor,
        ):
            monitor.start()
            monitor.wait_steady()
            print(json.dumps(measure(monitor, given.minutes * 60), indent=1))


def measure(monitor: Monitor, seconds: float) -> dict[str, Any]:
    """Sample until the time is over."""
    assert monitor.process is not None
    service = psutil.Process(monitor.process.pid)
    began, service_cpu = time.monotonic(), cpu(service)
    children: dict[int, tuple[float, float]] = {}
    memory: list[tuple[float, float]] = []
    while (age := time.monotonic() - began) < seconds:
        memory.append((age, service.memory_info().rss / 1e6))
        for child in service.children(recursive=True):
            try:
                now = cpu(child)
            except psutil.NoSuchProcess:
                continue
            first = children.get(child.pid, (0.0 if age > SAMPLE_SECONDS else now, now))[0]
            children[child.pid] = (first, now)
        wait_for("the next sample", lambda: time.monotonic() - began >= age + SAMPLE_SECONDS, SAMPLE_SECONDS + 60)
    spent = cpu(service) - service_cpu
    load = sum(last - first for first, last in children.values())
    settled = [rss for age, rss in memory if age >= seconds / 6] or [rss for _, rss in memory]
    probe = monitor.status()["probes"][0]
    return {
        "seconds": round(seconds),
        "requests": probe["sent"],
        "monitor_cpu_seconds": round(spent, 1),
        "aiperf_cpu_seconds": round(load, 1),
        "monitor_over_aiperf": round(spent / load, 3),
        "monitor_rss_mb": {
            "first": round(memory[0][1], 1),
            "settled": round(settled[0], 1),
            "last": round(settled[-1], 1),
            "max": round(max(settled), 1),
        },
        "growth_after_settling": round(settled[-1] / settled[0] - 1, 4),
        "runs": monitor.get("/api/v1/runs").json()["total"],
        "store_mb": round((monitor.folder / "data" / "aftershock.db").stat().st_size / 1e6, 1),
    }


def cpu(process: psutil.Process) -> float:
    """User and system seconds of one process."""
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
