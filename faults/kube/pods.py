"""Pods as the API server shows them, down to the few facts that faults need. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from faults.base import FaultError, Pod

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended, by the kubelet's word."""

    exit_code: int
    signal: int | None
    reason: str
    finished_at: str

    @property
    def by_signal(self) -> int | None:
        """The signal that ended it; runtimes report it as an exit code of 128 and more."""
        return self.signal or (self.exit_code - 128 if self.exit_code > 128 else None)


@dataclass(frozen=True, slots=True)
class PodView:
    """One look at a pod."""

    pod: Pod
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    phase: str
    terminating: bool
    ready: bool
    ready_since: str | None
    """Last change of condition Ready, by the cluster's clock (RFC 3339, whole seconds)."""
    created: str
    running: bool
    """Whether the container that serves runs."""
    last_end: Ended | None
    waiting: str | None
    """Why the container does not run, such as `CrashLoopBackOff`."""
    restart_policy: str = "Always"
    image: str = ""
    """What the container that serves is made of, by the spec."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Its requests and limits, by the spec."""


def view(raw: Mapping[str, Any], container: str | None = None) -> PodView:
    """What is worth knowing of a pod. Raises `FaultError` when it is not clear which container serves."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    serving = serving_container(raw, container)
    state: Mapping[str, Any] = next(
        (one for one in status.get("containerStatuses") or () if one.get("name") == serving), {}
    )
    made: Mapping[str, Any] = next((one for one in spec.get("containers") or () if one.get("name") == serving), {})
    ready = _condition(status, "Ready")
    owner: Mapping[str, Any] = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), {})
    now = state.get("state") or {}
    return PodView(
        pod=Pod(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            uid=meta["uid"],
            node=spec.get("nodeName") or "",
            container=serving,
            container_id=state.get("containerID") or "" if "running" in now else "",
            restart_count=int(state.get("restartCount") or 0),
            owner=f"{owner['kind']}/{owner['name']}" if owner else "",
        ),
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
        phase=status.get("phase") or "Unknown",
        terminating=bool(meta.get("deletionTimestamp")),
        ready=ready.get("status") == "True",
        ready_since=ready.get("lastTransitionTime"),
        created=meta.get("creationTimestamp") or "",
        running="running" in now,
        last_end=_ended(now.get("terminated") or (state.get("lastState") or {}).get("terminated")),
        waiting=(now.get("waiting") or {}).get("reason"),
        restart_policy=spec.get("restartPolicy") or "Always",
        image=str(made.get("image") or ""),
        resources=made.get("resources") or {},
    )


def serving_container(raw: Mapping[str, Any], wanted: str | None) -> str:
    """The container that serves, told apart from sidecars. Raises `FaultError` where that is not clear.

    The one that is asked for; else the only one; else what the pod's own annotation says; else `main`,
    which is what Dynamo's operator calls it.
    """
    names = [str(one["name"]) for one in (raw.get("spec") or {}).get("containers") or ()]
    pod = raw["metadata"]["name"]
    annotated = (raw["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if wanted is not None and wanted in names:
        return wanted
    if len(names) == 1:
        return names[0]
    for candidate in (annotated, "main"):
        if candidate in names:
            return str(candidate)
    asked = f"container {wanted} is not in it and " if wanted else ""
    raise FaultError(
        f"pod {pod} has several containers ({', '.join(names)}): {asked}none is called main; name the one that serves"
    )


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), {})


def _ended(raw: Mapping[str, Any] | None) -> Ended | None:
    if not raw:
        return None
    signal = raw.get("signal") or None
    return Ended(int(raw.get("exitCode") or 0), signal, str(raw.get("reason") or ""), str(raw.get("finishedAt") or ""))
