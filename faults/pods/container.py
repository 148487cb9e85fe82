"""Have the kubelet restart a pod's container: its first process is ended, the pod stays."""

from __future__ import annotations

import asyncio
import random
import time
from typing import ClassVar, Literal

from pydantic import Field

from faults.base import (
    Evidence,
    Facts,
    FaultError,
    Instance,
    Layer,
    NoInstances,
    NotInjected,
    Receipt,
    RevertResult,
    Target,
)
from faults.kube.pods import PodView
from faults.pods.selection import PickedPodsFault
from faults.process import container_kill
from faults.process.containers import PERMISSIONS, with_first
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

POLL_SECONDS = 0.1


class ContainerRestart(PickedPodsFault):
    """Ends the first process of the container that serves, and sees the kubelet start the next container."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTAINER,
        heals="by itself",
        longest_seconds=0.0,
        privilege="Kubernetes rights only; the container needs a Python, and ptrace for SIGKILL",
        fools="Everybody sees a real end of the container; pod, address and node stay, and sidecars run on. "
        "Controllers see no new pod; the kubelet waits longer with every restart.",
        permissions=PERMISSIONS,
    )
    kind: Literal["container_restart"] = "container_restart"
    signal: Literal["SIGKILL", "SIGTERM", "SIGINT"] = Field(
        default="SIGKILL", description="What its first process is sent; SIGTERM and SIGINT only reach one that listens."
    )
    verify_timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Longest wait for the first process to end."
    )
    restart_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        le=600,
        description="Longest wait for the next container, of which a kubelet takes its time.",
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        picked = await super().resolve(target, rng)
        for one in picked:
            found = await cluster.look(pod_of(one))
            if found is not None and found.restart_policy != "Always":
                raise NoInstances(f"{one.name} has restartPolicy {found.restart_policy}: nothing would start it again")
        return await with_first(picked, cluster)

    async def inject(self, receipt: Receipt, target: Target) -> None:
        await container_kill.inject(self, receipt, kubernetes(target))

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        cluster = kubernetes(target)
        ended = await container_kill.verify(self, receipt, cluster)
        words = [await self._restarted(one, cluster, ended) for one in receipt.instances]
        return ended.model_copy(update={"summary": "; ".join(words), "details": (ended.summary, *ended.details)})

    async def _restarted(self, instance: Instance, target: KubernetesTarget, ended: Evidence) -> str:
        """The kubelet's word: another container, counted, and how the one before it ended."""
        deadline = time.monotonic() + self.restart_timeout_seconds
        while True:
            try:
                found = await target.look(pod_of(instance))
            except FaultError as error:
                raise NotInjected(f"whether {instance.name} was restarted cannot be told: {error}", ended) from None
            if found is None:
                raise NotInjected(f"pod {instance.name} is gone: not restarted, but deleted by somebody else", ended)
            told = _told(instance, found)
            if told is not None:
                return told
            if time.monotonic() >= deadline:
                state = found.waiting or ("runs as before" if found.running else "does not run")
                raise NotInjected(
                    f"{instance.name}: container {found.pod.container} was not started again within "
                    f"{self.restart_timeout_seconds:g} s ({state}, restartCount {found.pod.restart_count})",
                    ended,
                )
            await asyncio.sleep(POLL_SECONDS)

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        return RevertResult(
            outcome="nothing_to_do",
            summary="an ended container is not brought back by us; the kubelet starts the next",
            at_monotonic_ns=time.monotonic_ns(),
        )


def _told(instance: Instance, found: PodView) -> str | None:
    before, now = pod_of(instance), found.pod
    if now.restart_count <= before.restart_count or not found.running or now.container_id == before.container_id:
        return None
    end = found.last_end
    how = f", the one before ended with exit code {end.exit_code} ({end.reason})" if end is not None else ""
    return (
        f"{instance.name}: container {now.container} restarted, restartCount {before.restart_count} to "
        f"{now.restart_count}, id {_short(before.container_id)} to {_short(now.container_id)}{how}"
    )


def _short(container_id: str) -> str:
    return container_id.rpartition("//")[2][:12]
