"""What the demo tells the monitor, and which faults it runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.demo.prometheus import SCRAPE_SECONDS
from monitor.demo.topology import Topology

REQUEST_RATE = 10.0
OUTPUT_TOKENS = 150
"""About a second of stream from the mocker, so that some ten requests are in flight at any instant."""


@dataclass(frozen=True)
class Step:
    """One run of the demo."""

    fault: str
    title: str


def steps(topology: Topology) -> list[Step]:
    """The runs, in order."""
    role = "worker" if topology.layout == "agg" else "decode worker"
    kill = "worker" if topology.layout == "agg" else "decode_worker"
    which = f"the only {role}" if topology.workers == 1 else f"one of {topology.workers} {role}s"
    middle = [Step(kill, f"SIGKILL of {which}")]
    if topology.layout == "disagg":
        middle.append(Step("prefill_worker", "SIGKILL of a prefill worker"))
    return [
        Step("none", "control run: nothing is injected"),
        *middle,
        Step("worker_stall", f"{which} stands still for 8 s (SIGSTOP)"),
        Step("frontend", "SIGINT to the frontend"),
    ]


def configuration(
    *,
    endpoint: str,
    model: str,
    tokenizer: Path,
    supervisor_dir: Path,
    prometheus: str | None,
    port: int,
    data_dir: Path,
    otlp: str | None = None,
) -> dict[str, Any]:
    """The monitor's configuration, as it would stand in a file; `otlp` is host:port for the deployment's spans."""
    config: dict[str, Any] = {
        "data_dir": str(data_dir),
        "deployment": {
            "name": "dynamo",
            "endpoint": {"url": endpoint, "model": model},
            "target": {"kind": "local", "supervisor_dir": str(supervisor_dir)},
        },
        "probes": [
            {
                "name": "chat",
                "request_rate": REQUEST_RATE,
                "output_tokens": OUTPUT_TOKENS,
                "tokenizer": str(tokenizer),
                "request_timeout_seconds": 20,
                "overdue_seconds": 5,
            }
        ],
        "faults": {
            "none": {"objectives": {"failed_requests": 0}},
            "worker": {"objectives": {"recovery_seconds": 30, "error_window_seconds": 30}},
            "decode_worker": {"objectives": {"recovery_seconds": 30, "error_window_seconds": 30}},
            "prefill_worker": {"objectives": {"recovery_seconds": 30, "error_window_seconds": 30}},
            "worker_stall": {"objectives": {"recovery_seconds": 15, "failed_requests": 0}},
            "frontend": {"objectives": {"recovery_seconds": 10, "error_window_seconds": 10}},
        },
        "guard": {"cooldown_seconds": 0, "steady_state": {"window_seconds": 5, "min_requests": 20}},
        # Two thirds of a minute a run: enough for Dynamo's lease of 10 s, and a person is waiting.
        "run": {"baseline_seconds": 10, "hold_seconds": 10, "observe_seconds": 12, "horizon_seconds": 60},
        "api": {"listen": f"127.0.0.1:{port}"},
    }
    if prometheus is not None:
        config["prometheus"] = {"url": prometheus, "preset": "dynamo", "scrape_interval_seconds": SCRAPE_SECONDS}
    if otlp is not None:
        config["traces"] = {"http_listen": otlp}
    return config
