"""Restart a whole component, pod by pod, as its controller rolls out changes."""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from typing import ClassVar, Literal

from pydantic import Field

from faults.base import Evidence, Facts, Instance, Layer, NotInjected, Receipt, RevertResult, Target, Workload
from faults.kube.api import MERGE, Json
from faults.kube.errors import ClusterError, Request
from faults.pods.selection import PLURALS, PodFault, complete, path_of, workload_now, workload_of
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

POLL_SECONDS = 0.25
ANNOTATION = "kubectl.kubernetes.io/restartedAt"


class RolloutRestart(PodFault):
    """Changes the pod template's restart annotation, as `kubectl rollout restart` does."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTROL_PLANE,
        heals="by itself",
        longest_seconds=0.0,
        privilege="Kubernetes rights only",
        fools="Everybody sees a real rollout: new pods come up, old ones get SIGTERM, at the pace of the "
        "controller's own strategy. A healthy deployment should not be hurt by it at all.",
        permissions=(
            *("get pods", "list pods", "watch pods", "get replicasets.apps"),
            *(f"{verb} {kind}.apps" for kind in ("deployments", "statefulsets") for verb in ("get", "patch")),
        ),
    )
    kind: Literal["rollout_restart"] = "rollout_restart"
    verify_timeout_seconds: float = Field(
        default=600.0, gt=0, le=7200, description="Longest wait until every old pod is gone and the new ones are ready."
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        there = await self._live(target)
        whole = await workload_of(cluster, there)
        return tuple(one.model_copy(update={"workload": whole}) for one in there)

    async def inject(self, receipt: Receipt, target: Target) -> None:
        cluster, whole = kubernetes(target), _workload(receipt)
        raw = await _now(cluster, whole)
        if int(raw["metadata"].get("generation") or 0) != int((raw.get("status") or {}).get("observedGeneration") or 0):
            raise NotInjected(f"{whole.kind} {whole.name} is being changed by somebody else already")
        body: Json = {
            "metadata": {"uid": whole.uid},
            "spec": {"template": {"metadata": {"annotations": {ANNOTATION: _mark(receipt)}}}},
        }
        request = Request("patch", f"{PLURALS[whole.kind]}.apps", whole.namespace, whole.name)
        path = path_of(whole.namespace, whole.kind, whole.name)
        try:
            await cluster.api.ask(request, "PATCH", path, body=body, content=MERGE)
        except ClusterError as error:
            if error.status is not None and error.status < 500:
                raise NotInjected(str(error)) from None

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        cluster, whole = kubernetes(target), _workload(receipt)
        old = [pod_of(one) for one in receipt.instances]
        began = time.monotonic()
        first: int | None = None
        while True:
            raw = await _now(cluster, whole)
            _must_be_ours(raw, receipt, whole)
            leaving = [at for one in old if (at := await _left_at(cluster, one.uid)) is not None]
            first = min(leaving, default=None) if leaving else first
            if first is not None and len(leaving) == len(old) and complete(raw):
                return Evidence(
                    summary=f"{whole.kind} {whole.name} rolled out anew: {len(old)} old pods gone",
                    at_monotonic_ns=first,
                    details=(f"complete {time.monotonic() - first / 1e9:.1f} s after the first old pod began to end",),
                )
            if time.monotonic() - began >= self.verify_timeout_seconds:
                return self._unfinished(whole, old=len(old), leaving=len(leaving), first=first)
            await asyncio.sleep(POLL_SECONDS)

    def _unfinished(self, whole: Workload, *, old: int, leaving: int, first: int | None) -> Evidence:
        text = f"{whole.kind} {whole.name}: {leaving} of {old} old pods gone after {self.verify_timeout_seconds:g} s"
        if first is None:
            raise NotInjected(f"{text}; are new pods not becoming ready?")
        return Evidence(summary=f"{text}, the rollout is NOT complete", at_monotonic_ns=first)

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        return RevertResult(
            outcome="nothing_to_do",
            summary="a rollout is not undone by us; the new pods are made from the same template",
            at_monotonic_ns=time.monotonic_ns(),
        )


def _workload(receipt: Receipt) -> Workload:
    whole = receipt.instances[0].workload
    if whole is None:
        raise NotInjected("the receipt names no workload")
    return whole


def _mark(receipt: Receipt) -> str:
    """The value that says that this rollout is ours; a time, as others write it."""
    at = datetime.datetime.fromtimestamp(receipt.planned_ns / 1e9, datetime.UTC)
    return at.isoformat(timespec="microseconds")


async def _now(target: KubernetesTarget, whole: Workload) -> Json:
    try:
        raw = await workload_now(target, whole)
    except ClusterError as error:
        raise NotInjected(str(error)) from None
    if raw is None:
        raise NotInjected(f"{whole.kind} {whole.name} is gone or was made anew")
    return raw


def _must_be_ours(raw: Json, receipt: Receipt, whole: Workload) -> None:
    """An operator may own the template and put it back at once."""
    found = (raw["spec"]["template"]["metadata"].get("annotations") or {}).get(ANNOTATION)
    if found != _mark(receipt):
        raise NotInjected(
            f"the restart mark on {whole.kind} {whole.name} is not ours (any more): {found}; an operator may own it"
        )


async def _left_at(target: KubernetesTarget, uid: str) -> int | None:
    """When the pod began to end, as the watch saw it."""
    seen = target.watch.seen(uid)
    return (seen.terminating_ns or seen.gone_ns) if seen is not None else None
