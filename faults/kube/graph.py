"""What a deployment consists of: components, and how their pods are found. Pure, but for the dictionaries it is given.

A DynamoGraphDeployment names its services (`spec.services`, v1alpha1) or components (`spec.components`,
v1beta1); the names are read there and nowhere else. Operators label a service's pods in one of two ways, see
`Component.selectors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.base import FaultError

GROUP = "nvidia.com"
PLURAL = "dynamographdeployments"
RIGHT = f"get {PLURAL}.{GROUP}"
"""Without it the deployment's components cannot be found."""
VERSIONS = ("v1beta1", "v1alpha1")
"""Newest first; a cluster serves one of them or both."""
MAIN_CONTAINER = "main"


@dataclass(frozen=True, slots=True)
class Component:
    """One component: its name here, its name in the resource, and label selectors of which the first that finds pods counts."""

    name: str
    service: str
    selectors: tuple[str, ...]
    container: str | None = None
    aliases: frozenset[str] = field(default=frozenset())

    def is_called(self, name: str) -> bool:
        return name in (self.name, self.service) or name in self.aliases


def components_of(resource: Mapping[str, Any]) -> list[Component]:
    """Components of a DynamoGraphDeployment. Raises `FaultError` for one without any."""
    name = resource["metadata"]["name"]
    services = _services(resource.get("spec") or {})
    if not services:
        raise FaultError(f"DynamoGraphDeployment {name} has neither spec.services nor spec.components")
    disaggregated = any(role == "prefill" for role in services.values())
    taken: set[str] = set()
    found = []
    for service, role in services.items():
        # The only worker role of an aggregated deployment is called decode by some; here it is a worker.
        wanted = "worker" if role == "decode" and not disaggregated else role
        called = service if wanted in taken or not wanted else wanted
        taken.add(called)
        found.append(
            Component(called, service, _selectors(name, service), MAIN_CONTAINER, frozenset({service.lower()}))
        )
    return found


def _selectors(graph: str, service: str) -> tuple[str, ...]:
    return (
        f"{GROUP}/dynamo-graph-deployment-name={graph},{GROUP}/dynamo-component={service}",
        # Older operators. Newer ones append a hash to this label on workers, where it finds nothing.
        f"{GROUP}/selector={graph}-{service.lower()}",
    )


def _services(spec: Mapping[str, Any]) -> dict[str, str]:
    """Names with their roles, in the resource's order."""
    given = spec.get("components")
    if isinstance(given, Sequence) and given:
        return {str(one["name"]): _role(one.get("type"), one.get("subType")) for one in given if "name" in one}
    services = spec.get("services")
    if not isinstance(services, Mapping):
        return {}
    return {
        str(name): _role((one or {}).get("componentType"), (one or {}).get("subComponentType"))
        for name, one in services.items()
    }


def _role(kind: object, sub: object) -> str:
    return str(sub or kind or "").lower()


@dataclass(frozen=True, slots=True)
class GraphReady:
    """What the operator says of the whole deployment."""

    ready: bool
    since: str | None
    """When that began, by the operator's clock (RFC 3339, whole seconds)."""
    words: str


def readiness(resource: Mapping[str, Any]) -> GraphReady:
    """Ready is condition Ready True and state successful, both; anything else is not."""
    status = resource.get("status") or {}
    condition: Mapping[str, Any] = next(
        (one for one in status.get("conditions") or () if one.get("type") == "Ready"), {}
    )
    state = str(status.get("state") or "unknown")
    said = str(condition.get("status") or "Unknown")
    words = f"Ready {said}, state {state}" + (f": {condition['message']}" if condition.get("message") else "")
    return GraphReady(said == "True" and state == "successful", condition.get("lastTransitionTime"), words)
