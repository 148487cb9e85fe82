"""The built-in catalogue: named faults as data.

The names are those of the failure table that users of Dynamo's fault-tolerance suite know. A component
given as alternatives is the first that the deployment has: in an aggregated deployment the suite calls the
only worker role a decode worker, and here that role is `worker`.
"""

from __future__ import annotations

from faults.entry import FaultEntry
from faults.nodes import NodeCordon, NodeDrain
from faults.none import NoFault
from faults.pods import ContainerRestart, ImagePull, PodDelete, PodEvict, ResourceSqueeze, RolloutRestart, Scale
from faults.process import ProcessKill, ProcessStall
from faults.registry import AnyFault
from faults.select import ProcessSelector

_DECODE = ("decode", "worker")
_PREFILL = ("prefill",)
_ANY_WORKER = ("worker", "decode", "prefill")
_FRONTEND = ("frontend",)
_ETCD = ("etcd",)


def builtin() -> dict[str, FaultEntry]:
    """All built-in entries by name, without objectives: what is acceptable is the deployment's business."""
    table: list[tuple[str, AnyFault, str]] = [
        ("none", NoFault(), "Control run: injects nothing and measures everything."),
        *_frontends(),
        *_workers(),
        *_engine_processes(),
        *_control_plane(),
        *_pods(),
        *_nodes(),
    ]
    return {name: FaultEntry(fault=fault, description=text) for name, fault, text in table}


def _frontends() -> list[tuple[str, AnyFault, str]]:
    return [
        (
            "frontend",
            ProcessKill(component=_FRONTEND, signal="SIGINT", verify_timeout_seconds=30.0),
            "Ends a frontend with SIGINT, which lets it shut down in order.",
        ),
        (
            "frontend_kill",
            ProcessKill(component=_FRONTEND),
            "Ends a frontend with SIGKILL, which cuts every open stream.",
        ),
        (
            "frontend_stall",
            ProcessStall(component=_FRONTEND),
            "Stops a frontend for 8 s: connections stay open and nothing answers.",
        ),
    ]


def _workers() -> list[tuple[str, AnyFault, str]]:
    return [
        ("decode_worker", ProcessKill(component=_DECODE), "Ends a decode worker with SIGKILL."),
        ("prefill_worker", ProcessKill(component=_PREFILL), "Ends a prefill worker with SIGKILL."),
        ("worker", ProcessKill(component=_ANY_WORKER), "Ends one worker of the first role there is with SIGKILL."),
        (
            "worker_term",
            ProcessKill(component=_ANY_WORKER, signal="SIGTERM", verify_timeout_seconds=60.0),
            "Ends one worker with SIGTERM, which lets it finish what it has begun.",
        ),
        (
            "worker_stall",
            ProcessStall(component=_ANY_WORKER),
            "Stops one worker for 8 s: its lease and its streams stay until somebody's patience ends.",
        ),
    ]


def _pods() -> list[tuple[str, AnyFault, str]]:
    return [
        ("frontend_pod", PodDelete(component=_FRONTEND, force=True), "Deletes a frontend pod by force."),
        ("decode_worker_pod", PodDelete(component=_DECODE, force=True), "Deletes a decode worker's pod by force."),
        ("prefill_worker_pod", PodDelete(component=_PREFILL, force=True), "Deletes a prefill worker's pod by force."),
        ("worker_pod", PodDelete(component=_ANY_WORKER), "Deletes one worker's pod, with its own grace."),
        (
            "worker_container_restart",
            ContainerRestart(component=_ANY_WORKER),
            "Ends the first process of a worker's container, which the kubelet then starts anew in the same pod.",
        ),
        (
            "worker_evict",
            PodEvict(component=_ANY_WORKER),
            "Evicts one worker's pod, as a drain or an autoscaler does, unless a PodDisruptionBudget says no.",
        ),
        ("worker_rollout", RolloutRestart(component=_ANY_WORKER), "Restarts all workers of a role, pod by pod."),
        (
            "worker_scale_down",
            Scale(component=_ANY_WORKER, replicas=1),
            "Scales the workers of a role down to one for a minute.",
        ),
        (
            "worker_image_pull",
            ImagePull(component=_ANY_WORKER),
            "Rolls out an image for the workers of a role that cannot be pulled, for a minute.",
        ),
        (
            "worker_squeeze",
            ResourceSqueeze(component=_ANY_WORKER, cpu="100m", duration_seconds=120.0),
            "Rolls out a CPU limit of a tenth of a core for the workers of a role, for two minutes.",
        ),
    ]


def _nodes() -> list[tuple[str, AnyFault, str]]:
    return [
        (
            "node_cordon",
            NodeCordon(component=_ANY_WORKER),
            "Cordons the node of one worker for a minute: what runs there stays, and nothing new comes.",
        ),
        (
            "node_drain",
            NodeDrain(component=_ANY_WORKER),
            "Cordons the node of one worker for a minute and evicts the deployment's pods from it.",
        ),
    ]


def _engine_processes() -> list[tuple[str, AnyFault, str]]:
    engines = [
        ("vllm", "engine_core", "VLLM::EngineCore"),
        ("sglang", "scheduler", "sglang::scheduler"),
        ("sglang", "detokenizer", "sglang::detokenizer"),
        ("trtllm", "engine_core", "TRTLLM::EngineCore"),
    ]
    return [
        (
            f"{engine}_{role}_{part}",
            ProcessKill(component=components, processes=ProcessSelector(pattern=title)),
            f"Ends the {title} process inside a {role} worker with SIGKILL.",
        )
        for engine, part, title in engines
        for role, components in (("decode", _DECODE), ("prefill", _PREFILL))
    ]


def _control_plane() -> list[tuple[str, AnyFault, str]]:
    return [
        ("etcd_kill", ProcessKill(component=_ETCD), "Ends one etcd with SIGKILL; its data stay."),
        (
            "etcd_stall",
            # Dynamo 1.4 rides out 3 s; at 8 s and more its processes give up their leases and end (exit code 0).
            ProcessStall(component=_ETCD, duration_seconds=12.0),
            "Stops one etcd for 12 s, longer than the leases of 10 s: a Dynamo that is served by it alone ends.",
        ),
    ]
