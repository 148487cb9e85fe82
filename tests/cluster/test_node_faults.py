"""Cordon and drain: on a node that is only an object of the API, and once, for seconds, on the real one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.base import NoInstances, NotInjected, Receipt
from faults.nodes import NodeCordon, NodeDrain, selection
from faults.pods import leaving
from tests.cluster.bench import Bench
from tests.cluster.manifests import Graph
from tests.cluster.paper import PaperNode
from tests.cluster.small import image_of
from tests.cluster.test_pod_faults import budget
from tests.cluster.world import ASK, Cluster, until

pytestmark = pytest.mark.long

WORKER = ("worker",)


@contextmanager
def paper(
    cluster: Cluster, place: str, graph: Graph, folder: Path, replicas: int = 1
) -> Iterator[tuple[PaperNode, Bench]]:
    node = PaperNode(cluster, f"paper-{uuid.uuid4().hex[:6]}")
    try:
        small = node.deploy(place, image_of(graph), replicas)
        yield node, Bench(cluster, small, folder)
        small.remove()
    finally:
        node.remove()


@pytest.fixture
def desk(
    cluster: Cluster, graph: Graph, place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[PaperNode, Bench]]:
    marker = request.node.get_closest_marker("pods")
    with paper(cluster, place, graph, tmp_path, **(marker.kwargs if marker else {})) as made:
        yield made


# --- cordon ---------------------------------------------------------------------------------------


def test_a_node_is_cordoned_and_uncordoned_from_the_receipt_alone(desk: tuple[PaperNode, Bench]) -> None:
    node, bench = desk
    before = bench.pod().metadata.uid
    receipt, evidence = bench.strike(NodeCordon(component=WORKER))
    assert (node.cordoned, node.mark) == (True, receipt.run_id)
    assert evidence.summary == f"node {node.name} cordoned"
    assert [one.outcome for one in bench.put_back(receipt, times=2)] == ["reverted", "reverted"]
    assert not node.cordoned
    assert node.mark is None
    assert bench.pod().metadata.uid == before


def test_a_node_that_somebody_else_cordoned_is_refused_and_stays_so(desk: tuple[PaperNode, Bench]) -> None:
    node, bench = desk

    async def late() -> Receipt:
        async with bench.opened() as target:
            return await bench.plan(NodeCordon(component=WORKER), target)

    receipt = asyncio.run(late())
    node.cordon(True)
    with pytest.raises(NoInstances, match=f"node {node.name} is cordoned already, by somebody else"):
        bench.strike(NodeCordon(component=WORKER))

    async def inject() -> None:
        async with bench.opened() as target:
            await NodeCordon(component=WORKER).inject(receipt, target)

    with pytest.raises(NotInjected, match="was cordoned by somebody else meanwhile"):
        asyncio.run(inject())
    assert "left alone" in bench.put_back(receipt)[0].summary
    assert node.cordoned


def test_an_uncordon_by_somebody_else_is_seen(desk: tuple[PaperNode, Bench]) -> None:
    node, bench = desk

    async def live() -> tuple[str | None, str]:
        async with bench.opened() as target:
            fault = NodeCordon(component=WORKER)
            receipt, _ = await bench.struck(fault, target)
            assert (await fault.observe(receipt, target)).acting
            await asyncio.to_thread(node.cordon, False)
            early = (await fault.observe(receipt, target)).ended_early
            return early, (await fault.revert(receipt, target)).outcome

    early, outcome = asyncio.run(live())
    assert early is not None and "uncordons it" in early
    assert outcome == "reverted"
    assert node.mark is None


def test_a_node_that_is_gone_counts_as_put_back(cluster: Cluster, graph: Graph, place: str, tmp_path: Path) -> None:
    with paper(cluster, place, graph, tmp_path) as (node, bench):
        receipt, _ = bench.strike(NodeCordon(component=WORKER))
        node.remove()
        cluster.core.create_node(
            {"metadata": {"name": node.name}, "spec": {"unschedulable": True}}, _request_timeout=ASK
        )
        assert bench.put_back(receipt)[0].outcome == "target_gone"
        assert node.cordoned, "another node of this name is not ours to touch"


def test_the_node_of_aftershock_itself_is_refused(
    desk: tuple[PaperNode, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, bench = desk
    monkeypatch.setenv(selection.OWN_NODE, node.name)
    for fault in (NodeCordon(component=WORKER), NodeDrain(component=WORKER)):
        with pytest.raises(NoInstances, match="is the one that aftershock itself runs on"):
            bench.strike(fault)
    assert not node.cordoned


def test_inside_a_cluster_ones_own_node_must_be_known(
    desk: tuple[PaperNode, Bench], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node, bench = desk
    (tmp_path / "token").touch()
    monkeypatch.setattr(selection.kube_api, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.delenv(selection.OWN_NODE, raising=False)
    with pytest.raises(NoInstances, match=r"is not known: set NODE_NAME from the field spec\.nodeName"):
        bench.strike(NodeCordon(component=WORKER))
    monkeypatch.setenv(selection.OWN_NODE, "another")
    bench.put_back(bench.strike(NodeCordon(component=WORKER))[0])
    assert not node.cordoned


# --- drain ----------------------------------------------------------------------------------------


@pytest.mark.pods(replicas=2)
def test_a_drain_evicts_the_deployments_pods_and_no_others(
    desk: tuple[PaperNode, Bench], place: str, graph: Graph
) -> None:
    node, bench = desk
    other = node.deploy(place, image_of(graph), 1)
    before = {pod.metadata.uid for pod in bench.small.pods()}
    foreign = {pod.metadata.uid for pod in other.pods()}
    receipt, evidence = bench.strike(NodeDrain(component=WORKER, duration_seconds=30))
    assert {one.pod.uid for one in receipt.instances if one.pod} == before
    assert evidence.summary == f"node {node.name} cordoned, 2 of 2 pods evicted"
    assert before.isdisjoint(pod.metadata.uid for pod in bench.small.pods())
    assert node.cordoned
    assert foreign == {pod.metadata.uid for pod in other.pods()}
    assert bench.put_back(receipt)[0].outcome == "reverted"
    assert not node.cordoned
    other.remove()


def test_a_drain_that_a_budget_forbids_does_not_begin(desk: tuple[PaperNode, Bench]) -> None:
    node, bench = desk
    before = bench.pod().metadata.uid
    with budget(bench, wanted=1, allowed=0) as name, pytest.raises(NotInjected, match=f"PodDisruptionBudget {name}"):
        bench.strike(NodeDrain(component=WORKER))
    assert not node.cordoned
    assert bench.pod().metadata.uid == before


def test_a_drain_that_the_server_forbids_is_put_back(
    desk: tuple[PaperNode, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, bench = desk
    monkeypatch.setattr(leaving, "broken_by", lambda _known, _leaving: None)

    async def live() -> str:
        async with bench.opened() as target:
            fault = NodeDrain(component=WORKER)
            receipt = await bench.plan(fault, target)
            with pytest.raises(NotInjected, match=r"was not evicted: PodDisruptionBudget .* says no \(429\)"):
                await fault.inject(receipt, target)
            assert node.cordoned
            return (await fault.revert(receipt, target)).outcome

    with budget(bench, wanted=1, allowed=0):
        assert asyncio.run(live()) == "reverted"
    assert not node.cordoned


@pytest.mark.alone
@pytest.mark.pods(replicas=2, grace=0)
def test_the_real_node_is_drained_as_far_as_the_budget_allows(bench: Bench) -> None:
    """One node only: what is evicted waits until it is uncordoned, so the second pod may not go."""
    node = bench.pod().spec.node_name
    before = {pod.metadata.uid for pod in bench.small.pods()}

    async def live() -> str:
        async with bench.opened() as target:
            fault = NodeDrain(component=WORKER, verify_timeout_seconds=4)
            receipt = await bench.plan(fault, target)
            try:
                await fault.inject(receipt, target)
                return (await fault.verify(receipt, target)).summary
            finally:
                assert (await fault.revert(receipt, target)).outcome == "reverted"

    with budget(bench, wanted=1, allowed=1) as name:
        summary = asyncio.run(live())
    assert summary.startswith(f"node {node} cordoned, 1 of 2 pods evicted, the drain is NOT complete")
    assert f"PodDisruptionBudget {name} (allows 0 disruptions: 1 pods healthy, 1 wanted) says no" in summary
    assert not bench.cluster.core.read_node(node, _request_timeout=ASK).spec.unschedulable
    until("two pods again", 60, bench.small.ready)
    assert len(before & {pod.metadata.uid for pod in bench.small.pods()}) == 1
