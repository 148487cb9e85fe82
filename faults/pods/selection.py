"""What the faults on pods share: how they pick, and what they pick belongs to."""

from __future__ import annotations

import random

from pydantic import Field

from faults.base import Fault, Instance, NoInstances, Target, Workload
from faults.kube.api import Json
from faults.kube.errors import ClusterError, Request
from faults.process.selection import Components
from faults.select import Selector, natural_key, shortened
from faults.targets.kubernetes import KubernetesTarget, kubernetes, pod_of

PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}


class PodFault(Fault):
    """Picks a component of a Kubernetes target."""

    component: Components = Field(
        description="Component to break; several names (or `a,b`) mean the first that the deployment has."
    )

    async def _component_of(self, target: Target) -> str:
        known = await target.components()
        for name in self.component:
            if name in known:
                return name
        wanted = " or ".join(self.component)
        raise NoInstances(f"no component {wanted} in {target.name}; there is {shortened(known)}")

    async def _live(self, target: Target) -> list[Instance]:
        """Instances of the component that may be touched; at least one."""
        component = await self._component_of(target)
        found = sorted(await target.instances(component), key=lambda one: natural_key(one.name))
        if not found:
            raise NoInstances(await kubernetes(target).why_none(component))
        return found


class PickedPodsFault(PodFault):
    """Picks among the component's pods."""

    instances: Selector = Field(default=Selector(), description="Which of its pods, by name.")

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        kubernetes(target)
        there = await self._live(target)
        picked = self.instances.apply(there, rng)
        if not picked:
            names = shortened(one.name for one in there)
            raise NoInstances(f"instances {self.instances} of {there[0].component} matches nothing; there is {names}")
        return picked


async def workload_of(target: KubernetesTarget, instances: list[Instance]) -> Workload:
    """The one Deployment or StatefulSet that all of them belong to. Raises `NoInstances`."""
    owners = {pod_of(one).owner for one in instances}
    found: dict[str, Workload] = {}
    for owner in sorted(owners):
        kind, _, name = owner.partition("/")
        if kind == "ReplicaSet":
            kind, name = await _owner_of_set(target, name)
        if kind not in {"Deployment", "StatefulSet"}:
            said = f"{kind} {name}" if kind else "no controller"
            raise NoInstances(f"{instances[0].name} belongs to {said}, not to a Deployment or a StatefulSet")
        if f"{kind}/{name}" not in found:
            found[f"{kind}/{name}"] = workload(await read_workload(target, kind, name))
    if len(found) > 1:
        raise NoInstances(
            f"component {instances[0].component} is made of several ({shortened(found)}), this fault acts on one"
        )
    whole = next(iter(found.values()))
    closed = await target.not_opted_in(instances[0].component)
    if closed:
        raise NoInstances(
            f"{shortened(closed)} did not opt in, and this fault acts on all of {whole.kind} {whole.name}"
        )
    return whole


async def _owner_of_set(target: KubernetesTarget, name: str) -> tuple[str, str]:
    raw = await read_workload(target, "ReplicaSet", name)
    owner = next((one for one in raw["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    return (owner["kind"], owner["name"]) if owner else ("ReplicaSet", name)


async def read_workload(target: KubernetesTarget, kind: str, name: str) -> Json:
    """The object itself. Raises `ClusterError`."""
    request = Request("get", f"{PLURALS[kind]}.apps", target.namespace, name)
    raw = await target.api.get(request, path_of(target.namespace, kind, name))
    return {"kind": kind, **raw}


def path_of(namespace: str, kind: str, name: str, sub: str = "") -> str:
    """Address of a workload, or of a subresource of it."""
    return f"/apis/apps/v1/namespaces/{namespace}/{PLURALS[kind]}/{name}" + (f"/{sub}" if sub else "")


def workload(raw: Json) -> Workload:
    """The facts of it that a receipt keeps."""
    meta = raw["metadata"]
    return Workload(
        kind=raw["kind"],
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        replicas=int(raw["spec"].get("replicas", 1)),
        generation=int(meta.get("generation") or 0),
    )


async def workload_now(target: KubernetesTarget, known: Workload) -> Json | None:
    """The same object as it is now; None when it is gone, or another has its name."""
    try:
        raw = await read_workload(target, known.kind, known.name)
    except ClusterError as error:
        if error.gone:
            return None
        raise
    return raw if raw["metadata"]["uid"] == known.uid else None


def complete(raw: Json) -> bool:
    """Whether every pod that is wanted is there, of the present template and ready."""
    status, wanted = raw.get("status") or {}, int(raw["spec"].get("replicas", 1))
    counts = {key: int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "readyReplicas")}
    seen = int(status.get("observedGeneration") or 0) >= int(raw["metadata"].get("generation") or 0)
    return seen and all(value == wanted for value in counts.values())
