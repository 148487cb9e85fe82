"""The chart on a real cluster: installed beside Dynamo with an endpoint and a name, weeks in minutes, and gone again."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client

from monitor.chart.build import CHART
from tests.chart.helm import Helm, HelmRefused
from tests.cluster.manifests import Graph
from tests.cluster.rig.images import AFTERSHOCK
from tests.cluster.world import ASK, Cluster, until

RELEASE = "aftershock"
SCHEDULED = ("worker_pod", "worker", "worker_stall", "worker_rollout", "worker_scale_down")
SOAK_SECONDS = 330.0
QUICK: dict[str, Any] = {
    "probes": [{"name": "chat", "request_rate": 5}],
    "run": {"baseline_seconds": 5, "observe_seconds": 3, "hold_seconds": 3, "horizon_seconds": 60},
    "guard": {"cooldown_seconds": 1, "steady_state": {"window_seconds": 5, "max_bad_ratio": 0.05}},
    "faults": {
        "worker_scale_down": {"fault": {"kind": "scale", "component": "worker", "replicas": 1, "duration_seconds": 10}}
    },
}
"""Short stretches: what is asked here is whether it works at all, not how exact it is."""


class Release:
    """An installed chart, and its API by port-forward."""

    def __init__(self, cluster: Cluster, helm: Helm, kubectl: Path, namespace: str) -> None:
        self.cluster, self.helm, self.kubectl, self.namespace = cluster, helm, kubectl, namespace
        self.endpoint = ""
        self.values: dict[str, Any] = {}
        """Further values."""

    def target(self) -> str:
        """What a port-forward goes to."""
        return f"svc/{RELEASE}"

    def run(self, *words: str, timeout: float = 400) -> str:
        """helm, in our namespace."""
        return self.helm.run(
            *words, "--namespace", self.namespace, "--kubeconfig", str(self.cluster.kubeconfig), timeout=timeout
        )

    def install(self, endpoint: str, deployment: str, image: str, config: dict[str, Any]) -> None:
        """Endpoint and deployment name, besides the image of the rig and what makes the test short."""
        self.endpoint = endpoint
        repository, _, tag = image.rpartition(":")
        values = self.helm.home / f"{self.namespace}.json"
        given = {"image": {"repository": repository, "tag": tag}, "config": config, **self.values}
        values.write_text(json.dumps(given), encoding="utf-8")
        must = ("--set", f"endpoint={endpoint}", "--set", f"deployment={deployment}")
        self.run("upgrade", "--install", RELEASE, str(CHART), *must, "-f", str(values), "--wait", "--timeout", "180s")

    def token(self) -> str:
        """The API's token, out of the Secret."""
        secret: Any = self.cluster.core.read_namespaced_secret(f"{RELEASE}-token", self.namespace, _request_timeout=ASK)
        return base64.b64decode(secret.data["token"]).decode()

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """The API, through kubectl port-forward, with the token of the Secret."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [str(self.kubectl), "--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace]
        words += ["port-forward", self.target(), f"{port}:8600"]
        forward = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            headers = {"Authorization": f"Bearer {self.token()}"}
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60
            ) as session:
                until("the port-forward", 30, lambda: _answers(session))
                yield session
        finally:
            forward.terminate()
            forward.wait()

    def logs(self) -> str:
        """The service's last words, for a failed test."""
        words = [str(self.kubectl), "--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace]
        words += ["logs", f"deploy/{RELEASE}", "--tail", "60"]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout


def _answers(session: httpx.Client) -> bool:
    try:
        return session.get("/healthz").is_success
    except httpx.TransportError:
        return False


@contextmanager
def volume(cluster: Cluster) -> Iterator[None]:
    """A volume for the claim, where the cluster makes none by itself."""
    classes = client.StorageV1Api(cluster.api).list_storage_class(_request_timeout=ASK).items
    if classes or cluster.node is None:
        yield
        return
    name, folder = "aftershock-test", "/var/lib/aftershock-test"
    cluster.node.run("rm", "-rf", folder)
    cluster.node.run("install", "-d", "-m", "0777", folder)
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": folder},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    body: Any = {"metadata": {"name": name}, "spec": spec}
    cluster.core.create_persistent_volume(body, _request_timeout=ASK)
    try:
        yield
    finally:
        cluster.core.delete_persistent_volume(name, _request_timeout=ASK)
        cluster.node.run("rm", "-rf", folder)


@contextmanager
def installed(
    cluster: Cluster, programs: dict[str, Path], dynamo: str, graph: Graph, *, helm: Helm, config: dict[str, Any]
) -> Iterator[Release]:
    """The chart in the deployment's own namespace."""
    service: Any = cluster.core.read_namespaced_service(f"{graph.name}-frontend", dynamo, _request_timeout=ASK)
    endpoint = f"http://{service.spec.cluster_ip}:8000"  # no cluster DNS is needed
    image = cluster.image(AFTERSHOCK)
    with volume(cluster):
        release = Release(cluster, helm, programs["kubectl"], dynamo)
        try:
            release.install(endpoint, graph.name, image, config)
            yield release
        except BaseException:
            print(release.logs())
            raise
        finally:
            if release.run("list", "--short").split():
                release.run("uninstall", RELEASE, "--no-hooks", "--wait")


def ours(cluster: Cluster, namespace: str) -> list[str]:
    """Every object with our label or name, of every kind that the chart knows."""
    core, apps, rbac = cluster.core, cluster.apps, client.RbacAuthorizationV1Api(cluster.api)
    network, batch = client.NetworkingV1Api(cluster.api), client.BatchV1Api(cluster.api)
    lists = (
        *(core.list_namespaced_pod, core.list_namespaced_service, core.list_namespaced_config_map),
        *(core.list_namespaced_secret, core.list_namespaced_service_account),
        *(core.list_namespaced_persistent_volume_claim, apps.list_namespaced_deployment),
        *(rbac.list_namespaced_role, rbac.list_namespaced_role_binding),
        *(network.list_namespaced_network_policy, network.list_namespaced_ingress, batch.list_namespaced_job),
    )
    everything: list[Any] = [item for each in lists for item in each(namespace, _request_timeout=ASK).items]
    named = [one for one in everything if "aftershock" in f"{one.metadata.name} {one.metadata.labels}"]
    return [f"{type(one).__name__} {one.metadata.name}" for one in named]


def gone(cluster: Cluster, namespace: str) -> None:
    """Not one object of ours is left; pods have a grace."""
    until("everything of ours to be gone", 120, lambda: not ours(cluster, namespace))
    cluster_wide = client.RbacAuthorizationV1Api(cluster.api)
    roles: list[Any] = cluster_wide.list_cluster_role(_request_timeout=ASK).items
    assert not [one.metadata.name for one in roles if "aftershock" in one.metadata.name]


def phase(api: httpx.Client, run: str) -> str:
    return str(api.get(f"/api/v1/runs/{run}").json()["phase"])


def begin(api: httpx.Client, fault: str, changes: dict[str, Any] | None = None) -> str:
    """The id of a run, begun as soon as the guard lets it."""
    begun: list[str] = []

    def asked() -> bool:
        answer = api.post("/api/v1/runs", json={"fault": fault, "changes": changes or {}})
        if answer.status_code == 202:
            begun.append(str(answer.json()["id"]))
        else:
            assert answer.status_code == 409, answer.text
        return bool(begun)

    until(f"{fault} to be let", 120, asked)
    return begun[0]


@pytest.mark.timeout(900)
def test_a_soak_on_a_schedule(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> None:
    schedules = [
        {
            "name": f"soak-{number}",
            "faults": [fault],
            # Often enough that each has its turn; who comes while another runs is skipped.
            "timing": {"every_seconds": 47 + 9 * number},
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
            run = begin(api, "worker_scale_down", {"duration_seconds": 3000})
            until("the fault to act", 90, lambda: phase(api, run) == "effective")
            assert _replicas(cluster, namespace) == 1
        release.run("uninstall", RELEASE, "--wait", "--timeout", "240s")
        assert _replicas(cluster, namespace) == 2
        gone(cluster, namespace)
    until("the deployment to be whole", 90, lambda: cluster.all_ready(namespace))


@pytest.mark.timeout(400)
def test_an_upgrade_during_a_fault_reverts_first_and_keeps_results_and_token(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> None:
    with installed(cluster, clients, namespace, graph, helm=helm, config=QUICK) as release:
        with release.api() as api:
            run = begin(api, "worker_scale_down", {"duration_seconds": 3000})
            until("the fault to act", 90, lambda: phase(api, run) == "effective")
        token = release.token()
        changed = QUICK | {"slo": {"good_ratio": 0.9}}
        release.install(release.endpoint, graph.name, cluster.image(AFTERSHOCK), changed)
        assert release.token() == token
        assert _replicas(cluster, namespace) == 2
        with release.api() as api:
            assert api.get(f"/api/v1/runs/{run}").json()["verdict"] == "aborted"
            assert api.get("/api/v1/status").json()["stopped"] is None
    until("the deployment to be whole", 90, lambda: cluster.all_ready(namespace))


def _replicas(cluster: Cluster, namespace: str) -> int:
    found: list[Any] = cluster.apps.list_namespaced_deployment(namespace, _request_timeout=ASK).items
    (worker,) = [one for one in found if "worker" in one.metadata.name]
    return int(worker.spec.replicas)


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
