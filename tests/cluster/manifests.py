"""The Dynamo test deployment as Kubernetes objects, labelled as the operator would. Pure.

No operator runs: its Deployments, Services and labels are written here, and so is the resource's status.
Addresses come from the environment that Kubernetes gives every pod for the services there are, so that no
cluster DNS is needed; the services have to be there before the pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

GROUP = "nvidia.com"
MODEL = "mock"
Scheme = Literal["new", "old"]
Version = Literal["v1alpha1", "v1beta1"]


@dataclass(frozen=True, slots=True)
class Role:
    """One service of the graph."""

    service: str
    component_type: str
    sub_type: str = ""
    replicas: int = 1
    mode: str = ""
    """The mocker's disaggregation mode; empty for an aggregated worker."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A DynamoGraphDeployment and how it is labelled."""

    name: str
    image: str
    roles: tuple[Role, ...]
    scheme: Scheme = "new"
    version: Version = "v1alpha1"

    def with_labels(self, scheme: Scheme) -> Graph:
        return replace(self, scheme=scheme)

    def selector(self, role: Role) -> dict[str, str]:
        """Labels that the operator gives a service's pods, by which they are found."""
        if self.scheme == "old":
            return {f"{GROUP}/selector": f"{self.name}-{role.service.lower()}"}
        return {
            f"{GROUP}/dynamo-graph-deployment-name": self.name,
            f"{GROUP}/dynamo-component": role.service,
        }


FRONTEND = Role("Frontend", "frontend")


def aggregated(name: str, image: str, workers: int = 2) -> Graph:
    """One frontend and workers of one role."""
    return Graph(name, image, (FRONTEND, Role("VllmDecodeWorker", "worker", "decode", workers)))


def disaggregated(name: str, image: str, workers: int = 1) -> Graph:
    """One frontend, prefill and decode workers."""
    return Graph(
        name,
        image,
        (
            FRONTEND,
            Role("VllmPrefillWorker", "worker", "prefill", workers, mode="prefill"),
            Role("VllmDecodeWorker", "worker", "decode", workers, mode="decode"),
        ),
    )


def resource(graph: Graph) -> dict[str, Any]:
    """The DynamoGraphDeployment; its status has to be written on its own."""
    if graph.version == "v1alpha1":
        services = {
            role.service: {"componentType": role.component_type, "replicas": role.replicas}
            | ({"subComponentType": role.sub_type} if role.sub_type else {})
            for role in graph.roles
        }
        spec: dict[str, Any] = {"services": services}
    else:
        parts = [
            {"name": role.service, "type": role.sub_type or role.component_type, "replicas": role.replicas}
            for role in graph.roles
        ]
        spec = {"components": parts}
    return {
        "apiVersion": f"{GROUP}/{graph.version}",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": graph.name},
        "spec": spec,
    }


def status(*, ready: bool, at: str) -> dict[str, Any]:
    """What the operator says of a deployment; `at` is when that began."""
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": at, "reason": "Rig"}
    return {"state": "successful" if ready else "pending", "conditions": [condition | {"message": ""}]}


def services(graph: Graph) -> list[dict[str, Any]]:
    """etcd's and the frontend's service."""
    return [
        _service("etcd", {"app": "etcd"}, {"client": 2379}),
        _service(f"{graph.name}-frontend", graph.selector(FRONTEND), {"http": 8000}),
    ]


def deployments(graph: Graph) -> list[dict[str, Any]]:
    """etcd and one Deployment for each service of the graph."""
    return [_etcd(graph.image), *(_of(graph, role) for role in graph.roles)]


def _service(name: str, selector: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": dict(selector), "ports": [{"name": key, "port": value} for key, value in ports.items()]},
    }


def _etcd(image: str) -> dict[str, Any]:
    command = [
        *("etcd", "--data-dir=/tmp/etcd", "--listen-client-urls=http://0.0.0.0:2379"),
        *("--advertise-client-urls=http://127.0.0.1:2379", "--unsafe-no-fsync"),
    ]
    container = _container(image, command, {}, ready={"tcpSocket": {"port": 2379}})
    return _deployment("etcd", {"app": "etcd"}, {"app": "etcd"}, 1, container)


def _of(graph: Graph, role: Role) -> dict[str, Any]:
    selector = graph.selector(role)
    labels = selector | {f"{GROUP}/dynamo-component-type": role.component_type}
    if role.sub_type:
        labels[f"{GROUP}/dynamo-sub-component-type"] = role.sub_type
    container = _frontend(graph.image) if role.component_type == "frontend" else _worker(graph.image, role)
    return _deployment(f"{graph.name}-{role.service.lower()}", selector, labels, role.replicas, container)


_ENVIRONMENT = {
    "DYN_DISCOVERY_BACKEND": "etcd",
    "ETCD_ENDPOINTS": "http://$(ETCD_SERVICE_HOST):2379",
    "DYN_REQUEST_PLANE": "tcp",
}


def _frontend(image: str) -> dict[str, Any]:
    command = ["python3", "-m", "dynamo.frontend", "--http-port", "8000"]
    return _container(image, command, _ENVIRONMENT, ready={"httpGet": {"path": "/v1/models", "port": 8000}})


def _worker(image: str, role: Role) -> dict[str, Any]:
    command = ["python3", "-m", "dynamo.mocker", "--model-path", "/model", "--model-name", MODEL]
    command += ["--disaggregation-mode", role.mode] if role.mode else []
    environment = _ENVIRONMENT | {
        "DYN_SYSTEM_PORT": "9090",
        "DYN_TCP_RPC_HOST": "$(POD_IP)",
        "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
    }
    return _container(image, command, environment, ready={"httpGet": {"path": "/health", "port": 9090}})


def _container(image: str, command: list[str], environment: Mapping[str, str], ready: dict[str, Any]) -> dict[str, Any]:
    pod_ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [pod_ip, *({"name": key, "value": value} for key, value in environment.items())],
        "readinessProbe": ready | {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _deployment(
    name: str, selector: Mapping[str, str], labels: Mapping[str, str], replicas: int, container: Mapping[str, Any]
) -> dict[str, Any]:
    template = {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "containers": [dict(container)],
            "terminationGracePeriodSeconds": 10,
            "automountServiceAccountToken": False,
            "enableServiceLinks": True,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"replicas": replicas, "selector": {"matchLabels": dict(selector)}, "template": template},
    }
