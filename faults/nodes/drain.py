"""Drain a node of the deployment's pods: cordoned first, then one eviction after the other."""

from __future__ import annotations

import asyncio
import random
import time
from typing import ClassVar, Literal

from pydantic import Field

from faults.base import Evidence, Facts, Instance, Layer, NoInstances, NotInjected, Pod, Receipt, Target
from faults.kube import nodes
from faults.kube.budgets import RIGHT, evict
from faults.kube.errors import ClusterError
from faults.nodes.cordon import CordoningFault
from faults.nodes.selection import LONGEST_SECONDS, node_of
from faults.pods.leaving import leaving_words, must_be_allowed, why_not_evicted
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

AGAIN_SECONDS = 1.0


class NodeDrain(CordoningFault):
    """Cordons the node of a pod and evicts the deployment's own pods there; other workloads' pods stay."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.NODE,
        heals="by revert",
        longest_seconds=LONGEST_SECONDS,
        privilege="Kubernetes rights on nodes, beyond the namespace",
        fools="The deployment sees what an upgrade of the node does to it: its pods get their grace and come back "
        "elsewhere, or wait where there is no other node. PodDisruptionBudgets are obeyed; the node itself is whole.",
        permissions=("get pods", "list pods", "watch pods", "create pods/eviction", RIGHT, *nodes.PERMISSIONS),
    )
    kind: Literal["node_drain"] = "node_drain"
    verify_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for all its pods to be gone, budgets and grace included."
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        there = await super().resolve(target, rng)
        bare = [one.name for one in there if not pod_of(one).owner]
        if bare:
            raise NoInstances(f"{', '.join(bare)} has no controller: nothing would replace it, so it is not evicted")
        # Their controller ignores the cordon and would make them anew at once, on the same node.
        leaving = tuple(one for one in there if not pod_of(one).owner.startswith("DaemonSet/"))
        if not leaving:
            raise NoInstances(f"{', '.join(one.name for one in there)} belongs to a DaemonSet, which a drain leaves")
        for one in leaving:
            await must_be_allowed(cluster, [pod_of(one)])
        return leaving

    async def inject(self, receipt: Receipt, target: Target) -> None:
        await super().inject(receipt, target)
        cluster = kubernetes(target)
        refused: list[str] = []
        for one in receipt.instances:
            try:
                await evict(cluster.api, pod_of(one))
            except ClusterError as error:
                if error.status is None or error.status >= 500 or error.gone:
                    continue
                refused.append(await why_not_evicted(cluster, pod_of(one), error))
        if len(refused) == len(receipt.instances):
            raise NotInjected(refused[0])

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        await self._cordoned(receipt, target)
        cluster, deadline = kubernetes(target), time.monotonic() + self.verify_timeout_seconds
        left, gone = [pod_of(one) for one in receipt.instances], list[tuple[int, str]]()
        while True:
            try:
                left, gone, why = await self._round(cluster, left, gone)
            except ClusterError as error:
                raise NotInjected(f"whether the pods are gone cannot be told: {error}") from None
            if not left or time.monotonic() >= deadline:
                return self._evidence(receipt, left, gone, why)
            await asyncio.sleep(AGAIN_SECONDS if why else 0.1)

    async def _round(
        self, target: KubernetesTarget, left: list[Pod], gone: list[tuple[int, str]]
    ) -> tuple[list[Pod], list[tuple[int, str]], str]:
        """Who is still there, who went, and why somebody may not go yet; those are asked again."""
        still, why = [], ""
        for pod in left:
            at = await target.gone_at(pod, 0.0)
            if at is not None:
                gone = [*gone, leaving_words(target, pod, at)]
                continue
            still.append(pod)
            found = await target.look(pod)
            if found is None or found.terminating:
                continue
            try:
                await evict(target.api, pod)
            except ClusterError as error:
                if error.status not in {404, 409, 429}:
                    raise
                why = await why_not_evicted(target, pod, error)
        return still, gone, why

    def _evidence(self, receipt: Receipt, left: list[Pod], gone: list[tuple[int, str]], why: str) -> Evidence:
        name, whole = node_of(receipt).name, len(receipt.instances)
        if not gone:
            raise NotInjected(
                f"none of {whole} pods is gone from node {name} after {self.verify_timeout_seconds:g} s"
                + (f": {why}" if why else "")
            )
        summary = f"node {name} cordoned, {len(gone)} of {whole} pods evicted"
        if left:
            summary += f", the drain is NOT complete: {why or ', '.join(pod.name for pod in left) + ' still ends'}"
        return Evidence(
            summary=summary, at_monotonic_ns=min(at for at, _ in gone), details=tuple(text for _, text in gone)
        )
