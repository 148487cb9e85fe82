"""Delete pods, and prove that they are gone and what stands where they stood."""

from __future__ import annotations

import asyncio
import random
import time
from typing import ClassVar, Literal

from pydantic import Field

from faults.base import (
    Evidence,
    Facts,
    Instance,
    Layer,
    NoInstances,
    NotInjected,
    Pod,
    Receipt,
    RevertResult,
    Target,
)
from faults.kube.errors import ClusterError, Request
from faults.pods.selection import PickedPodsFault
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

POLL_SECONDS = 0.25


class PodDelete(PickedPodsFault):
    """Deletes the picked pods, by UID."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTAINER,
        heals="by itself",
        longest_seconds=0.0,
        privilege="Kubernetes rights only",
        fools="Everybody sees a real end: the containers get SIGTERM and then SIGKILL (with force at once), the pod "
        "leaves its Services, and its controller makes a new one under a new name.",
        permissions=("get pods", "list pods", "watch pods", "delete pods"),
    )
    kind: Literal["pod_delete"] = "pod_delete"
    force: bool = Field(default=False, description="Without any grace: the pod's object goes at once.")
    grace_seconds: int | None = Field(
        default=None, ge=1, le=3600, description="Time between SIGTERM and SIGKILL; by default the pod's own."
    )
    verify_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for the pods to be gone; at least their grace."
    )
    replace_timeout_seconds: float = Field(
        default=60.0, ge=0, le=3600, description="Longest wait for their controller to make new ones."
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        picked = await super().resolve(target, rng)
        bare = [one.name for one in picked if not pod_of(one).owner]
        if bare:
            raise NoInstances(f"{', '.join(bare)} has no controller: nothing would replace it, so it is not deleted")
        return picked

    async def inject(self, receipt: Receipt, target: Target) -> None:
        cluster = kubernetes(target)
        pods = [pod_of(one) for one in receipt.instances]
        for pod in pods:
            cluster.check_receipt(pod)
            await self._must_be_whole(cluster, pod)
        for pod in pods:
            await self._delete(cluster, pod)

    async def _must_be_whole(self, target: KubernetesTarget, pod: Pod) -> None:
        """Deleting what is on its way out already would be no fault of ours."""
        try:
            found = await target.look(pod)
        except ClusterError as error:
            raise NotInjected(str(error)) from None
        if found is None:
            raise NotInjected(f"pod {pod.name} was gone before it was deleted")
        if found.terminating:
            raise NotInjected(f"pod {pod.name} was terminating already; somebody else deletes it")

    async def _delete(self, target: KubernetesTarget, pod: Pod) -> None:
        grace = 0 if self.force else self.grace_seconds
        options = {"preconditions": {"uid": pod.uid}} | ({} if grace is None else {"gracePeriodSeconds": grace})
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        request = Request("delete", "pods", pod.namespace, pod.name)
        try:
            await target.api.ask(request, "DELETE", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", body=body)
        except ClusterError as error:
            if error.status is None or error.status >= 500:
                # It may have been done all the same; verification finds out.
                return
            raise NotInjected(str(error)) from None

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        cluster = kubernetes(target)
        deadline = time.monotonic() + self.verify_timeout_seconds
        effects, words = [], []
        for pod in (pod_of(one) for one in receipt.instances):
            try:
                gone = await cluster.gone_at(pod, max(0.0, deadline - time.monotonic()))
                if gone is None:
                    raise NotInjected(await self._still_there(cluster, pod))
            except ClusterError as error:
                raise NotInjected(f"whether {pod.name} is gone cannot be told: {error}") from None
            seen = cluster.watch.seen(pod.uid)
            began = seen.terminating_ns if seen is not None and seen.terminating_ns is not None else gone
            effects.append(min(began, gone))
            words.append(
                f"{pod.name} (uid {pod.uid[:8]}) gone, {(gone - min(began, gone)) / 1e9:.2f} s after it began to end"
            )
        replaced = await self._replacements(receipt, cluster)
        names = ", ".join(pod_of(one).name for one in receipt.instances)
        return Evidence(summary=f"{names} gone; {replaced}", at_monotonic_ns=min(effects), details=tuple(words))

    async def _still_there(self, target: KubernetesTarget, pod: Pod) -> str:
        found = await target.look(pod)
        state = "terminating" if found is not None and found.terminating else "there and not terminating"
        return f"pod {pod.name} (uid {pod.uid[:8]}) is still {state} {self.verify_timeout_seconds:g} s after the delete"

    async def _replacements(self, receipt: Receipt, target: KubernetesTarget) -> str:
        """What the controller made of it. A delete that nobody replaces is a lasting loss, and is said to be one."""
        deadline = time.monotonic() + self.replace_timeout_seconds
        while True:
            try:
                fresh = [await target.replacement_of(one) for one in receipt.instances]
            except ClusterError as error:
                return f"what replaces them cannot be told: {error}"
            names = [one.name for one in fresh if one is not None]
            if len(names) == len(receipt.instances):
                return f"replaced by {', '.join(names)}"
            if time.monotonic() >= deadline:
                return f"NOT replaced: {len(names)} of {len(fresh)} new pods within {self.replace_timeout_seconds:g} s"
            await asyncio.sleep(POLL_SECONDS)

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        return RevertResult(
            outcome="nothing_to_do",
            summary="a deleted pod is not brought back by us; its controller makes a new one",
            at_monotonic_ns=time.monotonic_ns(),
        )
