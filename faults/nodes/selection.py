"""Which node a fault acts on, and what of the deployment is on it."""

from __future__ import annotations

import os
import random

from pydantic import Field

from faults.base import ClusterNode, Instance, NoInstances, NotInjected, Receipt, Target
from faults.kube import api as kube_api
from faults.kube import nodes
from faults.kube.errors import ClusterError
from faults.pods.selection import PickedPodsFault
from faults.select import shortened
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

LONGEST_SECONDS = 86_400.0
OWN_NODE = "NODE_NAME"


class NodeFault(PickedPodsFault):
    """Picks the node of a component's pod. All of the deployment's pods on it are named, for they are at stake."""

    duration_seconds: float = Field(
        default=60.0, gt=0, le=LONGEST_SECONDS, description="From the plan until the node is uncordoned."
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        picked = await super().resolve(target, rng)
        names = sorted({pod_of(one).node for one in picked})
        if len(names) > 1:
            raise NoInstances(f"the picked pods are on several nodes ({shortened(names)}), this fault acts on one")
        _must_not_be_ours(names[0])
        node = await _free_node(cluster, names[0])
        return tuple(one.model_copy(update={"node": node}) for one in await _pods_on(cluster, names[0]))


async def _pods_on(target: KubernetesTarget, node: str) -> list[Instance]:
    """The deployment's pods on a node, by component; each once, also where selectors overlap."""
    found: dict[str, Instance] = {}
    for component in await target.components():
        for one in await target.instances(component):
            if pod_of(one).node == node:
                found.setdefault(pod_of(one).uid, one)
    if not found:
        raise NoInstances(f"no pod of {target.name} is on node {node} any more")
    return list(found.values())


async def _free_node(target: KubernetesTarget, name: str) -> ClusterNode:
    try:
        found = await nodes.look(target.api, name)
    except ClusterError as error:
        raise NoInstances(str(error)) from None
    if found is None:
        raise NoInstances(f"node {name} is gone")
    if found.node.unschedulable:
        by = f"run {found.mark}" if found.mark else "somebody else"
        raise NoInstances(f"node {name} is cordoned already, by {by}; it is not touched")
    return found.node


def _must_not_be_ours(node: str) -> None:
    """Who takes away the node that it runs on measures nothing any more. Raises `NoInstances`."""
    own = os.environ.get(OWN_NODE)
    if own == node:
        raise NoInstances(f"node {node} is the one that aftershock itself runs on; it is not touched")
    if not own and (kube_api.SERVICE_ACCOUNT / "token").exists():
        raise NoInstances(
            f"which node aftershock itself runs on is not known: set {OWN_NODE} from the field spec.nodeName"
        )


def node_of(receipt: Receipt) -> ClusterNode:
    """The node that a receipt names. Raises `NotInjected`."""
    found = next((one.node for one in receipt.instances if one.node is not None), None)
    if found is None:
        raise NotInjected("the receipt names no node")
    return found
