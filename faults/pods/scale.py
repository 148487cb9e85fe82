"""Take instances away for a while by scaling a component down (or add some), and bring the number back."""

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
    Observation,
    Receipt,
    RevertFailed,
    RevertResult,
    Target,
    Workload,
)
from faults.kube.api import MERGE, Json
from faults.kube.errors import ClusterError, Request
from faults.pods.selection import PLURALS, PodFault, path_of, workload_of
from faults.targets.kubernetes import KubernetesTarget, for_revert, kubernetes

POLL_SECONDS = 0.1
LONGEST_SECONDS = 86_400.0


class Scale(PodFault):
    """Sets the replicas of a component's Deployment or StatefulSet to a number, and back after a duration."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTROL_PLANE,
        heals="by revert",
        longest_seconds=LONGEST_SECONDS,
        privilege="Kubernetes rights only",
        fools="Everybody sees instances that leave in order (SIGTERM, grace) and, after the revert, new ones. "
        "An autoscaler or an operator that owns the number may put it back; that is found out and said.",
        permissions=(
            *("get pods", "list pods", "watch pods", "get replicasets.apps"),
            *("get deployments.apps", "get statefulsets.apps"),
            *(f"{verb} {kind}.apps/scale" for kind in ("deployments", "statefulsets") for verb in ("get", "patch")),
        ),
    )
    kind: Literal["scale"] = "scale"
    replicas: int = Field(ge=0, le=1000, description="How many instances there are while the fault acts.")
    duration_seconds: float = Field(
        default=60.0, gt=0, le=LONGEST_SECONDS, description="From the plan until the number is put back."
    )
    verify_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for the pods to go (or come)."
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        there = await self._live(target)
        whole = await workload_of(cluster, there)
        if whole.replicas == self.replicas:
            raise NoInstances(f"{whole.kind} {whole.name} has {whole.replicas} replicas already")
        # Which of them go is the controller's choice; how many is what the guard must know.
        touched = there[self.replicas :] if self.replicas < whole.replicas else there[:1]
        if not touched:
            raise NoInstances(
                f"{whole.kind} {whole.name}: only {len(there)} of {whole.replicas} pods run, none would go"
            )
        return tuple(one.model_copy(update={"workload": whole}) for one in touched)

    async def inject(self, receipt: Receipt, target: Target) -> None:
        cluster, whole = kubernetes(target), _workload(receipt)
        try:
            found = await _scale_now(cluster, whole)
            if found is None:
                raise NotInjected(f"{whole.kind} {whole.name} was gone before it was scaled")
            if found != whole.replicas:
                raise NotInjected(f"{whole.kind} {whole.name} has {found} replicas by now, not {whole.replicas}")
            await _set(cluster, whole, self.replicas)
        except ClusterError as error:
            if error.status is None or error.status >= 500:
                return  # verification finds out
            raise NotInjected(str(error)) from None

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        cluster, whole = kubernetes(target), _workload(receipt)
        deadline = time.monotonic() + self.verify_timeout_seconds
        while True:
            try:
                wanted = await _scale_now(cluster, whole)
                live = await cluster.instances(receipt.instances[0].component)
            except ClusterError as error:
                raise NotInjected(f"whether {whole.name} was scaled cannot be told: {error}") from None
            if wanted != self.replicas:
                raise NotInjected(f"{whole.kind} {whole.name} has {wanted} replicas, not {self.replicas}: {_WHO}")
            if len(live) == self.replicas:
                text = f"{whole.kind} {whole.name} at {self.replicas} of {whole.replicas} replicas"
                names = ", ".join(one.name for one in live)
                return Evidence(
                    summary=text, at_monotonic_ns=self._effect_ns(cluster, receipt), details=(f"left: {names}",)
                )
            if time.monotonic() >= deadline:
                text = f"{len(live)} pods of {receipt.instances[0].component} run, not {self.replicas}"
                raise NotInjected(f"{text}, {self.verify_timeout_seconds:g} s after {whole.name} was scaled")
            await asyncio.sleep(POLL_SECONDS)

    def _effect_ns(self, target: KubernetesTarget, receipt: Receipt) -> int:
        """When the first pod that was picked began to end; now, where another one went or none did."""
        seen = [target.watch.seen(one.pod.uid) for one in receipt.instances if one.pod is not None]
        ends = [one.terminating_ns or one.gone_ns for one in seen if one is not None]
        return min((at for at in ends if at is not None), default=time.monotonic_ns())

    async def observe(self, receipt: Receipt, target: Target) -> Observation:
        whole = _workload(receipt)
        try:
            found = await _scale_now(kubernetes(target), whole)
        except ClusterError as error:
            return Observation(acting=True, summary=f"not seen: {error}")
        if found == self.replicas:
            return Observation(acting=True, summary=f"{whole.kind} {whole.name} at {found} replicas")
        return Observation(acting=False, summary=f"{found} replicas", ended_early=f"{found} replicas: {_WHO}")

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        cluster, whole = for_revert(target), _workload(receipt)
        try:
            found = await _scale_now(cluster, whole)
            if found is None:
                return _result("target_gone", f"{whole.kind} {whole.name} is gone or was made anew")
            if found == whole.replicas:
                return _result("reverted", f"{whole.kind} {whole.name} has {found} replicas again")
            if found != self.replicas:
                return _result(
                    "reverted", f"{whole.kind} {whole.name} was set to {found} replicas by somebody else, left alone"
                )
            await _set(cluster, whole, whole.replicas)
            after = await _scale_now(cluster, whole)
        except ClusterError as error:
            raise RevertFailed(
                f"{whole.kind} {whole.name} cannot be set back to {whole.replicas} replicas: {error}"
            ) from None
        return _result("reverted", f"{whole.kind} {whole.name} set back to {whole.replicas} replicas (now {after})")


_WHO = "an autoscaler, an operator or a person sets it too"


def _workload(receipt: Receipt) -> Workload:
    whole = receipt.instances[0].workload
    if whole is None:
        raise NotInjected("the receipt names no workload")
    return whole


async def _scale_now(target: KubernetesTarget, whole: Workload) -> int | None:
    """Wanted replicas now; None when the object is gone, or another has its name."""
    request = Request("get", f"{PLURALS[whole.kind]}.apps/scale", whole.namespace, whole.name)
    try:
        raw = await target.api.get(request, path_of(whole.namespace, whole.kind, whole.name, "scale"))
    except ClusterError as error:
        if error.gone:
            return None
        raise
    return int(raw["spec"].get("replicas", 0)) if raw["metadata"]["uid"] == whole.uid else None


async def _set(target: KubernetesTarget, whole: Workload, replicas: int) -> Json:
    request = Request("patch", f"{PLURALS[whole.kind]}.apps/scale", whole.namespace, whole.name)
    path = path_of(whole.namespace, whole.kind, whole.name, "scale")
    body: Json = {"metadata": {"uid": whole.uid}, "spec": {"replicas": replicas}}
    return await target.api.ask(request, "PATCH", path, body=body, content=MERGE)


def _result(outcome: Literal["reverted", "target_gone"], summary: str) -> RevertResult:
    return RevertResult(outcome=outcome, summary=summary, at_monotonic_ns=time.monotonic_ns())
