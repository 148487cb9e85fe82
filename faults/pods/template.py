"""What the faults that change a workload's pod template share: the exact change, and the way back.

A change is a JSON patch that first tests that everything is as the receipt says. What comes back is the very
value that was there before, and only while the template still holds ours.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from faults.base import (
    Evidence,
    Instance,
    NoInstances,
    NotInjected,
    Observation,
    Receipt,
    RevertFailed,
    RevertResult,
    Target,
    Workload,
)
from faults.kube.api import PATCH, Json
from faults.kube.errors import ClusterError, Request
from faults.kube.pods import PodView
from faults.pods.selection import PLURALS, PodFault, complete, path_of, workload_now, workload_of
from faults.targets.kubernetes import KubernetesTarget, for_revert, kubernetes, pod_of

LONGEST_SECONDS = 86_400.0
POLL_SECONDS = 0.25
TRIES = 3
WHOLE_SECONDS = 4.0
"""How long a revert watches the rollout back, which goes on without it."""
WHO = "an operator or a person sets it too"
PERMISSIONS = (
    *("get pods", "list pods", "watch pods", "delete pods", "get replicasets.apps"),
    *(f"{verb} {kind}.apps" for kind in ("deployments", "statefulsets") for verb in ("get", "patch")),
)


class TemplateFault(PodFault):
    """Changes fields of the container that serves in a workload's pod template, for a while."""

    duration_seconds: float = Field(
        default=60.0, gt=0, le=LONGEST_SECONDS, description="From the plan until the template is put back."
    )
    verify_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for the first pod of the changed template."
    )

    @abstractmethod
    def _wanted(self, container: Json, run_id: str) -> Mapping[str, Any]:
        """The fields with their new values. The same for the same container and run."""

    @abstractmethod
    def _holds(self, container: Json, before: Mapping[str, Any], run_id: str) -> bool:
        """Whether a container (of a template, or of a pod) has our change."""

    @abstractmethod
    def _told(self, pod: PodView) -> str | None:
        """What a pod of the changed template shows, once it shows the effect."""

    def _pointless(self, _container: Json) -> str | None:
        """Why the change would change nothing."""
        return None

    def _at_stake(self, there: Sequence[Instance], _raw: Json) -> Sequence[Instance]:
        """Pods that may go because of it; at least one."""
        return there

    @property
    @abstractmethod
    def _fields(self) -> tuple[str, ...]:
        """Fields of a container that are changed."""

    # --- the verbs --------------------------------------------------------------------------------

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        cluster = kubernetes(target)
        there = await self._live(target)
        whole = await workload_of(cluster, there)
        raw = await _now(cluster, whole)
        if raw is None:
            raise NoInstances(f"{whole.kind} {whole.name} is gone")
        _must_roll_out(whole, raw)
        container = _container(raw, pod_of(there[0]).container)
        if container is None:
            raise NoInstances(f"{whole.kind} {whole.name} has no container {pod_of(there[0]).container} any more")
        pointless = self._pointless(container[1])
        if pointless:
            raise NoInstances(f"{whole.kind} {whole.name}: {pointless}")
        before = {name: container[1][name] for name in self._fields if name in container[1]}
        changed = whole.model_copy(update={"before": before})
        return tuple(one.model_copy(update={"workload": changed}) for one in self._at_stake(there, raw))

    async def inject(self, receipt: Receipt, target: Target) -> None:
        cluster, whole = kubernetes(target), _workload(receipt)
        try:
            raw = await _now(cluster, whole)
            found = _container(raw, _serving(receipt)) if raw is not None else None
            if found is None:
                raise NotInjected(f"{whole.kind} {whole.name} is gone or was made anew")
            if {name: found[1][name] for name in self._fields if name in found[1]} != whole.before:
                raise NotInjected(f"the template of {whole.kind} {whole.name} was changed by somebody else meanwhile")
            await _patch(cluster, whole, found, self._wanted(found[1], receipt.run_id))
        except ClusterError as error:
            if error.status is None or error.status >= 500:
                return  # it may have been done all the same; verification finds out
            raise NotInjected(_changed_meanwhile(whole, error)) from None

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        cluster, whole = kubernetes(target), _workload(receipt)
        deadline, seen = time.monotonic() + self.verify_timeout_seconds, "no new pod"
        while True:
            try:
                why = await self._why_not_ours(receipt, cluster)
                pods = await self._changed_pods(receipt, cluster)
            except ClusterError as error:
                raise NotInjected(f"whether {whole.name} was changed cannot be told: {error}") from None
            if why is not None:
                raise NotInjected(why)
            for pod in pods:
                told = self._told(pod)
                if told is not None:
                    return Evidence(
                        summary=f"{whole.kind} {whole.name}: {told}",
                        at_monotonic_ns=time.monotonic_ns(),
                        details=(f"new pod {pod.pod.name} (uid {pod.pod.uid[:8]})",),
                    )
                seen = f"new pod {pod.pod.name} is {pod.phase} {f'({pod.waiting})' if pod.waiting else ''}".rstrip()
            if time.monotonic() >= deadline:
                raise NotInjected(
                    f"{whole.kind} {whole.name} was changed, but {self.verify_timeout_seconds:g} s later {seen}"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def observe(self, receipt: Receipt, target: Target) -> Observation:
        cluster, whole = kubernetes(target), _workload(receipt)
        try:
            why = await self._why_not_ours(receipt, cluster)
            pods = await self._changed_pods(receipt, cluster) if why is None else []
        except ClusterError as error:
            return Observation(acting=True, summary=f"not seen: {error}")
        if why is not None:
            return Observation(acting=False, summary=why, ended_early=why)
        return Observation(acting=True, summary=f"{whole.kind} {whole.name}: {len(pods)} pods of the changed template")

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        cluster, whole = for_revert(target), _workload(receipt)
        try:
            for _ in range(TRIES):
                raw = await _now(cluster, whole)
                if raw is None:
                    return _result("target_gone", f"{whole.kind} {whole.name} is gone or was made anew")
                found = _container(raw, _serving(receipt))
                if found is None or not self._holds(found[1], whole.before, receipt.run_id):
                    return _result("reverted", await self._without_us(receipt, cluster, found))
                if await _put_back(cluster, whole, found, self._fields):
                    return _result("reverted", await self._with_us(receipt, cluster))
        except ClusterError as error:
            raise RevertFailed(f"the template of {whole.kind} {whole.name} cannot be put back: {error}") from None
        raise RevertFailed(f"the template of {whole.kind} {whole.name} is changed all the time by somebody else")

    # --- inside -----------------------------------------------------------------------------------

    async def _why_not_ours(self, receipt: Receipt, target: KubernetesTarget) -> str | None:
        whole = _workload(receipt)
        raw = await _now(target, whole)
        if raw is None:
            return f"{whole.kind} {whole.name} is gone or was made anew"
        found = _container(raw, _serving(receipt))
        if found is None or not self._holds(found[1], whole.before, receipt.run_id):
            return f"the template of {whole.kind} {whole.name} is not ours (any more): {WHO}"
        return None

    async def _changed_pods(self, receipt: Receipt, target: KubernetesTarget) -> list[PodView]:
        """Pods of the changed template."""
        before = _workload(receipt).before
        found = await target.everything(receipt.instances[0].component)
        return [
            one
            for one in found
            if not one.terminating
            and self._holds({"image": one.image, "resources": one.resources}, before, receipt.run_id)
        ]

    async def _without_us(self, receipt: Receipt, target: KubernetesTarget, found: tuple[int, Json] | None) -> str:
        """What is to be said where our change is not in the template (any more)."""
        whole = _workload(receipt)
        fields = found[1] if found is not None else {}
        now = {name: fields[name] for name in self._fields if name in fields}
        if now != whole.before:
            return f"the template of {whole.kind} {whole.name} was changed by somebody else, left alone: {now}"
        await self._end_stuck(receipt, target)
        return f"the template of {whole.kind} {whole.name} is as it was"

    async def _with_us(self, receipt: Receipt, target: KubernetesTarget) -> str:
        whole = _workload(receipt)
        await self._end_stuck(receipt, target)
        deadline = time.monotonic() + WHOLE_SECONDS
        while time.monotonic() < deadline:
            raw = await _now(target, whole)
            if raw is not None and complete(raw) and not await self._changed_pods(receipt, target):
                return f"the template of {whole.kind} {whole.name} put back, the rollout is whole"
            await asyncio.sleep(POLL_SECONDS)
        return f"the template of {whole.kind} {whole.name} put back, the rollout goes on"

    async def _end_stuck(self, receipt: Receipt, target: KubernetesTarget) -> None:
        """A StatefulSet waits for ever for a pod of a template that is gone, unless somebody deletes it."""
        if _workload(receipt).kind != "StatefulSet":
            return
        for one in await self._changed_pods(receipt, target):
            if one.ready:
                continue
            pod = one.pod
            request = Request("delete", "pods", pod.namespace, pod.name)
            body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": pod.uid}}
            try:
                await target.api.ask(
                    request, "DELETE", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", body=body
                )
            except ClusterError as error:
                if error.status not in {404, 409}:
                    raise


def may_be_missing(raw: Json) -> int:
    """How many of its pods a rollout that never gets anywhere may take away."""
    spec = raw["spec"]
    replicas = int(spec.get("replicas", 1))
    if raw["kind"] == "StatefulSet":
        return 1
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return replicas
    given = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    return int(given) if isinstance(given, int) else replicas * int(given.rstrip("%")) // 100


def _must_roll_out(whole: Workload, raw: Json) -> None:
    """Raises `NoInstances` for a workload whose pods would not follow its template, or do so already."""
    spec = raw["spec"]
    name = f"{whole.kind} {whole.name}"
    if spec.get("paused"):
        raise NoInstances(f"{name} is paused: a changed template would make no pod")
    update = spec.get("updateStrategy") or {}
    if update.get("type") == "OnDelete":
        raise NoInstances(f"{name} has updateStrategy OnDelete: a changed template would make no pod")
    if int((update.get("rollingUpdate") or {}).get("partition") or 0) >= whole.replicas > 0:
        raise NoInstances(f"{name} has a partition that keeps all its pods: a changed template would make no pod")
    if not complete(raw):
        raise NoInstances(f"{name} is not whole: a rollout is under way, or pods are not ready")


def _container(raw: Json, name: str) -> tuple[int, Json] | None:
    """The container of that name in the template, with its place."""
    containers = raw["spec"]["template"]["spec"]["containers"]
    return next(((at, one) for at, one in enumerate(containers) if one["name"] == name), None)


async def _now(target: KubernetesTarget, whole: Workload) -> Json | None:
    return await workload_now(target, whole)


async def _patch(target: KubernetesTarget, whole: Workload, found: tuple[int, Json], wanted: Mapping[str, Any]) -> None:
    """Set fields of a container (or take out those that are None), if it is still as it was found."""
    at, container = found
    place = f"/spec/template/spec/containers/{at}"
    body: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": whole.uid},
        {"op": "test", "path": f"{place}/name", "value": container["name"]},
    ]
    for name, value in wanted.items():
        if name in container:
            body.append({"op": "test", "path": f"{place}/{name}", "value": container[name]})
        if value is not None:
            body.append({"op": "add", "path": f"{place}/{name}", "value": value})
        elif name in container:
            body.append({"op": "remove", "path": f"{place}/{name}"})
    request = Request("patch", f"{PLURALS[whole.kind]}.apps", whole.namespace, whole.name)
    await target.api.ask(request, "PATCH", path_of(whole.namespace, whole.kind, whole.name), body=body, content=PATCH)


async def _put_back(target: KubernetesTarget, whole: Workload, found: tuple[int, Json], fields: Sequence[str]) -> bool:
    """False when it was changed between the look and the patch."""
    try:
        await _patch(target, whole, found, {name: whole.before.get(name) for name in fields})
    except ClusterError as error:
        if error.status in {409, 422}:
            return False
        raise
    return True


def _changed_meanwhile(whole: Workload, error: ClusterError) -> str:
    """A test of the patch that failed is a 422 like any other mistake in it."""
    if error.status in {409, 422}:
        return f"{whole.kind} {whole.name} was not changed, it may be somebody else's by now: {error}"
    return str(error)


def _workload(receipt: Receipt) -> Workload:
    whole = receipt.instances[0].workload
    if whole is None:
        raise NotInjected("the receipt names no workload")
    return whole


def _serving(receipt: Receipt) -> str:
    return pod_of(receipt.instances[0]).container


def _result(outcome: Literal["reverted", "target_gone"], summary: str) -> RevertResult:
    return RevertResult(outcome=outcome, summary=summary, at_monotonic_ns=time.monotonic_ns())
