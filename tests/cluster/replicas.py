"""Two real replicas of the service on this machine, with a real PostgreSQL, acting on pods of the real cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from kubernetes import client

from tests.cluster.small import Small
from tests.cluster.world import ASK, Cluster
from tests.support.monitor import Monitor, free_port, wait_for

SECONDS = 8
STALL_SECONDS = 300
GRACE = 10.0
"""What a takeover may take beyond the lease time."""


@dataclass
class Pair:
    """Replicas called `a` and `b`; `worker` is what they may break."""

    cluster: Cluster
    worker: Small
    replicas: Mapping[str, Monitor]

    def lease(self) -> Any:
        """The Lease as it is; None when there is none."""
        api = client.CoordinationV1Api(self.cluster.api)
        try:
            return api.read_namespaced_lease(self.worker.name, self.worker.namespace, _request_timeout=ASK)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def holder(self) -> str:
        """`a`, `b`, or empty."""
        lease = self.lease()
        return str(lease.spec.holder_identity or "").partition("_")[0] if lease is not None else ""

    def steal(self) -> None:
        """Write another name into the Lease, as a replica would that had seen nothing of the leader for long."""
        lease = self.lease()
        lease.spec.holder_identity = "somebody-else"
        api = client.CoordinationV1Api(self.cluster.api)
        api.replace_namespaced_lease(self.worker.name, self.worker.namespace, lease, _request_timeout=ASK)

    def leading(self, seconds: float = 90.0, *, other_than: str = "") -> tuple[str, Monitor]:
        """The replica that leads and answers as a leader, once one does."""

        def look() -> str | None:
            name = self.holder()
            if name not in self.replicas or name == other_than:
                return None
            with contextlib.suppress(Exception):
                return name if self.replicas[name].get("/api/v1/status", check=False).status_code == 200 else None
            return None

        name = wait_for("a leader", look, seconds)
        return name, self.replicas[name]

    def other(self, name: str) -> Monitor:
        return self.replicas["b" if name == "a" else "a"]

    # --- the deployment ---------------------------------------------------------------------------

    def wanted(self) -> int:
        """Replicas that the worker's Deployment asks for."""
        found: Any = self.cluster.apps.read_namespaced_deployment(
            self.worker.name, self.worker.namespace, _request_timeout=ASK
        )
        return int(found.spec.replicas)

    def generation(self) -> int:
        """How often what is wanted has changed."""
        found: Any = self.cluster.apps.read_namespaced_deployment(
            self.worker.name, self.worker.namespace, _request_timeout=ASK
        )
        return int(found.metadata.generation)


def config(endpoint: int, store: str, worker: Small, kubeconfig: Path, name: str) -> dict[str, Any]:
    """Of one replica, with short windows."""
    target = {
        "kind": "kubernetes",
        "namespace": worker.namespace,
        "kubeconfig": str(kubeconfig),
        "components": [{"component": "worker", "selector": worker.selector}],
    }
    down = {"kind": "scale", "component": "worker", "replicas": 1, "duration_seconds": 3000}
    cordon = {"kind": "node_cordon", "component": "worker", "duration_seconds": 3000}
    stall = {"kind": "process_stall", "component": "worker", "duration_seconds": STALL_SECONDS}
    return {
        "deployment": {
            "name": "small",
            "endpoint": {"url": f"http://127.0.0.1:{endpoint}", "model": "scripted"},
            "target": target,
        },
        "probes": [
            {"name": "chat", "request_rate": 5, "output_tokens": 8, "request_timeout_seconds": 5, "overdue_seconds": 2}
        ],
        "faults": {"down": {"fault": down}, "stall": {"fault": stall}, "cordon": {"fault": cordon}},
        "guard": {"cooldown_seconds": 0, "max_percent": 100, "steady_state": {"window_seconds": 4, "min_requests": 10}},
        "run": {"baseline_seconds": 3, "hold_seconds": 2, "observe_seconds": 3, "horizon_seconds": 15},
        "store": {"url": store},
        "leader": {
            "enabled": True,
            "lease_name": worker.name,
            "namespace": worker.namespace,
            "lease_seconds": SECONDS,
            "identity": name,
        },
    }


@contextmanager
def endpoint() -> Iterator[int]:
    """An OpenAI-compatible server, that nobody breaks."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.scripted_main", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


def family(monitor: Monitor) -> list[psutil.Process]:
    """The service's process and all that it started."""
    assert monitor.process is not None
    first = psutil.Process(monitor.process.pid)
    return [first, *first.children(recursive=True)]


def freeze(monitor: Monitor) -> list[psutil.Process]:
    """Stop all of its processes, as a node does that stands still; `thaw` lets them go on."""
    found = family(monitor)
    for one in found:
        one.send_signal(signal.SIGSTOP)
    return found


def thaw(frozen: list[psutil.Process]) -> None:
    """The end of that; the service's own process first, and what is left of the others."""
    for one in frozen:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(one.pid, signal.SIGCONT)
