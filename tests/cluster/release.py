"""The chart as a release beside a deployment, and what is there of it."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client

from monitor.chart.build import CHART
from tests.chart.helm import Helm
from tests.cluster.manifests import Graph
from tests.cluster.rig.images import AFTERSHOCK
from tests.cluster.rig.node import MACHINE_ADDRESS
from tests.cluster.small import python
from tests.cluster.world import ASK, Cluster, until

RELEASE = "aftershock"
FOLDERS = "/var/lib/aftershock-test"
"""Of the node: where volumes lie."""
RESULTS = "results"
"""Secret with a PostgreSQL's address."""
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
        self.volume = ""
        """Its folder below FOLDERS, where it has one."""

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

    def ask_sqlite(self, query: str) -> list[list[Any]]:
        """Rows of the store, by a look into its file from inside."""
        script = (
            "import json, sqlite3; store = sqlite3.connect('file:/data/aftershock.db?mode=ro', uri=True); "
            f"print(json.dumps(store.execute({query!r}).fetchall()))"
        )
        words = [str(self.kubectl), "--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace]
        words += ["exec", f"deploy/{RELEASE}", "--", "python", "-c", script]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        rows: list[list[Any]] = json.loads(done.stdout)
        return rows

    def revision(self) -> str:
        """Of the store's schema."""
        return str(self.ask_sqlite("select version_num from alembic_version")[0][0])

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
def volume(cluster: Cluster, namespace: str, image: str, size: str = "") -> Iterator[str]:
    """A volume for the release's claim in a namespace, where the cluster makes none by itself; its name.

    With a size, such as `8m`, there is no more room than that in it; our own node only.
    """
    if not size and client.StorageV1Api(cluster.api).list_storage_class(_request_timeout=ASK).items:
        yield ""
        return
    name = f"aftershock-{uuid.uuid4().hex[:8]}"
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": f"{FOLDERS}/{name}"},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": namespace, "name": RELEASE},
    }
    on_the_node(
        cluster, namespace, image, f"import os; os.mkdir('/folders/{name}'); os.chmod('/folders/{name}', 0o777)"
    )
    if size:
        assert cluster.node is not None
        cluster.node.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", f"{FOLDERS}/{name}")
    body: Any = {"metadata": {"name": name}, "spec": spec}
    cluster.core.create_persistent_volume(body, _request_timeout=ASK)
    try:
        yield name
    finally:
        cluster.core.delete_persistent_volume(name, _request_timeout=ASK)
        if size and cluster.node is not None:
            cluster.node.run("umount", "--lazy", f"{FOLDERS}/{name}")
        on_the_node(cluster, namespace, image, f"import shutil; shutil.rmtree('/folders/{name}')")


def on_the_node(cluster: Cluster, namespace: str, image: str, script: str) -> None:
    """Run Python as root in a pod that sees the node's folder for volumes as /folders."""
    name = f"prepare-{uuid.uuid4().hex[:6]}"
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": python(script),
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "folders", "mountPath": "/folders"}],
    }
    folders = {"name": "folders", "hostPath": {"path": FOLDERS, "type": "DirectoryOrCreate"}}
    spec = {"containers": [container], "volumes": [folders], "restartPolicy": "Never"}
    body: Any = {"metadata": {"name": name}, "spec": spec}
    cluster.core.create_namespaced_pod(namespace, body, _request_timeout=ASK)
    try:
        until(f"pod {name} to be done", 60, lambda: _phase(cluster, namespace, name) in {"Succeeded", "Failed"})
        assert _phase(cluster, namespace, name) == "Succeeded"
    finally:
        cluster.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0, _request_timeout=ASK)


def _phase(cluster: Cluster, namespace: str, name: str) -> str:
    found: Any = cluster.core.read_namespaced_pod(name, namespace, _request_timeout=ASK)
    return str(found.status.phase)


@contextmanager
def in_postgres(cluster: Cluster, namespace: str, store: str) -> Iterator[dict[str, Any]]:
    """Values for a release whose store is a database on this machine; its address is in a Secret."""
    uri = store.replace("127.0.0.1", MACHINE_ADDRESS)
    secret: Any = {"metadata": {"name": RESULTS}, "stringData": {"uri": uri}}
    cluster.core.create_namespaced_secret(namespace, secret, _request_timeout=ASK)
    try:
        yield {"storage": {"postgres": {"existingSecret": RESULTS}}}
    finally:
        cluster.core.delete_namespaced_secret(RESULTS, namespace, _request_timeout=ASK)


@contextmanager
def installed(
    cluster: Cluster,
    programs: dict[str, Path],
    dynamo: str,
    graph: Graph,
    *,
    helm: Helm,
    config: dict[str, Any],
    values: dict[str, Any] | None = None,
    size: str = "",
) -> Iterator[Release]:
    """The chart in the deployment's own namespace; `size` is its volume's."""
    service: Any = cluster.core.read_namespaced_service(f"{graph.name}-frontend", dynamo, _request_timeout=ASK)
    endpoint = f"http://{service.spec.cluster_ip}:8000"  # no cluster DNS is needed
    image = cluster.image(AFTERSHOCK)
    with volume(cluster, dynamo, graph.image, size) as name:
        release = Release(cluster, helm, programs["kubectl"], dynamo)
        release.volume = name
        release.values = values or {}
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
