"""A fault: frozen data, facts on the class, and the verbs of its life.

    resolve -> plan -> inject -> verify -> observe ... -> revert

`plan` makes the receipt before anything is touched, so that the receipt can be stored first
(write-ahead); from the receipt alone `revert` puts everything back, in any process, any number of
times. `verify` is what separates this from a hope: a fault that did not take effect raises
`NotInjected` and is never a pass.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field


class FaultError(Exception):
    """Base of everything that a fault raises on purpose. The text is one line for a person."""


class NotInjected(FaultError):
    """The fault did not take effect; `evidence` says what was seen instead."""

    def __init__(self, reason: str, evidence: Evidence | None = None) -> None:
        super().__init__(reason)
        self.evidence = evidence


class NoInstances(NotInjected):
    """The selector matched nothing; the text names the pattern and what is there."""


class RevertFailed(FaultError):
    """Something is still broken and could not be put back; worth another try."""


class Layer(StrEnum):
    """Where a fault acts; what lies above or below may notice nothing."""

    NONE = "none"
    PROCESS = "process"
    CONTAINER = "container"
    NETWORK = "network"
    NODE = "node"
    GPU = "gpu"
    KERNEL_LOG = "kernel-log"
    TELEMETRY = "telemetry"
    CONTROL_PLANE = "control-plane"
    TRAFFIC = "traffic"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of every fault of a kind; CLI, docs and admission checks are made from it."""

    layer: Layer
    heals: Literal["by revert", "by itself", "nothing to heal"]
    longest_seconds: float
    """Longest duration that the kind accepts; 0 for faults that act in an instant."""
    privilege: str
    """What the injecting process must be allowed to do, in words."""
    fools: str
    """Which layers notice it and which do not, in one sentence."""
    permissions: tuple[str, ...] = ()
    """Kubernetes permissions, as `verb resource`; empty for local kinds."""


class Frozen(BaseModel):
    """Base of data that is stored or configured: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Process(Frozen):
    """One process, told apart from a later owner of the same pid by its start time."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks after boot."""
    command: str


class Pod(Frozen):
    """One pod, told apart from a later one of the same name by its UID."""

    namespace: str
    name: str
    uid: str
    node: str = ""
    container: str
    """The container that serves; sidecars are never touched."""
    container_id: str = ""
    """Changes with every start of the container; empty while it does not run."""
    restart_count: int = 0
    owner: str = ""
    """What replaces it, as `Deployment/name`; empty for a bare pod."""


class Workload(Frozen):
    """A controller's object, as it was found."""

    kind: Literal["Deployment", "StatefulSet"]
    namespace: str
    name: str
    uid: str
    replicas: int
    generation: int
    before: dict[str, Any] = Field(default_factory=dict)
    """What a fault changes in the template of the container that serves, by field, as it was; a field that was not
    there is not here."""


class ClusterNode(Frozen):
    """A node of the cluster, as it was found."""

    name: str
    uid: str
    unschedulable: bool
    """Whether it was cordoned already; then the cordon is somebody else's."""


class Instance(Frozen):
    """One instance of a component: a process on this machine, or a pod."""

    component: str
    name: str
    """Unique within the deployment, such as `worker-0`."""
    process: Process | None = None
    """Main process of the instance."""
    processes: tuple[Process, ...] = ()
    """Processes picked inside the instance; set by `resolve`, what the fault acts on."""
    pod: Pod | None = None
    """The pod that it is, on Kubernetes; pids are then those that the container sees."""
    workload: Workload | None = None
    """What the pod belongs to; set by faults that act on the whole of it."""
    node: ClusterNode | None = None
    """Where the pod is; set by faults that act on the node."""


class Receipt(Frozen):
    """The serialisable proof of an injection. Stored before the fault acts."""

    run_id: str
    kind: str
    fault: dict[str, Any]
    """The fault's own spec, as `model_dump(mode="json")`."""
    instances: tuple[Instance, ...]
    planned_ns: int
    """UTC nanoseconds, the monitor's clock."""
    deadline_monotonic_ns: int | None = None
    """CLOCK_MONOTONIC at which whatever acts must have ended by itself; None for instant faults."""
    state_dir: str
    """Folder of the run's helpers, on the machine where the fault acts."""


class Evidence(Frozen):
    """What verification saw. `summary` is a few words for a table cell."""

    summary: str
    at_monotonic_ns: int
    """CLOCK_MONOTONIC of the instant at which the effect was seen."""
    details: tuple[str, ...] = ()


class Observation(Frozen):
    """A look at a fault that should be acting."""

    acting: bool
    summary: str
    ended_early: str | None = None
    """Why the effect ended before its time, for example `SIGCONT by somebody else`."""


class RevertResult(Frozen):
    """`target_gone` counts as reverted: nothing is left that could be broken by us."""

    outcome: Literal["reverted", "target_gone", "nothing_to_do"]
    summary: str
    at_monotonic_ns: int


class Exit(Frozen):
    """How a process ended, by its parent's word (waitpid)."""

    signal: int | None = None
    code: int | None = None
    at_monotonic_ns: int


class Target(Protocol):
    """The adapter through which a deployment is seen."""

    @property
    def name(self) -> str: ...

    async def components(self) -> list[str]:
        """Names of the components, in the order of the configuration."""
        ...

    async def instances(self, component: str) -> list[Instance]:
        """Live instances of a component, by name; raises `NoInstances` for an unknown component."""
        ...

    async def exit_of(self, process: Process) -> Exit | None:
        """How the process ended, if its parent has told; None when unknown or still alive."""
        ...

    async def replacement_of(self, instance: Instance) -> Instance | None:
        """The live instance of the same name if it is another process by now, else None."""
        ...

    async def ready(self, instance: Instance) -> bool | None:
        """What the instance's own ready check says; None without one."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class KnowsRights(Protocol):
    """A target on which not everybody may do everything."""

    async def missing_rights(self, permissions: Sequence[str]) -> list[str]:
        """Permissions of a fault's facts that we lack, each with where; raises `FaultError` when nobody tells."""
        ...


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What `plan` needs from outside."""

    run_id: str
    now_ns: int
    now_monotonic_ns: int
    state_dir: Path


class Objectives(Frozen):
    """Limits that a run must meet; None means not judged."""

    recovery_seconds: float | None = Field(
        default=None, ge=0, description="From effect to recovered, as the client felt it."
    )
    error_window_seconds: float | None = Field(default=None, ge=0, description="From impact to recovered.")
    failed_requests: int | None = Field(default=None, ge=0, description="Failed and truncated requests.")

    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: float(limit) for name, limit in self.model_dump().items() if limit is not None}


class Fault(Frozen, ABC):
    """A catalogue kind. Subclasses set `kind: Literal[...]` and `facts`."""

    facts: ClassVar[Facts]
    kind: str

    @property
    def duration_seconds_or_zero(self) -> float:
        """How long the fault acts; 0 for instant faults."""
        return float(getattr(self, "duration_seconds", 0.0))

    @abstractmethod
    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        """Pick the instances; raises `NoInstances` when nothing matches. Touches nothing."""

    def plan(self, instances: tuple[Instance, ...], context: PlanContext) -> Receipt:
        """Make the receipt. Touches nothing."""
        duration = self.duration_seconds_or_zero
        return Receipt(
            run_id=context.run_id,
            kind=self.kind,
            fault=self.model_dump(mode="json"),
            instances=instances,
            planned_ns=context.now_ns,
            deadline_monotonic_ns=context.now_monotonic_ns + round(duration * 1e9) if duration else None,
            state_dir=str(context.state_dir),
        )

    @abstractmethod
    async def inject(self, receipt: Receipt, target: Target) -> None:
        """Act. Raises `NotInjected` when it could not."""

    @abstractmethod
    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        """Wait (bounded) until the effect is seen; raises `NotInjected` when it is not."""

    async def observe(self, receipt: Receipt, target: Target) -> Observation:
        """Look again while the fault should be acting."""
        return Observation(acting=False, summary="acted in an instant")

    @abstractmethod
    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        """Put back what the receipt says, idempotent. Raises `RevertFailed`."""
