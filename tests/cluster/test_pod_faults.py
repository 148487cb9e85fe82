"""Container restart, eviction and PodDisruptionBudgets on the real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from faults.base import NotInjected
from faults.pods import ContainerRestart, PodDelete, PodEvict, leaving
from tests.cluster.bench import Bench
from tests.cluster.world import ASK, until

WORKER = ("worker",)
BUDGETS = "/apis/policy/v1beta1/namespaces/{}/poddisruptionbudgets"


@contextmanager
def budget(bench: Bench, wanted: int, allowed: int) -> Iterator[str]:
    """A PodDisruptionBudget on the bench's pods, counted by its controller."""
    name, where = bench.small.name, BUDGETS.format(bench.small.namespace)
    spec = {"minAvailable": wanted, "selector": {"matchLabels": {"app": name}}}
    body = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}
    call = bench.cluster.raw

    def counted() -> bool:
        status: dict[str, Any] = call("GET", f"{where}/{name}").get("status") or {}
        return status.get("observedGeneration") == 1 and status.get("disruptionsAllowed") == allowed

    call("POST", where, body)
    try:
        until("the budget to be counted", 30, counted)
        yield name
    finally:
        call("DELETE", f"{where}/{name}")


# --- container restart ----------------------------------------------------------------------------


@pytest.mark.pods(sidecar=True)
def test_the_container_that_serves_is_restarted_in_the_same_pod(bench: Bench) -> None:
    before = {one.name: one.container_id for one in bench.pod().status.container_statuses}
    uid = bench.pod().metadata.uid
    _, evidence = bench.strike(ContainerRestart(component=WORKER))
    after = {one.name: one for one in bench.pod().status.container_statuses}
    assert bench.pod().metadata.uid == uid
    assert after["main"].restart_count == 1
    assert after["main"].container_id != before["main"]
    assert after["main"].last_state.terminated.exit_code == 137
    assert (after["proxy"].restart_count, after["proxy"].container_id) == (0, before["proxy"])
    assert "restartCount 0 to 1" in evidence.summary
    assert "exit code 137" in evidence.summary


def test_a_first_process_that_does_not_listen_to_sigterm_is_not_restarted(bench: Bench) -> None:
    with pytest.raises(NotInjected, match="no handler for SIGTERM"):
        bench.strike(ContainerRestart(component=WORKER, signal="SIGTERM"))
    assert bench.status().restart_count == 0


def test_a_container_that_somebody_else_restarted_first_is_left_alone(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = ContainerRestart(component=WORKER)
            late = await bench.plan(fault, target)
            await bench.struck(fault, target)
            with pytest.raises(NotInjected, match="restarted by somebody else"):
                await fault.inject(late, target)

    asyncio.run(live())
    assert bench.status().restart_count == 1


# --- eviction and budgets -------------------------------------------------------------------------


@pytest.mark.pods(replicas=2)
def test_a_pod_is_evicted_where_the_budget_allows_it(bench: Bench) -> None:
    before = {pod.metadata.uid for pod in bench.small.pods()}
    with budget(bench, wanted=1, allowed=1):
        receipt, evidence = bench.strike(PodEvict(component=WORKER))
    assert "replaced by" in evidence.summary
    gone = receipt.instances[0].pod
    assert gone is not None and gone.uid in before
    assert gone.uid not in {pod.metadata.uid for pod in bench.small.pods()}


def test_an_eviction_that_the_budget_forbids_is_refused_with_its_numbers(bench: Bench) -> None:
    with budget(bench, wanted=1, allowed=0) as name:
        words = rf"PodDisruptionBudget {name} \(allows 0 disruptions: 1 pods healthy, 1 wanted\)"
        with pytest.raises(NotInjected, match=words):
            bench.strike(PodEvict(component=WORKER))
    assert bench.small.ready()


def test_a_budget_that_only_the_server_knows_of_ends_in_its_429(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "broken_by", lambda _known, _leaving: None)
    words = r"was not evicted: PodDisruptionBudget worker-\w+ .* says no \(429\)"
    with budget(bench, wanted=1, allowed=0), pytest.raises(NotInjected, match=words):
        bench.strike(PodEvict(component=WORKER))
    assert bench.small.ready()


def test_a_delete_does_not_break_a_budget_unless_it_is_told_to(bench: Bench) -> None:
    before = bench.pod().metadata.uid
    with budget(bench, wanted=1, allowed=0) as name:
        with pytest.raises(NotInjected, match=f"PodDisruptionBudget {name} .* does not allow"):
            bench.strike(PodDelete(component=WORKER))
        assert bench.pod().metadata.uid == before
        bench.strike(PodDelete(component=WORKER, force=True, respect_pdb=False))
    assert before not in {pod.metadata.uid for pod in bench.small.pods()}


@pytest.mark.pods(grace=30)
def test_a_pod_that_is_terminating_already_is_not_evicted_by_us(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = PodEvict(component=WORKER)
            receipt = await bench.plan(fault, target)
            name, place = receipt.instances[0].name, bench.small.namespace
            await asyncio.to_thread(bench.cluster.core.delete_namespaced_pod, name, place, _request_timeout=ASK)
            with pytest.raises(NotInjected, match="terminating already"):
                await fault.inject(receipt, target)

    asyncio.run(live())
