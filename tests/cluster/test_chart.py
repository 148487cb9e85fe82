"""The chart on a real cluster: installed beside Dynamo with an endpoint and a name, weeks in minutes, and gone again."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from monitor.store.database import HEAD
from tests.chart.helm import Helm, HelmRefused
from tests.cluster.manifests import Graph
from tests.cluster.release import QUICK, RELEASE, gone, installed, ours
from tests.cluster.rig.images import AFTERSHOCK
from tests.cluster.rig.next_version import REVISION, provide_next
from tests.cluster.runs import replicas_wanted, scaled_down
from tests.cluster.world import ASK, Cluster, until

SCHEDULED = ("worker_pod", "worker", "worker_stall", "worker_rollout", "worker_scale_down")
SOAK_SECONDS = 330.0


@pytest.mark.long
@pytest.mark.xdist_group("soak")
@pytest.mark.timeout(900)
def test_a_soak_on_a_schedule(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> None:
    schedules = [
        {
            "name": f"soak-{number}",
            "faults": [fault],
            # A minute each, in turns: who comes while another runs is skipped, and might be every time.
            "timing": {"cron": f"{number}-59/{len(SCHEDULED)} * * * *"},
            "missed_after_seconds": 45,
        }
        for number, fault in enumerate(SCHEDULED)
    ]
    config = QUICK | {"schedules": schedules}
    with installed(cluster, clients, namespace, graph, helm=helm, config=config) as release:
        with release.api() as api:
            deadline = time.monotonic() + SOAK_SECONDS
            until(
                "the soak to be over",
                SOAK_SECONDS + 300,
                lambda: time.monotonic() > deadline and set(SCHEDULED) <= _effective(api),
            )
            found = api.get("/api/v1/runs?limit=1000").json()["runs"]
            assert not [one for one in found if one["verdict"] in {"revert_failed", "not_injected"}], found
            assert api.get("/readyz").json()["status"] == "ready"
            api.post("/api/v1/stop", json={"reason": "the soak is over"}).raise_for_status()
            until("the deployment to be whole", 90, lambda: cluster.all_ready(namespace))
            api.post("/api/v1/resume", json={}).raise_for_status()
        said = release.run("test", RELEASE)
        assert "Succeeded" in said
        release.run("uninstall", RELEASE, "--wait", "--timeout", "240s")
        gone(cluster, namespace)


def _effective(api: httpx.Client) -> set[str]:
    """Faults that took effect and were judged."""
    found = api.get("/api/v1/runs?limit=1000").json()["runs"]
    return {one["fault_name"] for one in found if one["verdict"] in {"recovered", "no_impact", "not_recovered"}}


@pytest.mark.timeout(400)
def test_an_uninstall_during_a_fault_reverts_first(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> None:
    with installed(cluster, clients, namespace, graph, helm=helm, config=QUICK) as release:
        with release.api() as api:
            scaled_down(cluster, namespace, api)
        release.run("uninstall", RELEASE, "--wait", "--timeout", "240s")
        assert replicas_wanted(cluster, namespace) == 2
        gone(cluster, namespace)
    until("the deployment to be whole", 90, lambda: cluster.all_ready(namespace))


@pytest.mark.timeout(400)
def test_an_upgrade_during_a_fault_reverts_first_keeps_results_and_token_and_migrates_the_store(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> None:
    each_minute = [{"name": "control", "faults": ["none"], "timing": {"cron": "* * * * *"}}]
    config = QUICK | {"schedules": each_minute}
    with installed(cluster, clients, namespace, graph, helm=helm, config=config) as release:
        with release.api() as api:
            run = scaled_down(cluster, namespace, api)
        token = release.token()
        assert release.revision() == HEAD
        release.install(release.endpoint, graph.name, next_image(cluster), config | {"slo": {"good_ratio": 0.9}})
        upgraded_ns = time.time_ns()
        assert release.token() == token
        assert replicas_wanted(cluster, namespace) == 2
        assert release.revision() == (REVISION if cluster.node else HEAD)
        with release.api() as api:
            assert api.get(f"/api/v1/runs/{run}").json()["verdict"] == "aborted"
            assert api.get("/api/v1/status").json()["stopped"] is None
            until("a run of the schedule", 120, lambda: _judged_since(api, upgraded_ns))
    until("the deployment to be whole", 90, lambda: cluster.all_ready(namespace))


def next_image(cluster: Cluster) -> str:
    """Of the next version, where there is a node to hand it to."""
    return provide_next(cluster.node, print) if cluster.node else cluster.image(AFTERSHOCK)


def _judged_since(api: httpx.Client, since_ns: int) -> bool:
    """Whether a scheduled run has begun after that, and has come to its end."""
    found = api.get("/api/v1/runs?limit=1000").json()["runs"]
    later = [one for one in found if one["requested_by"] == "schedule:control" and one["t_requested"] > since_ns]
    return any(one["verdict"] in {"no_impact", "recovered", "not_recovered"} for one in later)


@pytest.mark.timeout(400)
def test_a_missing_service_lets_no_uninstall_pass(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> None:
    with installed(cluster, clients, namespace, graph, helm=helm, config=QUICK) as release:
        cluster.apps.patch_namespaced_deployment_scale(
            RELEASE, namespace, {"spec": {"replicas": 0}}, _request_timeout=ASK
        )
        until("the service to be gone", 120, lambda: not cluster.pods(namespace, "app.kubernetes.io/name=aftershock"))
        with pytest.raises(HelmRefused, match="aftershock-revert"):
            release.run("uninstall", RELEASE, "--wait", "--timeout", "240s")
        assert any("Secret" in one for one in ours(cluster, namespace))
