"""What the faults that make pods go share: they go by UID, are seen to be gone, and to be replaced."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from faults.base import Evidence, Instance, NoInstances, NotInjected, Pod, Receipt, RevertResult, Target
from faults.kube.budgets import broken_by, budgets
from faults.kube.errors import ClusterError
from faults.pods.selection import PickedPodsFault
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

POLL_SECONDS = 0.25


class LeavingPodsFault(PickedPodsFault):
    """Makes the picked pods go, by UID."""

    what: ClassVar[str]
    """What it does to them, for a sentence."""
    verify_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for the pods to be gone; at least their grace."
    )
    replace_timeout_seconds: float = Field(
        default=60.0, ge=0, le=3600, description="Longest wait for their controller to make new ones."
    )

    @property
    def respects_budgets(self) -> bool:
        """Whether a PodDisruptionBudget that says no is heard."""
        return True

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        picked = await super().resolve(target, rng)
        bare = [one.name for one in picked if not pod_of(one).owner]
        if bare:
            raise NoInstances(f"{', '.join(bare)} has no controller: nothing would replace it, so it is not touched")
        if self.respects_budgets:
            await must_be_allowed(cluster, [pod_of(one) for one in picked])
        return picked

    async def inject(self, receipt: Receipt, target: Target) -> None:
        cluster = kubernetes(target)
        pods = [pod_of(one) for one in receipt.instances]
        for pod in pods:
            cluster.check_receipt(pod)
            await must_be_whole(cluster, pod)
        if self.respects_budgets:
            await must_be_allowed(cluster, pods)
        for pod in pods:
            try:
                await self._remove(cluster, pod)
            except ClusterError as error:
                if error.status is None or error.status >= 500:
                    continue  # it may have been done all the same; verification finds out
                raise NotInjected(await self._why_not(cluster, pod, error)) from None

    @abstractmethod
    async def _remove(self, target: KubernetesTarget, pod: Pod) -> None:
        """Ask for its end. Raises `ClusterError`."""

    async def _why_not(self, target: KubernetesTarget, pod: Pod, error: ClusterError) -> str:
        return str(error)

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
            began, text = leaving_words(cluster, pod, gone)
            effects.append(began)
            words.append(text)
        replaced = await self._replacements(receipt, cluster)
        names = ", ".join(pod_of(one).name for one in receipt.instances)
        return Evidence(summary=f"{names} gone; {replaced}", at_monotonic_ns=min(effects), details=tuple(words))

    async def _still_there(self, target: KubernetesTarget, pod: Pod) -> str:
        found = await target.look(pod)
        state = "terminating" if found is not None and found.terminating else "there and not terminating"
        return (
            f"pod {pod.name} (uid {pod.uid[:8]}) is still {state} {self.verify_timeout_seconds:g} s after {self.what}"
        )

    async def _replacements(self, receipt: Receipt, target: KubernetesTarget) -> str:
        """What the controller made of it. A pod that nobody replaces is a lasting loss, and is said to be one."""
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
            summary="a pod that went is not brought back by us; its controller makes a new one",
            at_monotonic_ns=time.monotonic_ns(),
        )


async def must_be_whole(target: KubernetesTarget, pod: Pod) -> None:
    """Ending what is on its way out already would be no fault of ours: raises `NotInjected`."""
    try:
        found = await target.look(pod)
    except ClusterError as error:
        raise NotInjected(str(error)) from None
    if found is None:
        raise NotInjected(f"pod {pod.name} was gone before it was touched")
    if found.terminating:
        raise NotInjected(f"pod {pod.name} was terminating already; somebody else deletes it")


async def must_be_allowed(target: KubernetesTarget, leaving: Sequence[Pod]) -> None:
    """Raises `NotInjected` when a PodDisruptionBudget does not allow all of them to go at once."""
    try:
        known = await budgets(target.api, target.namespace)
        seen = [await target.look(pod) for pod in leaving] if known else []
    except ClusterError as error:
        raise NotInjected(f"whether a PodDisruptionBudget allows it cannot be told: {error}") from None
    broken = broken_by(known, [one for one in seen if one is not None])
    if broken is not None:
        raise NotInjected(f"{broken} does not allow {', '.join(one.name for one in leaving)} to go")


async def why_not_evicted(target: KubernetesTarget, pod: Pod, error: ClusterError) -> str:
    """The reason of a refusal, with the numbers of the budget that is behind a 429."""
    if error.status != 429:
        return str(error)
    try:
        seen = await target.look(pod)
        known = await budgets(target.api, target.namespace)
    except ClusterError:
        return str(error)
    covering = [str(one) for one in known if seen is not None and one.covers(seen.labels)]
    return f"{pod.name} was not evicted: {' and '.join(covering)} says no (429)" if covering else str(error)


def leaving_words(target: KubernetesTarget, pod: Pod, gone_ns: int) -> tuple[int, str]:
    """When it began to end, and a line of evidence."""
    seen = target.watch.seen(pod.uid)
    began = min(seen.terminating_ns, gone_ns) if seen is not None and seen.terminating_ns is not None else gone_ns
    text = f"{pod.name} (uid {pod.uid[:8]}) gone, {(gone_ns - began) / 1e9:.2f} s after it began to end"
    return began, text
