"""Each fault works with exactly the rights that its kind names, and says which one is missing."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from faults.base import Fault, FaultError, PlanContext
from faults.kube.api import Api
from faults.kube.graph import Component
from faults.pods import PodDelete, RolloutRestart, Scale
from faults.process import ProcessKill, ProcessStall
from faults.targets.kubernetes import KubernetesTarget, Selection
from tests.cluster.manifests import Graph
from tests.cluster.small import Small, deploy, image_of
from tests.cluster.world import ASK, Cluster, until

WORKER = ("worker",)
FAULTS: tuple[Fault, ...] = (
    ProcessKill(component=WORKER),
    ProcessStall(component=WORKER, duration_seconds=2),
    PodDelete(component=WORKER, force=True),
    RolloutRestart(component=WORKER),
    Scale(component=WORKER, replicas=0, duration_seconds=2),
)


def rules(permissions: Sequence[str]) -> list[dict[str, Any]]:
    """`verb resource.group/subresource` as rules of a Role."""
    made = []
    for permission in permissions:
        verb, _, whole = permission.partition(" ")
        name, _, sub = whole.partition("/")
        resource, _, group = name.partition(".")
        made.append({"apiGroups": [group], "resources": [f"{resource}/{sub}" if sub else resource], "verbs": [verb]})
    return made


def account(cluster: Cluster, namespace: str, name: str, permissions: Sequence[str], folder: Path) -> Path:
    """A kubeconfig of a service account that may do this and nothing else."""
    rbac = client.RbacAuthorizationV1Api(cluster.api)
    role = {"metadata": {"name": name}, "rules": rules(permissions)}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    secret = {
        "metadata": {"name": f"{name}-key", "annotations": {"kubernetes.io/service-account.name": name}},
        "type": "kubernetes.io/service-account-token",
    }
    cluster.core.create_namespaced_service_account(namespace, {"metadata": {"name": name}}, _request_timeout=ASK)
    rbac.create_namespaced_role(namespace, role, _request_timeout=ASK)
    rbac.create_namespaced_role_binding(namespace, binding, _request_timeout=ASK)
    cluster.core.create_namespaced_secret(namespace, secret, _request_timeout=ASK)

    def token() -> str:
        found = cluster.core.read_namespaced_secret(f"{name}-key", namespace, _request_timeout=ASK).data or {}
        return base64.b64decode(found.get("token") or "").decode()

    until("the account's token", 30, lambda: bool(token()))
    configuration, _ = Api(kubeconfig=cluster.kubeconfig).connection()
    where: dict[str, Any] = {"server": configuration.host}
    if configuration.ssl_ca_cert:
        where["certificate-authority-data"] = base64.b64encode(Path(configuration.ssl_ca_cert).read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": where}],
        "users": [{"name": name, "user": {"token": token()}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": name}}],
        "current-context": "c",
    }
    file = folder / f"{name}.kubeconfig"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


async def whole_life(fault: Fault, small: Small, kubeconfig: Path, folder: Path) -> str:
    """Resolve, inject, verify, revert; the evidence."""
    selection = Selection(small.namespace, components=(Component("worker", "worker", (small.selector,)),))
    target = KubernetesTarget("small", selection, Api(kubeconfig=kubeconfig))
    try:
        instances = await fault.resolve(target, random.Random(1))  # noqa: S311 - reproducible choice
        receipt = fault.plan(instances, PlanContext("run", time.time_ns(), time.monotonic_ns(), folder))
        await fault.inject(receipt, target)
        try:
            return (await fault.verify(receipt, target)).summary
        finally:
            await fault.revert(receipt, target)
    finally:
        await target.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_the_named_rights_are_enough_and_each_missing_one_is_named(
    cluster: Cluster, graph: Graph, tmp_path: Path, fault: Fault
) -> None:
    needed = fault.facts.permissions
    assert needed
    with cluster.namespace("rights") as place:
        small = deploy(cluster, place, image_of(graph))
        enough = account(cluster, place, "enough", needed, tmp_path)
        assert asyncio.run(whole_life(fault, small, enough, tmp_path))
        until("the pods", 60, small.ready)
        # The last one is always the one that acts, or without which nothing acts.
        short = account(cluster, place, "short", [one for one in needed if not _acts(one)], tmp_path)
        with pytest.raises(FaultError, match=r"not allowed to (create|delete|patch) "):
            asyncio.run(whole_life(fault, small, short, tmp_path))
        assert small.ready()


def _acts(permission: str) -> bool:
    return permission.split(maxsplit=1)[0] in {"create", "delete", "patch"} or permission.endswith("/exec")
