"""Too little CPU or memory: the pods of a workload run with smaller limits for a while."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from faults.base import Facts, Layer
from faults.kube.api import Json
from faults.kube.pods import PodView
from faults.pods.template import LONGEST_SECONDS, PERMISSIONS, TemplateFault

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$")]


class ResourceSqueeze(TemplateFault):
    """Lowers the limits of the container that serves, by a rollout there and another one back."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTAINER,
        heals="by revert",
        longest_seconds=LONGEST_SECONDS,
        privilege="Kubernetes rights only",
        fools="The kernel throttles (CPU) or kills (memory) for real. The pods are made anew for it, and anew when it "
        "is put back, so a rollout is part of the fault.",
        permissions=PERMISSIONS,
    )
    kind: Literal["resource_squeeze"] = "resource_squeeze"
    cpu: Quantity | None = Field(default=None, description="CPU limit while it acts, such as `100m`.")
    memory: Quantity | None = Field(default=None, description="Memory limit while it acts, such as `256Mi`.")

    @model_validator(mode="after")
    def _something(self) -> ResourceSqueeze:
        if self.cpu is None and self.memory is None:
            raise ValueError("give cpu, memory or both")
        return self

    @property
    def _fields(self) -> tuple[str, ...]:
        return ("resources",)

    @property
    def _limits(self) -> dict[str, str]:
        given = {"cpu": self.cpu, "memory": self.memory}
        return {name: value for name, value in given.items() if value is not None}

    def _pointless(self, container: Json) -> str | None:
        limits = (container.get("resources") or {}).get("limits") or {}
        for name, ours in self._limits.items():
            if name not in limits or amount(ours) < amount(limits[name]):
                return None
        told = ", ".join(f"{name} {limits[name]}" for name in self._limits)
        return f"its limits ({told}) are as low already"

    def _wanted(self, container: Json, run_id: str) -> Mapping[str, Any]:
        given = container.get("resources") or {}
        requests = {
            name: self._limits[name] if name in self._limits and amount(value) > amount(self._limits[name]) else value
            for name, value in (given.get("requests") or {}).items()
        }
        squeezed = {**given, "limits": {**(given.get("limits") or {}), **self._limits}}
        return {"resources": squeezed | ({"requests": requests} if requests else {})}

    def _holds(self, container: Json, before: Mapping[str, Any], run_id: str) -> bool:
        limits = (container.get("resources") or {}).get("limits") or {}
        return all(name in limits and amount(limits[name]) == amount(ours) for name, ours in self._limits.items())

    def _told(self, pod: PodView) -> str | None:
        """A container that was started with them, whatever became of it since."""
        if not pod.running and pod.last_end is None:
            return None
        limits = pod.resources.get("limits") or {}
        told = ", ".join(f"{name} {limits.get(name)}" for name in self._limits)
        state = "runs" if pod.running else f"ended ({pod.last_end.reason if pod.last_end else ''})"
        return f"new pod {pod.pod.name} {state} with limits {told}"


def amount(quantity: str) -> Decimal:
    """A Kubernetes quantity as a number; the same amount may be written in several ways."""
    from kubernetes.utils.quantity import parse_quantity  # noqa: PLC0415 - see faults.kube.api

    return Decimal(parse_quantity(str(quantity)))  # type: ignore[no-untyped-call]  # theirs
