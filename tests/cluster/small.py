"""Small pods for tests of single faults: a Python program instead of a model server, ready in a second."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from tests.cluster.manifests import Graph
from tests.cluster.world import ASK, Cluster, until

SLEEPER = "import time\nwhile True: time.sleep(1)"
OBEDIENT = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nwhile True: signal.pause()"
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time\\nwhile True: time.sleep(1)', 'engine-core'])\n"
    "while child.poll() is None: time.sleep(0.05)\n"
    "time.sleep(3600)"
)


def python(script: str, *more: str) -> list[str]:
    """The command line of a container that runs a script as its first process."""
    return ["/opt/dynamo/bin/python3", "-c", script, *more]


@dataclass(frozen=True, slots=True)
class Small:
    """One Deployment, found as a component called `worker` by its label."""

    cluster: Cluster
    namespace: str
    name: str

    @property
    def selector(self) -> str:
        return f"app={self.name}"

    def pods(self) -> list[Any]:
        return self.cluster.pods(self.namespace, self.selector)

    def remove(self) -> None:
        """Without grace, and without waiting: its namespace goes later."""
        options = {"grace_period_seconds": 0, "_request_timeout": ASK}
        self.cluster.apps.delete_namespaced_deployment(self.name, self.namespace, **options)
        for pod in self.pods():
            with contextlib.suppress(client.ApiException):
                self.cluster.core.delete_namespaced_pod(pod.metadata.name, self.namespace, **options)

    def ready(self) -> bool:
        """Whether all pods are there and ready, of the template as it is now."""
        found = self.cluster.apps.read_namespaced_deployment(self.name, self.namespace, _request_timeout=ASK)
        now = found.status
        if (now.observed_generation or 0) < found.metadata.generation:
            return False  # the figures are of an older one
        figures = {now.ready_replicas or 0, now.updated_replicas or 0, found.spec.replicas, len(self.pods())}
        return len(figures) == 1


def deploy(
    cluster: Cluster,
    namespace: str,
    image: str,
    *,
    command: Sequence[str] = (),
    replicas: int = 1,
    grace: int = 1,
    sidecar: bool = False,
    resources: dict[str, Any] | None = None,
    strategy: dict[str, Any] | None = None,
) -> Small:
    """Make it, under a name of its own, and wait until it is ready."""
    name = f"worker-{uuid.uuid4().hex[:6]}"
    main = {
        "name": "main",
        "image": image,
        "command": list(command) or python(SLEEPER),
        "imagePullPolicy": "IfNotPresent",
        "resources": resources or {},
    }
    beside = {**main, "name": "proxy", "command": python(SLEEPER, "sidecar")}
    spec = {
        "containers": [beside, main] if sidecar else [main],
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
    }
    labels = {"app": name}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **({"strategy": strategy} if strategy else {}),
        },
    }
    cluster.apps.create_namespaced_deployment(namespace, body, _request_timeout=ASK)
    made = Small(cluster, namespace, name)
    until(f"{name} to be ready", 60, made.ready)
    return made


def image_of(graph: Graph) -> str:
    """An image with Python in it."""
    return graph.image
