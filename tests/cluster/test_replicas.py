"""The chart with two replicas on the real cluster: the leader's pod is deleted while a fault acts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client

from tests.chart.helm import Helm
from tests.cluster.manifests import Graph
from tests.cluster.release import QUICK, RELEASE, Release, gone, in_postgres
from tests.cluster.rig.images import AFTERSHOCK
from tests.cluster.runs import replicas_wanted, scaled_down
from tests.cluster.world import ASK, Cluster, until
from tests.support.postgres import Server

pytestmark = pytest.mark.long

SECONDS = 10
GRACE = 10.0
PODS = f"app.kubernetes.io/name=aftershock,app.kubernetes.io/instance={RELEASE}"


class Replicated(Release):
    """Two replicas; its API is that of the pod that leads."""

    forward_to = ""

    def leader(self) -> str:
        """The pod that holds the lease; empty when none does."""
        api = client.CoordinationV1Api(self.cluster.api)
        found: Any = api.read_namespaced_lease(RELEASE, self.namespace, _request_timeout=ASK)
        return str((found.spec.holder_identity if found.spec else "") or "").partition("_")[0]

    def endpoints(self) -> list[str]:
        """Addresses to which the Service leads."""
        try:
            found: Any = self.cluster.core.read_namespaced_endpoints(RELEASE, self.namespace, _request_timeout=ASK)
        except client.ApiException as error:
            if error.status == 404:
                return []
            raise
        return [one.ip for part in found.subsets or () for one in part.addresses or ()]

    def address(self, pod: str) -> str:
        found = {one.metadata.name: one.status.pod_ip for one in self.cluster.pods(self.namespace, PODS)}
        return str(found.get(pod, ""))

    def leads(self, other_than: str = "") -> str:
        """The pod that leads and to which the Service leads, once there is one."""
        found: list[str] = []

        def look() -> bool:
            name = self.leader()
            if name and name != other_than and self.endpoints() == [self.address(name)]:
                found.append(name)
            return bool(found)

        until("a leader behind the Service", 120, look)
        return found[0]

    def target(self) -> str:
        return f"pod/{self.forward_to}"


@pytest.fixture
def release(
    cluster: Cluster, graph: Graph, namespace: str, programs: tuple[Helm, Path], database: Server
) -> Iterator[Replicated]:
    """The chart with two replicas, in the deployment's own namespace."""
    service: Any = cluster.core.read_namespaced_service(f"{graph.name}-frontend", namespace, _request_timeout=ASK)
    made = Replicated(cluster, *programs, namespace)
    with in_postgres(cluster, namespace, database.new()) as values:
        made.values = values | {"replicas": 2}
        try:
            endpoint = f"http://{service.spec.cluster_ip}:8000"
            made.install(endpoint, graph.name, cluster.image(AFTERSHOCK), QUICK)
            yield made
        finally:
            if made.run("list", "--short").split():
                print(made.logs())
                made.run("uninstall", RELEASE, "--no-hooks", "--wait")


@pytest.fixture(scope="module")
def programs(helm: Helm, clients: dict[str, Path]) -> tuple[Helm, Path]:
    """helm and kubectl."""
    return helm, clients["kubectl"]


@pytest.mark.timeout(900)
def test_the_leaders_pod_is_deleted_during_a_fault(cluster: Cluster, namespace: str, release: Replicated) -> None:
    first = release.forward_to = release.leads()
    with release.api() as api:
        run = scaled_down(cluster, namespace, api)
    # Without grace, as when a node ends: nobody is left in it to revert.
    cluster.core.delete_namespaced_pod(first, namespace, grace_period_seconds=0, _request_timeout=ASK)
    since = time.monotonic()
    until("the scale-down to be put back", 60, lambda: replicas_wanted(cluster, namespace) == 2)
    took = time.monotonic() - since
    second = release.forward_to = release.leads(other_than=first)
    with release.api() as api:
        found = api.get(f"/api/v1/runs/{run}").json()
        assert (found["verdict"], found["receipt_open"]) == ("aborted", False)
        every = api.get("/api/v1/runs?limit=1000").json()["runs"]
        assert [one["id"] for one in every if one["verdict"] != "skipped"] == [run]  # refused ones broke nothing
        assert "aftershock_leader 1.0" in api.get("/metrics").text
    assert took < SECONDS + GRACE, f"put back after {took:.1f} s"

    until("two pods to be ready", 120, lambda: ready(release) == 2)
    (standby,) = {one.metadata.name for one in cluster.pods(namespace, PODS)} - {second, first}
    release.forward_to = standby
    with release.api() as api:
        answer = api.get("/api/v1/status")
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith(f"this replica stands by: {second}_")
        assert "aftershock_leader 0.0" in api.get("/metrics").text
    until("everything to be whole", 120, lambda: cluster.all_ready(namespace))
    release.forward_to = second
    with release.api() as api:
        until("the leader to let a run begin", 60, lambda: let(api))
    # The hook and the test reach the leader by the Service.
    assert "Succeeded" in release.run("test", RELEASE)
    release.run("uninstall", RELEASE, "--wait", "--timeout", "240s")
    gone(cluster, namespace)
    leases: Any = client.CoordinationV1Api(cluster.api).list_namespaced_lease(namespace, _request_timeout=ASK).items
    endpoints: Any = cluster.core.list_namespaced_endpoints(namespace, _request_timeout=ASK).items
    left = [one.metadata.name for one in (*leases, *endpoints) if "aftershock" in one.metadata.name]
    assert left == []


def let(api: httpx.Client) -> bool:
    """Whether the guard would let a control run begin."""
    return api.post("/api/v1/runs", json={"fault": "none", "dry_run": True}).json()["would_be_refused"] is None


def ready(release: Replicated) -> int:
    found: Any = release.cluster.apps.read_namespaced_deployment(RELEASE, release.namespace, _request_timeout=ASK)
    return int(found.status.ready_replicas or 0)
