"""What bad luck gets on a real cluster: a whole service with real aiperf, and an API server that goes away."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.manifests import Graph
from tests.cluster.small import Small, deploy, image_of
from tests.cluster.world import ASK, Cluster, own_node, until
from tests.support.monitor import Monitor, free_port, supervised, wait_for
from tests.support.openmetrics import total

pytestmark = [pytest.mark.long, pytest.mark.alone]

REPLICAS = 2


@pytest.fixture(scope="module")
def small(cluster: Cluster, graph: Graph) -> Iterator[Small]:
    """The workers: what faults act on."""
    with cluster.namespace("luck") as place:
        yield deploy(cluster, place, image_of(graph), replicas=REPLICAS)


@pytest.fixture(scope="module")
def monitor(cluster: Cluster, small: Small, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """A service whose probes have an endpoint of their own, so that what they see is never the workers' doing."""
    folder, port = tmp_path_factory.mktemp("luck"), free_port()
    command = [sys.executable, "-m", "tests.support.scripted_main", "--port", str(port)]
    ready = {"http": f"http://127.0.0.1:{port}/health", "timeout_seconds": 20}
    document = {"name": "stub", "components": [{"name": "frontend", "command": command, "ready": ready}]}
    with supervised(document, folder / "deployment"), Monitor(config(cluster, small, port), folder / "m") as service:
        service.start()
        service.wait_steady()
        yield service


def config(cluster: Cluster, small: Small, port: int) -> dict[str, Any]:
    target = {
        "kind": "kubernetes",
        "namespace": small.namespace,
        "kubeconfig": str(cluster.kubeconfig),
        "components": [{"component": "worker", "selector": small.selector}],
        "timeout_seconds": 2,
    }
    return {
        "deployment": {
            "name": "small",
            "endpoint": {"url": f"http://127.0.0.1:{port}", "model": "scripted"},
            "target": target,
        },
        "probes": [
            {"name": "chat", "request_rate": 5, "output_tokens": 8, "request_timeout_seconds": 5, "overdue_seconds": 2}
        ],
        "guard": {
            "cooldown_seconds": 0,
            "steady_state": {"window_seconds": 4, "min_requests": 10, "max_bad_ratio": 0.2},
        },
        "run": {"baseline_seconds": 3, "hold_seconds": 2, "observe_seconds": 2, "horizon_seconds": 15},
    }


def value(monitor: Monitor, name: str, labels: str = "") -> float:
    return total(monitor.get("/metrics").text, name, labels)


def good(monitor: Monitor) -> float:
    return value(monitor, "probe_requests_total", 'outcome="good"')


def replicas(small: Small) -> int:
    found = small.cluster.apps.read_namespaced_deployment_scale(small.name, small.namespace, _request_timeout=ASK)
    return int(found.spec.replicas or 0)


def test_a_pod_that_somebody_deletes_during_our_stall_is_said_to_be_gone(monitor: Monitor, small: Small) -> None:
    monitor.wait_steady(fault="worker_stall")
    run = monitor.inject("worker_stall", duration_seconds=60)
    run = monitor.wait_phase(run["id"], "effective")
    pod = run["instances"][0]["name"]
    small.cluster.core.delete_namespaced_pod(pod, small.namespace, grace_period_seconds=0, _request_timeout=ASK)
    run = monitor.finished(run["id"])
    assert run["verdict"] == "no_impact", run["reason"]
    assert not run["receipt_open"]
    said = " | ".join(run["observations"])
    assert "ended early" in said and "its container ended" in said
    assert "the pod is gone" in said
    until("the workers", 60, small.ready)


def test_a_revert_waits_for_a_dead_api_server_and_probes_go_on(
    cluster: Cluster, monitor: Monitor, small: Small
) -> None:
    node = own_node(cluster, "its control plane is not harmed")
    until("the workers", 60, small.ready)
    monitor.wait_steady(fault="worker_scale_down")
    run = monitor.inject("worker_scale_down", duration_seconds=3600)
    run = monitor.wait_phase(run["id"], "effective")
    assert replicas(small) == 1
    assert value(monitor, "reverts_stuck") == 0
    with node.without("apiserver"):
        before = good(monitor)
        failed = monitor.post("/api/v1/recover").json()["failed"]
        assert [one["run_id"] for one in failed] == [run["id"]]
        assert "cannot be reached" in failed[0]["reason"]
        wait_for("the metric", lambda: value(monitor, "reverts_stuck") == 1, 10)
        run = monitor.run(run["id"])
        assert (run["verdict"], run["receipt_open"]) == ("revert_failed", True)
        dry = monitor.post("/api/v1/runs", {"fault": "worker_pod", "dry_run": True}).json()
        assert f"run {run['id']} is not reverted yet" in dry["would_be_refused"]
        wait_for("good requests meanwhile", lambda: good(monitor) >= before + 10, 30)
    wait_for("the revert", lambda: value(monitor, "reverts_stuck") == 0, 60)
    run = monitor.run(run["id"])
    assert not run["receipt_open"]
    assert f"set back to {REPLICAS} replicas" in run["observations"][-1]
    assert replicas(small) == REPLICAS
    assert value(monitor, "probe_requests_total", 'outcome="failed"') == 0
    until("the workers", 60, small.ready)


def test_a_slow_etcd_refuses_runs_for_a_while_and_probes_go_on(
    cluster: Cluster, monitor: Monitor, small: Small
) -> None:
    node = own_node(cluster, "its control plane is not harmed")
    monitor.wait_steady(fault="worker_pod")
    before = good(monitor)
    with node.stopped("etcd"):
        dry = monitor.post("/api/v1/runs", {"fault": "worker_pod", "dry_run": True}).json()
        assert re.search(r"no answer from the API server within 2 s|the API server failed", dry["would_be_refused"])
        wait_for("good requests meanwhile", lambda: good(monitor) >= before + 5, 30)
        assert value(monitor, "probe_up") == 1
    monitor.wait_steady(fault="worker_pod")
    done = monitor.finished(monitor.inject("worker_pod", force=True)["id"])
    assert done["verdict"] == "no_impact", done["reason"]
    assert "replaced by" in done["evidence"]["summary"]
    assert value(monitor, "probe_requests_total", 'outcome="failed"') == 0
    until("the workers", 60, small.ready)
