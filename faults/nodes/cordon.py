"""Cordon a node: what runs there stays, and nothing new comes."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

from faults.base import (
    Evidence,
    Facts,
    Layer,
    NotInjected,
    Observation,
    Receipt,
    RevertFailed,
    RevertResult,
    Target,
)
from faults.kube import nodes
from faults.kube.errors import ClusterError
from faults.nodes.selection import LONGEST_SECONDS, NodeFault, node_of
from faults.targets.kubernetes import for_revert, kubernetes

Outcome = Literal["reverted", "target_gone", "nothing_to_do"]


class CordoningFault(NodeFault):
    """Cordons, watches and uncordons; what else happens meanwhile is the kinds' own."""

    async def inject(self, receipt: Receipt, target: Target) -> None:
        cluster = kubernetes(target)
        try:
            refused = await nodes.cordon(cluster.api, node_of(receipt), receipt.run_id)
        except ClusterError as error:
            if error.status is None or error.status >= 500:
                return  # it may have been done all the same; verification finds out
            raise NotInjected(str(error)) from None
        if refused:
            raise NotInjected(refused)

    async def _cordoned(self, receipt: Receipt, target: Target) -> Evidence:
        name = node_of(receipt).name
        why = await self._why_not_cordoned(receipt, target)
        if why is not None:
            raise NotInjected(why)
        return Evidence(summary=f"node {name} cordoned", at_monotonic_ns=time.monotonic_ns())

    async def _why_not_cordoned(self, receipt: Receipt, target: Target) -> str | None:
        node = node_of(receipt)
        try:
            found = await nodes.look(kubernetes(target).api, node.name)
        except ClusterError as error:
            raise NotInjected(f"whether node {node.name} is cordoned cannot be told: {error}") from None
        if found is None or found.node.uid != node.uid:
            return f"node {node.name} is gone or was made anew"
        if not found.node.unschedulable:
            return f"node {node.name} is schedulable; an operator or a person uncordons it"
        if found.mark != receipt.run_id:
            return f"the cordon of node {node.name} is not ours; an operator or a person cordons it too"
        return None

    async def observe(self, receipt: Receipt, target: Target) -> Observation:
        try:
            why = await self._why_not_cordoned(receipt, target)
        except NotInjected as unseen:
            return Observation(acting=True, summary=f"not seen: {unseen}")
        if why is None:
            return Observation(acting=True, summary=f"node {node_of(receipt).name} cordoned")
        return Observation(acting=False, summary=why, ended_early=why)

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        cluster, node = for_revert(target), node_of(receipt)
        try:
            for _ in range(nodes.TRIES):
                found = await nodes.look(cluster.api, node.name)
                settled = _settled(receipt, found)
                if settled is not None:
                    return settled
                if found is not None and await nodes.uncordon(cluster.api, found):
                    return _result("reverted", f"node {node.name} uncordoned")
        except ClusterError as error:
            raise RevertFailed(f"node {node.name} cannot be uncordoned: {error}") from None
        raise RevertFailed(f"node {node.name} cannot be uncordoned: it is changed all the time by somebody else")


def _settled(receipt: Receipt, found: nodes.NodeView | None) -> RevertResult | None:
    """Why there is nothing to lift; None when there is our cordon (or what is left of it)."""
    node = node_of(receipt)
    if found is None or found.node.uid != node.uid:
        return _result("target_gone", f"node {node.name} is gone or was made anew")
    if found.mark == receipt.run_id:
        return None
    if found.node.unschedulable:
        return _result("reverted", f"node {node.name} is cordoned by somebody else, left alone")
    return _result("reverted", f"node {node.name} is schedulable")


def _result(outcome: Outcome, summary: str) -> RevertResult:
    return RevertResult(outcome=outcome, summary=summary, at_monotonic_ns=time.monotonic_ns())


class NodeCordon(CordoningFault):
    """Makes the node of a pod unschedulable for a while."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.NODE,
        heals="by revert",
        longest_seconds=LONGEST_SECONDS,
        privilege="Kubernetes rights on nodes, beyond the namespace",
        fools="The scheduler alone: pods that run stay and notice nothing, and new ones, of whatever workload, go "
        "elsewhere or wait. A healthy deployment should not be hurt by it at all.",
        permissions=("get pods", "list pods", "watch pods", *nodes.PERMISSIONS),
    )
    kind: Literal["node_cordon"] = "node_cordon"

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        return await self._cordoned(receipt, target)
