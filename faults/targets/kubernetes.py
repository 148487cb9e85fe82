"""The Kubernetes target: pods of a DynamoGraphDeployment, or of plain label selectors."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from faults.base import Exit, FaultError, Instance, NoInstances, Pod, Process, RevertFailed, Target
from faults.kube import graph
from faults.kube.api import Api, Json
from faults.kube.errors import ClusterError, Request
from faults.kube.exec import Containers, Session
from faults.kube.graph import Component
from faults.kube.pods import PodView, view
from faults.kube.rights import Rights
from faults.kube.watch import PodWatch
from faults.select import natural_key, shortened

FORBIDDEN_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
OWN_LABEL = ("app.kubernetes.io/name", "aftershock")
LOOK_SECONDS = 0.02
ASK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Where the deployment is, and which pods are out of bounds."""

    namespace: str
    graph_deployment: str | None = None
    components: tuple[Component, ...] = ()
    """For a deployment that is no DynamoGraphDeployment, or in addition to it."""
    opt_in: tuple[str, str] | None = None
    """An annotation, with its value, that a pod must carry before it is touched."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the deployment is ready, by the operator's word and by its pods'."""

    deployment: bool | None
    """None where there is no DynamoGraphDeployment."""
    deployment_since: str | None
    pods: bool
    pods_since: str | None
    """When the last of the pods became ready (RFC 3339, whole seconds)."""
    words: str


class KubernetesTarget(Target):
    """Finds instances by asking, every time; the watch beside it only says when something became so."""

    def __init__(self, name: str, selection: Selection, api: Api) -> None:
        """Raises `FaultError` for a namespace that is never touched."""
        if selection.namespace in FORBIDDEN_NAMESPACES:
            raise FaultError(f"namespace {selection.namespace} holds the cluster itself and is never touched")
        self._name = name
        self.selection = selection
        self.api = api
        self.watch = PodWatch(api, selection.namespace)
        self.containers = Containers(api)
        self.sessions: dict[str, Session] = {}
        """Commands that run in containers for a fault, by run and instance."""
        self._rights = Rights(api, selection.namespace)
        self._peers: dict[str, frozenset[str]] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def namespace(self) -> str:
        return self.selection.namespace

    # --- what there is ----------------------------------------------------------------------------

    async def components(self) -> list[str]:
        return [one.name for one in await self._components()]

    async def instances(self, component: str) -> list[Instance]:
        wanted = await self._component(component)
        self.watch.start()
        everything = await self._views(wanted)
        found = [self._instance(wanted, one) for one in everything if self._out_of_bounds(one) is None]
        uids = frozenset(one.pod.uid for one in everything)
        for one in found:
            if one.pod is not None:
                self._peers[one.pod.uid] = uids
        return sorted(found, key=lambda one: natural_key(one.name))

    async def exit_of(self, process: Process) -> Exit | None:
        return None

    async def replacement_of(self, instance: Instance) -> Instance | None:
        old = instance.pod
        if old is None:
            return None
        wanted = await self._component(instance.component)
        live = [one for one in await self._views(wanted) if not one.terminating]
        same = next((one for one in live if one.pod.uid == old.uid), None)
        if same is not None:
            restarted = same.running and same.pod.container_id != old.container_id
            return self._instance(wanted, same) if restarted else None
        before = self._peers.get(old.uid, frozenset({old.uid}))
        fresh = sorted((one for one in live if one.pod.uid not in before), key=lambda one: (one.created, one.pod.name))
        by_name = next((one for one in fresh if one.pod.name == old.name), None)
        lost = sorted(before - {one.pod.uid for one in live})
        place = lost.index(old.uid) if old.uid in lost else 0
        chosen = by_name or (fresh[place] if place < len(fresh) else None)
        return self._instance(wanted, chosen) if chosen is not None else None

    async def ready(self, instance: Instance) -> bool | None:
        if instance.pod is None:
            return None
        found = await self.look(instance.pod)
        return found is not None and found.ready and not found.terminating

    async def readiness(self) -> Readiness:
        """The whole deployment's readiness, with the instants that Kubernetes gives."""
        said: graph.GraphReady | None = None
        if self.selection.graph_deployment is not None:
            said = graph.readiness(await self._resource())
        pods = [one for each in await self._components() for one in await self._views(each) if not one.terminating]
        not_ready = [one.pod.name for one in pods if not one.ready]
        words = f"{len(pods) - len(not_ready)} of {len(pods)} pods ready"
        words += f", not {shortened(not_ready)}" if not_ready else ""
        return Readiness(
            deployment=said.ready if said else None,
            deployment_since=said.since if said else None,
            pods=bool(pods) and not not_ready,
            pods_since=max((one.ready_since or "" for one in pods), default=None),
            words=f"{said.words}; {words}" if said else words,
        )

    async def close(self) -> None:
        self.watch.stop()
        for session in self.sessions.values():
            session.cut()
        await asyncio.to_thread(self.api.close)

    async def missing_rights(self, permissions: Sequence[str]) -> list[str]:
        """Which of a fault's permissions we lack here, the one to find the deployment included."""
        found = (graph.RIGHT,) if self.selection.graph_deployment and permissions else ()
        return await self._rights.missing((*found, *permissions))

    # --- for the faults ---------------------------------------------------------------------------

    async def look(self, pod: Pod) -> PodView | None:
        """The pod as it is now; None when it is gone, or another pod has its name."""
        request = Request("get", "pods", pod.namespace, pod.name)
        try:
            raw = await self.api.get(request, f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}")
        except ClusterError as error:
            if error.gone:
                return None
            raise
        found = view(raw, pod.container)
        return found if found.pod.uid == pod.uid else None

    async def everything(self, component: str) -> list[PodView]:
        """All pods of a component, also those that do not run or may not be touched."""
        return await self._views(await self._component(component))

    async def not_opted_in(self, component: str) -> list[str]:
        """Pods of a component that lack the annotation, where one is asked for; what touches all touches them."""
        wanted = self.selection.opt_in
        if wanted is None:
            return []
        found = await self.everything(component)
        return [one.pod.name for one in found if not one.terminating and one.annotations.get(wanted[0]) != wanted[1]]

    async def gone_at(self, pod: Pod, deadline_seconds: float) -> int | None:
        """CLOCK_MONOTONIC at which the pod was seen to be gone; None when it is still there at the end."""
        deadline = time.monotonic() + deadline_seconds
        ask_at = 0.0
        while True:
            seen = self.watch.seen(pod.uid)
            if seen is not None and seen.gone_ns is not None:
                return seen.gone_ns
            if time.monotonic() >= ask_at:
                ask_at = time.monotonic() + ASK_EVERY_SECONDS
                if await self.look(pod) is None:
                    return time.monotonic_ns()
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(LOOK_SECONDS)

    def check_receipt(self, pod: Pod) -> None:
        """A receipt of another namespace is not ours to act on. Raises `FaultError`."""
        if pod.namespace != self.namespace:
            raise FaultError(
                f"pod {pod.name} is in namespace {pod.namespace}, this target may only touch {self.namespace}"
            )

    async def why_none(self, component: str) -> str:
        """Why no pod of a component may be touched."""
        wanted = await self._component(component)
        everything = await self._views(wanted)
        if not everything:
            tried = " or ".join(wanted.selectors)
            return f"component {component} has no pods in namespace {self.namespace} (labels {tried})"
        each = shortened(f"{one.pod.name} {self._out_of_bounds(one)}" for one in everything)
        return f"component {component} has no pod that can be touched: {each}"

    # --- inside -----------------------------------------------------------------------------------

    async def _components(self) -> list[Component]:
        found = graph.components_of(await self._resource()) if self.selection.graph_deployment else []
        return [*found, *self.selection.components]

    async def _component(self, name: str) -> Component:
        known = await self._components()
        found = next((one for one in known if one.is_called(name)), None)
        if found is None:
            names = shortened(one.name for one in known)
            raise NoInstances(f"no component {name} in {self._name}; there is {names}")
        return found

    async def _resource(self) -> Json:
        """The DynamoGraphDeployment, in the newest version that the cluster serves."""
        name = self.selection.graph_deployment
        request = Request("get", f"{graph.PLURAL}.{graph.GROUP}", self.namespace, name or "")
        last: ClusterError | None = None
        for version in graph.VERSIONS:
            path = f"/apis/{graph.GROUP}/{version}/namespaces/{self.namespace}/{graph.PLURAL}/{name}"
            try:
                found = await self.api.get(request, path)
            except ClusterError as error:
                if not error.gone:
                    raise
                last = error
            else:
                return found
        there = await self._graphs_there()
        raise NoInstances(f"no DynamoGraphDeployment {name} in namespace {self.namespace}; there is {there}") from last

    async def _graphs_there(self) -> str:
        request = Request("list", f"{graph.PLURAL}.{graph.GROUP}", self.namespace)
        for version in graph.VERSIONS:
            path = f"/apis/{graph.GROUP}/{version}/namespaces/{self.namespace}/{graph.PLURAL}"
            try:
                found = await self.api.get(request, path)
            except ClusterError:
                continue
            return shortened(str(one["metadata"]["name"]) for one in found.get("items") or ())
        return "nothing (the cluster does not know DynamoGraphDeployments, or we may not list them)"

    async def _views(self, component: Component) -> list[PodView]:
        for selector in component.selectors:
            found = await self._listed(selector)
            if found:
                return [view(raw, component.container) for raw in found]
        return []

    async def _listed(self, selector: str) -> Sequence[Json]:
        request = Request("list", "pods", self.namespace)
        found = await self.api.get(request, f"/api/v1/namespaces/{self.namespace}/pods", {"labelSelector": selector})
        items: Sequence[Json] = found.get("items") or ()
        return items

    def _out_of_bounds(self, one: PodView) -> str | None:
        """Why a pod is not touched: on its way out, not running, ourselves, or not opted in where that is asked for."""
        if one.terminating:
            return "is terminating"
        if not one.running:
            return f"does not run ({one.waiting or one.phase})"
        if one.labels.get(OWN_LABEL[0]) == OWN_LABEL[1] or one.pod.name == os.environ.get("POD_NAME"):
            return "is aftershock itself"
        wanted = self.selection.opt_in
        if wanted is not None and one.annotations.get(wanted[0]) != wanted[1]:
            return f"lacks the annotation {wanted[0]}={wanted[1]}"
        return None

    @staticmethod
    def _instance(component: Component, one: PodView) -> Instance:
        return Instance(component=component.name, name=one.pod.name, pod=one.pod)


def kubernetes(target: Target | None) -> KubernetesTarget:
    """The target, which has to be a Kubernetes one. Raises `NoInstances`."""
    if not isinstance(target, KubernetesTarget):
        raise NoInstances("this fault acts on pods: configure deployment.target with kind kubernetes")
    return target


def for_revert(target: Target | None) -> KubernetesTarget:
    """The same for a revert, which cannot do without. Raises `RevertFailed`."""
    if not isinstance(target, KubernetesTarget):
        raise RevertFailed("the cluster cannot be reached: configure deployment.target with kind kubernetes again")
    return target


def pod_of(instance: Instance) -> Pod:
    """Its pod. Raises `NoInstances` for an instance that is none."""
    if instance.pod is None:
        raise NoInstances(f"{instance.name} is not a pod")
    return instance.pod
