"""Kubernetes rights by kind of fault, from the facts on the fault classes."""

from __future__ import annotations

from typing import Any

from faults.catalogue import builtin
from faults.kube.graph import GROUP, PLURAL, RIGHT
from faults.kube.rights import CLUSTER_WIDE, Right
from faults.targets.kubernetes import FORBIDDEN_NAMESPACES

GRAPH = (RIGHT, f"list {PLURAL}.{GROUP}")
"""To find a deployment's components by the name of its resource."""


def kinds() -> dict[str, tuple[str, ...]]:
    """Permissions of every kind that can act on pods, and of the control run."""
    found = {entry.fault.kind: entry.fault.facts.permissions for entry in builtin().values()}
    return {kind: needed for kind, needed in found.items() if needed or kind == "none"}


def table() -> dict[str, Any]:
    """What the templates read: each permission as verb, API group and resource, those beyond a namespace apart.

    Beside it the namespaces in which nothing may ever be allowed.
    """
    every = {kind: [_split(one) for one in needed] for kind, needed in kinds().items()}
    wide = {kind: [one for one in needed if one["resource"] in CLUSTER_WIDE] for kind, needed in every.items()}
    return {
        "kinds": {kind: [one for one in needed if one not in wide[kind]] for kind, needed in every.items()},
        "clusterKinds": {kind: needed for kind, needed in wide.items() if needed},
        "graphDeployment": [_split(one) for one in GRAPH],
        "forbiddenNamespaces": sorted(FORBIDDEN_NAMESPACES),
    }


def _split(permission: str) -> dict[str, str]:
    right = Right.parse(permission)
    resource = f"{right.resource}/{right.sub}" if right.sub else right.resource
    return {"verb": right.verb, "group": right.group, "resource": resource}
