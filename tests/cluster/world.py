"""A cluster for the tests: our own node, or the one that KUBECONFIG names; namespaces that go again."""

from __future__ import annotations

import datetime
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from faults.kube.api import Api
from faults.kube.errors import ClusterError, Request
from monitor.demo.errors import DemoError
from monitor.demo.steps import Report
from tests.cluster import manifests
from tests.cluster.manifests import Graph
from tests.cluster.rig.images import Image, provide
from tests.cluster.rig.node import Node

CRDS = Path(__file__).parent / "dynamo" / "crds.yaml"
LABEL = "aftershock-test"
ASK = 20.0
"""Longest wait for one answer of the API server, in seconds."""


class Cluster:
    """The cluster and what a test needs of it. All methods block."""

    def __init__(self, kubeconfig: Path | None, node: Node | None, report: Report) -> None:
        """Without a node it is somebody's own cluster."""
        self.kubeconfig = kubeconfig
        self.node = node
        self._report = report
        self._brought: list[str] = []
        self.api = config.new_client_from_config(str(kubeconfig) if kubeconfig else None)
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.custom = client.CustomObjectsApi(self.api)

    def close(self) -> None:
        self.api.close()

    def image(self, image: Image) -> str:
        """The image's name as a pod asks for it."""
        if self.node is not None:
            return provide(image, self.node, self._report)
        variable = f"TEST_IMAGE_{image.name.upper()}"
        given = os.environ.get(variable)
        if not given:
            raise DemoError(
                f"KUBECONFIG names a cluster of yours: build the image with `docker build -f {image.dockerfile} .`, "
                f"hand it to the cluster (such as `kind load docker-image`), and put its name in {variable}"
            )
        return given

    def install_definitions(self) -> None:
        """The Dynamo operator's resource definitions, if they are not there."""
        extensions = client.ApiextensionsV1Api(self.api)
        for definition in yaml.safe_load_all(CRDS.read_text(encoding="utf-8")):
            name = definition["metadata"]["name"]
            definition["metadata"]["labels"] = {LABEL: "yes"}
            try:
                extensions.create_custom_resource_definition(definition, _request_timeout=ASK)
                self._brought.append(name)
            except client.ApiException as error:
                if error.status != 409:
                    raise
            until(f"definition {name}", 30, lambda name=name: _established(extensions, name))  # type: ignore[misc]

    def remove_definitions(self) -> None:
        """Those that we brought; others may have resources of one that was there."""
        extensions = client.ApiextensionsV1Api(self.api)
        for name in self._brought:
            extensions.delete_custom_resource_definition(name, _request_timeout=ASK)

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """A namespace of its own; gone again at the end, with everything in it."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace({"metadata": {"name": name, "labels": {LABEL: "yes"}}}, _request_timeout=ASK)
        try:
            account = lambda: bool(self.core.list_namespaced_service_account(name, _request_timeout=ASK).items)  # noqa: E731 - one line is enough
            until("the namespace's service account", 30, account)
            yield name
        finally:
            self.core.delete_namespace(name, grace_period_seconds=0, _request_timeout=ASK)
            if self.node is None:  # our own node goes as a whole
                until(f"namespace {name} to be gone", 120, lambda: not self._exists(name))

    def _exists(self, namespace: str) -> bool:
        try:
            self.core.read_namespace(namespace, _request_timeout=ASK)
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def install(self, namespace: str, graph: Graph, *, wait_seconds: float = 180) -> None:
        """Install the deployment and wait until all its pods are ready."""
        self._report(f"installing Dynamo ({graph.name}, {len(graph.roles)} services) in {namespace}")
        for service in manifests.services(graph):
            self.core.create_namespaced_service(namespace, service, _request_timeout=ASK)
        # One after the other: Dynamo's processes end when etcd is not there yet, and the kubelet lets them wait for it.
        for deployment in manifests.deployments(graph):
            self.apps.create_namespaced_deployment(namespace, deployment, _request_timeout=ASK)
            if deployment["metadata"]["name"] == "etcd":
                until("etcd to be ready", wait_seconds, lambda: self.all_ready(namespace), self._report)
        body = manifests.resource(graph)
        where = (manifests.GROUP, graph.version, namespace, "dynamographdeployments")
        self.custom.create_namespaced_custom_object(*where, body, _request_timeout=ASK)
        until("the deployment to be ready", wait_seconds, lambda: self.all_ready(namespace), self._report)
        self.set_status(namespace, graph, ready=True)

    def set_status(self, namespace: str, graph: Graph, *, ready: bool) -> None:
        """What the operator would write into the resource's status."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        where = (manifests.GROUP, graph.version, namespace, "dynamographdeployments", graph.name)
        body = {"status": manifests.status(ready=ready, at=now)}
        self.custom.patch_namespaced_custom_object_status(*where, body, _request_timeout=ASK)

    def all_ready(self, namespace: str) -> bool:
        """Whether every Deployment has all its pods ready, and no pod is on its way out."""
        found = self.apps.list_namespaced_deployment(namespace, _request_timeout=ASK).items
        pods = self.core.list_namespaced_pod(namespace, _request_timeout=ASK).items
        wanted = sum(one.spec.replicas for one in found)
        full = all((one.status.ready_replicas or 0) == one.spec.replicas for one in found)
        return bool(found) and full and len(pods) == wanted

    def ask(self, namespace: str, graph: Graph, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """A request to the frontend, by way of the API server; None when it is not answered well."""
        service = f"{graph.name}-frontend:8000"
        address = f"/api/v1/namespaces/{namespace}/services/{service}/proxy{path}"
        connection = Api(kubeconfig=self.kubeconfig)
        try:
            answer = connection.open(
                Request("create", "services/proxy", namespace, service), "POST", address, body=body
            )
            found: dict[str, Any] = json.loads(answer.data)
        except ClusterError:
            return None
        else:
            return found
        finally:
            connection.close()

    def raw(self, method: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """What the generated client has no words for. Raises `ClusterError`."""
        connection = Api(kubeconfig=self.kubeconfig, ask_seconds=ASK)
        try:
            answer = connection.open(Request(method.lower(), path), method, path, body=body, **more)
            found: dict[str, Any] = json.loads(answer.data)
            return found
        finally:
            connection.close()

    def pods(self, namespace: str, selector: str = "") -> list[Any]:
        """Pods by name."""
        found = self.core.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=ASK).items
        return sorted(found, key=lambda pod: str(pod.metadata.name))


def own_node(cluster: Cluster, why: str) -> Node:
    """The rig's own node, for a test that only that one may bear; skips it elsewhere."""
    if cluster.node is None:
        pytest.skip(f"needs a node of the rig's own, and KUBECONFIG names another cluster: {why}")
    return cluster.node


def until(what: str, seconds: float, reached: Callable[[], bool], report: Report | None = None) -> None:
    """Wait for a condition. Raises `DemoError`."""
    deadline, told = time.monotonic() + seconds, time.monotonic()
    while not reached():
        if time.monotonic() >= deadline:
            raise DemoError(f"{what}: not within {seconds:g} s")
        if report is not None and time.monotonic() - told > 10:
            report(f"still waiting for {what}")
            told = time.monotonic()
        time.sleep(0.3)


def _established(extensions: client.ApiextensionsV1Api, name: str) -> bool:
    found = extensions.read_custom_resource_definition(name, _request_timeout=ASK)
    return any(one.type == "Established" and one.status == "True" for one in found.status.conditions or ())
