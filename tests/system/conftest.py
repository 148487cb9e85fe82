"""A deployment that costs nothing: a scripted OpenAI server and idle workers, under the real supervisor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.monitor import Monitor, free_port, supervised

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: time.sleep(1)"
IDLE = "import time\nwhile True: time.sleep(1)"


@dataclass(frozen=True)
class Stub:
    """A running stub deployment."""

    state: Path
    port: int

    def config(self, **changes: Any) -> dict[str, Any]:
        """A monitor configuration with short windows."""
        return {
            "deployment": {
                "name": "stub",
                "endpoint": {"url": f"http://127.0.0.1:{self.port}", "model": "scripted"},
                "target": {"kind": "local", "supervisor_dir": str(self.state)},
            },
            "probes": [
                {
                    "name": "chat",
                    "request_rate": 10,
                    "output_tokens": 8,
                    "request_timeout_seconds": 5,
                    "overdue_seconds": 2,
                }
            ],
            "guard": {"cooldown_seconds": 0, "steady_state": {"window_seconds": 3, "min_requests": 10}},
            "run": {
                "baseline_seconds": 3,
                "hold_seconds": 2,
                "observe_seconds": 3,
                "horizon_seconds": 15,
            },
        } | changes


def document(port: int) -> dict[str, Any]:
    """The stub deployment: `server` answers, `worker` idles, `stubborn` ignores SIGTERM."""
    python = sys.executable
    return {
        "name": "stub",
        "components": [
            {
                "name": "frontend",
                "command": [python, "-m", "tests.support.scripted_main", "--port", str(port)],
                "ready": {"http": f"http://127.0.0.1:{port}/health", "timeout_seconds": 20},
                "restart": {"when": "always", "delay_seconds": 0.5},
            },
            {
                "name": "worker",
                "replicas": 2,
                "command": [python, "-c", IDLE],
                "restart": {"when": "always", "delay_seconds": 0.2},
            },
            {"name": "stubborn", "command": [python, "-c", STUBBORN], "stop_signal": "SIGKILL"},
        ],
    }


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    """The stub deployment, up."""
    port = free_port()
    with supervised(document(port), tmp_path / "deployment") as state:
        yield Stub(state, port)


@pytest.fixture
def monitor(stub: Stub, tmp_path: Path) -> Iterator[Monitor]:
    """A monitor of the stub deployment, its probes sending."""
    with Monitor(stub.config(), tmp_path / "monitor") as service:
        service.start()
        service.wait_steady()
        yield service
