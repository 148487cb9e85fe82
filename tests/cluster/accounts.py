"""Service accounts that may do this and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubernetes import client

from faults.kube.api import Api
from faults.kube.rights import Right
from tests.cluster.world import ASK, Cluster, until

RBAC = "rbac.authorization.k8s.io"


def rules(permissions: Sequence[str]) -> list[dict[str, Any]]:
    """Permissions of facts as rules of a Role."""
    return [
        {
            "apiGroups": [one.group],
            "resources": [f"{one.resource}/{one.sub}" if one.sub else one.resource],
            "verbs": [one.verb],
        }
        for one in map(Right.parse, permissions)
    ]


def account(cluster: Cluster, namespace: str, name: str, permissions: Sequence[str], folder: Path) -> Path:
    """A kubeconfig of a new account with these rights."""
    core = cluster.core
    core.create_namespaced_service_account(namespace, {"metadata": {"name": name}}, _request_timeout=ASK)
    _grant(cluster, namespace, name, permissions)
    secret = {
        "metadata": {"name": f"{name}-key", "annotations": {"kubernetes.io/service-account.name": name}},
        "type": "kubernetes.io/service-account-token",
    }
    core.create_namespaced_secret(namespace, secret, _request_timeout=ASK)

    def token() -> str:
        found = core.read_namespaced_secret(f"{name}-key", namespace, _request_timeout=ASK).data or {}
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


def change(cluster: Cluster, namespace: str, name: str, permissions: Sequence[str]) -> None:
    """Other rights for it from now on."""
    role = {"metadata": {"name": name}, "rules": rules([one for one in permissions if not _wide(one)])}
    client.RbacAuthorizationV1Api(cluster.api).replace_namespaced_role(name, namespace, role, _request_timeout=ASK)


def forget(cluster: Cluster, namespace: str, name: str) -> None:
    """Take back what does not go with the namespace."""
    rbac = client.RbacAuthorizationV1Api(cluster.api)
    for delete in (rbac.delete_cluster_role_binding, rbac.delete_cluster_role):
        try:
            delete(f"{namespace}-{name}", _request_timeout=ASK)
        except client.ApiException as error:
            if error.status != 404:  # made only for rights beyond the namespace
                raise


def _grant(cluster: Cluster, namespace: str, name: str, permissions: Sequence[str]) -> None:
    rbac = client.RbacAuthorizationV1Api(cluster.api)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    narrow = [one for one in permissions if not _wide(one)]
    wide = [one for one in permissions if _wide(one)]
    reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    rbac.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rules(narrow)}, _request_timeout=ASK)
    rbac.create_namespaced_role_binding(namespace, binding, _request_timeout=ASK)
    if not wide:
        return
    meta = {"metadata": {"name": f"{namespace}-{name}"}}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": f"{namespace}-{name}"}
    rbac.create_cluster_role(meta | {"rules": rules(wide)}, _request_timeout=ASK)
    rbac.create_cluster_role_binding(meta | {"roleRef": reference, "subjects": [subject]}, _request_timeout=ASK)


def _wide(permission: str) -> bool:
    return Right.parse(permission).cluster_wide
