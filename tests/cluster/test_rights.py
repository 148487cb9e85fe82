"""Each fault works with exactly the rights that its kind names, and says which one is missing."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.base import Fault, FaultError, PlanContext
from faults.kube.api import Api
from faults.kube.graph import Component
from faults.nodes import NodeCordon, NodeDrain
from faults.pods import (
    ContainerRestart,
    ImagePull,
    PodDelete,
    PodEvict,
    ResourceSqueeze,
    RolloutRestart,
    Scale,
)
from faults.process import ProcessKill, ProcessStall
from faults.targets.kubernetes import KubernetesTarget, Selection
from monitor.chart.rights import kinds
from tests.cluster.accounts import account, forget
from tests.cluster.manifests import Graph
from tests.cluster.paper import PaperNode
from tests.cluster.small import Small, deploy, image_of
from tests.cluster.world import Cluster, until

WORKER = ("worker",)
FAULTS: tuple[Fault, ...] = (
    ProcessKill(component=WORKER),
    ProcessStall(component=WORKER, duration_seconds=2),
    ContainerRestart(component=WORKER),
    PodDelete(component=WORKER, force=True),
    PodEvict(component=WORKER),
    RolloutRestart(component=WORKER),
    Scale(component=WORKER, replicas=0, duration_seconds=2),
    ImagePull(component=WORKER),
    ResourceSqueeze(component=WORKER, cpu="300m"),
    NodeCordon(component=WORKER),
    NodeDrain(component=WORKER),
)


async def whole_life(fault: Fault, small: Small, kubeconfig: Path, folder: Path) -> str:
    """Resolve, inject, verify, revert; the evidence."""
    selection = Selection(small.namespace, components=(Component("worker", "worker", (small.selector,)),))
    target = KubernetesTarget("small", selection, Api(kubeconfig=kubeconfig))
    try:
        instances = await fault.resolve(target, random.Random(1))  # noqa: S311 - reproducible choice
        receipt = fault.plan(instances, PlanContext("run", time.time_ns(), time.monotonic_ns(), folder))
        await fault.inject(receipt, target)
        try:
            return (await fault.verify(receipt, target)).summary
        finally:
            await fault.revert(receipt, target)
    finally:
        await target.close()


@contextmanager
def pods(cluster: Cluster, place: str, graph: Graph, fault: Fault) -> Iterator[Small]:
    """A pod of our own; on a node that is nobody's for faults on nodes."""
    if not fault.kind.startswith("node_"):
        yield deploy(cluster, place, image_of(graph))
        return
    node = PaperNode(cluster, f"paper-{uuid.uuid4().hex[:6]}")
    try:
        yield node.deploy(place, image_of(graph), 1)
    finally:
        node.remove()


def test_every_kind_that_needs_rights_is_asked_here() -> None:
    assert {fault.kind for fault in FAULTS} == {kind for kind, needed in kinds().items() if needed}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_the_named_rights_are_enough_and_each_missing_one_is_named(
    cluster: Cluster, graph: Graph, tmp_path: Path, fault: Fault
) -> None:
    needed = fault.facts.permissions
    with cluster.namespace("rights") as place, pods(cluster, place, graph, fault) as small:
        enough = account(cluster, place, "enough", needed, tmp_path)
        # The last one is always the one that acts, or without which nothing acts.
        short = account(cluster, place, "short", [one for one in needed if not acts(one)], tmp_path)
        try:
            with pytest.raises(FaultError, match=r"not allowed to (create|delete|patch) "):
                asyncio.run(whole_life(fault, small, short, tmp_path))
            assert small.ready()
            assert asyncio.run(whole_life(fault, small, enough, tmp_path))
            if not fault.kind.startswith("node_"):
                until("the pods", 120, small.ready)
        finally:
            for name in ("enough", "short"):
                forget(cluster, place, name)


def acts(permission: str) -> bool:
    """Whether it is one that changes something."""
    return permission.split(maxsplit=1)[0] in {"create", "delete", "patch"} or permission.endswith("/exec")
