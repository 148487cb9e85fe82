"""PodDisruptionBudgets, and evictions that respect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faults.base import Pod
from faults.kube.api import Api, Json
from faults.kube.errors import ClusterError, Request
from faults.kube.pods import PodView

RIGHT = "list poddisruptionbudgets.policy"
VERSIONS = ("v1", "v1beta1")
"""Newest first; a cluster before 1.21 serves the second alone."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One PodDisruptionBudget, by the numbers that its controller last wrote."""

    name: str
    allowed: int
    healthy: int
    wanted: int
    selector: Mapping[str, Any] | None
    empty_is_all: bool
    """What an empty selector means: all pods in policy/v1, none in v1beta1."""

    def covers(self, labels: Mapping[str, str]) -> bool:
        if self.selector is None:
            return False
        exact = self.selector.get("matchLabels") or {}
        terms = self.selector.get("matchExpressions") or ()
        if not exact and not terms:
            return self.empty_is_all
        return all(labels.get(key) == value for key, value in exact.items()) and all(_holds(t, labels) for t in terms)

    def __str__(self) -> str:
        return (
            f"PodDisruptionBudget {self.name} (allows {self.allowed} disruptions: "
            f"{self.healthy} pods healthy, {self.wanted} wanted)"
        )


def _holds(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = term["key"], term.get("values") or ()
    match term["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


async def budgets(api: Api, namespace: str) -> list[Budget]:
    """All of a namespace. Raises `ClusterError`."""
    request = Request("list", "poddisruptionbudgets.policy", namespace)
    for version in VERSIONS:
        path = f"/apis/policy/{version}/namespaces/{namespace}/poddisruptionbudgets"
        try:
            found = await api.get(request, path)
        except ClusterError as error:
            if not error.gone:
                raise
        else:
            return [_budget(raw, version) for raw in found.get("items") or ()]
    return []  # a server that knows none enforces none


def _budget(raw: Json, version: str) -> Budget:
    status = raw.get("status") or {}
    # Until its controller has counted anew, it allows nothing: so does the API server.
    counted = int(status.get("observedGeneration") or 0) >= int(raw["metadata"].get("generation") or 0)
    return Budget(
        name=raw["metadata"]["name"],
        allowed=int(status.get("disruptionsAllowed") or 0) if counted else 0,
        healthy=int(status.get("currentHealthy") or 0),
        wanted=int(status.get("desiredHealthy") or 0),
        selector=(raw.get("spec") or {}).get("selector"),
        empty_is_all=version == "v1",
    )


def broken_by(known: Sequence[Budget], leaving: Sequence[PodView]) -> Budget | None:
    """The first budget that does not allow all of these pods to go; those that are not ready cost nothing."""
    for budget in known:
        cost = sum(one.ready and budget.covers(one.labels) for one in leaving)
        if cost > budget.allowed:
            return budget
    return None


async def evict(api: Api, pod: Pod) -> None:
    """Ask for an eviction of this very pod. Raises `ClusterError`, 429 when a budget says no."""
    body: Json = {
        "apiVersion": f"policy/{await _eviction_version(api)}",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    request = Request("create", "pods/eviction", pod.namespace, pod.name)
    await api.ask(request, "POST", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction", body=body)


async def _eviction_version(api: Api) -> str:
    """Which version of the Eviction the server reads; it says so in its list of resources."""
    try:
        found = await api.get(Request("get", "/api/v1"), "/api/v1")
    except ClusterError:
        return VERSIONS[0]
    told = (str(one.get("version") or "") for one in found.get("resources") or () if one.get("name") == "pods/eviction")
    return next(told, "") or VERSIONS[0]
