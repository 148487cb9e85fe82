"""A node that is only an object of the API, for faults that would disturb everybody on a real one."""

from __future__ import annotations

import uuid
from typing import Any

from faults.kube.api import MERGE
from faults.kube.nodes import MARK
from tests.cluster.small import Small, python
from tests.cluster.world import ASK, Cluster, until


class PaperNode:
    """A node without a kubelet. What its pods would tell of themselves is written by us."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        cluster.core.create_node(
            {"metadata": {"name": name, "labels": {"aftershock-test": "yes"}}}, _request_timeout=ASK
        )

    def look(self) -> Any:
        return self.cluster.core.read_node(self.name, _request_timeout=ASK)

    @property
    def cordoned(self) -> bool:
        return bool(self.look().spec.unschedulable)

    @property
    def mark(self) -> str | None:
        return (self.look().metadata.annotations or {}).get(MARK)

    def cordon(self, wanted: bool) -> None:
        """As a person does it."""
        self.cluster.core.patch_node(self.name, {"spec": {"unschedulable": wanted}}, _request_timeout=ASK)

    def remove(self) -> None:
        self.cluster.core.delete_node(self.name, _request_timeout=ASK)

    def deploy(self, namespace: str, image: str, replicas: int) -> Small:
        """Pods that are on it, ready by their own word."""
        name = f"worker-{uuid.uuid4().hex[:6]}"
        main = {"name": "main", "image": image, "command": python("")}
        spec = {"containers": [main], "nodeName": self.name, "terminationGracePeriodSeconds": 0}
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
            },
        }
        self.cluster.apps.create_namespaced_deployment(namespace, body, _request_timeout=ASK)
        small = Small(self.cluster, namespace, name)
        until("the pods to be made", 30, lambda: len(small.pods()) == replicas)
        for pod in small.pods():
            self._say_ready(namespace, pod.metadata.name)
        until("the deployment to believe it", 30, small.ready)
        return small

    def _say_ready(self, namespace: str, pod: str) -> None:
        state = {"name": "main", "image": "x", "imageID": "x", "containerID": f"containerd://{pod}", "ready": True}
        state |= {"restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        conditions = [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}]
        body = {"status": {"phase": "Running", "conditions": conditions, "containerStatuses": [state]}}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/status"
        self.cluster.raw("PATCH", path, body, content=MERGE)
