"""Every fault on the real cluster: it takes effect, is proven, is put back; and what is none is not called one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from faults.base import NoInstances, NotInjected, Receipt
from faults.pods import PodDelete, RolloutRestart, Scale
from faults.process import ProcessKill, ProcessStall
from tests.cluster.bench import Bench
from tests.cluster.manifests import Graph
from tests.cluster.small import OBEDIENT, PARENT, SLEEPER, Small, deploy, image_of, python
from tests.cluster.world import ASK, Cluster, own_node, until

WORKER = ("worker",)


# --- process kill ---------------------------------------------------------------------------------


def test_the_first_process_is_killed_for_real(bench: Bench) -> None:
    """SIGKILL to a container's first process is dropped by the kernel when sent the usual way; here it arrives."""

    async def live() -> str:
        async with bench.opened() as target:
            fault = ProcessKill(component=WORKER)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            return (await fault.verify(receipt, target)).summary

    summary = asyncio.run(live())
    assert "SIGKILL" in summary
    until("the restart", 30, lambda: bench.status().restart_count == 1)
    assert bench.status().last_state.terminated.exit_code == 137


@pytest.mark.pods(command=python(OBEDIENT))
def test_a_signal_with_a_handler_reaches_the_first_process(bench: Bench) -> None:
    async def live() -> str:
        async with bench.opened() as target:
            fault = ProcessKill(component=WORKER, signal="SIGTERM")
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            return (await fault.verify(receipt, target)).summary

    assert "exit code 0" in asyncio.run(live())


def test_a_signal_without_a_handler_is_refused_for_the_first_process(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = ProcessKill(component=WORKER, signal="SIGTERM")
            receipt = await bench.plan(fault, target)
            with pytest.raises(NotInjected, match="no handler for SIGTERM"):
                await fault.inject(receipt, target)

    asyncio.run(live())
    assert bench.status().restart_count == 0


@pytest.mark.pods(command=python(PARENT))
def test_a_child_is_killed_and_the_container_is_not_said_to_have_ended(bench: Bench) -> None:
    async def live() -> tuple[Receipt, str]:
        async with bench.opened() as target:
            fault = ProcessKill(component=WORKER, processes="engine-core$")
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            return receipt, (await fault.verify(receipt, target)).summary

    receipt, summary = asyncio.run(live())
    pid = receipt.instances[0].processes[0].pid
    assert pid != 1
    assert f"pid {pid} gone" in summary
    assert bench.process_state(pid) == "gone"
    assert bench.status().restart_count == 0


@pytest.mark.pods(sidecar=True)
def test_the_sidecar_is_left_alone(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = ProcessKill(component=WORKER)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)

    asyncio.run(live())

    def counts() -> dict[str, int]:
        return {one.name: one.restart_count for one in bench.pod().status.container_statuses}

    until("the restart", 30, lambda: counts()["main"] == 1)
    assert counts()["proxy"] == 0


def test_a_pattern_that_matches_nothing_names_what_there_is(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            with pytest.raises(NoInstances, match=r"no process matches 'VLLM'; there is 1 \("):
                await bench.plan(ProcessKill(component=WORKER, processes="VLLM"), target)

    asyncio.run(live())


# --- process stall --------------------------------------------------------------------------------


def test_the_first_process_stands_still_and_goes_on(bench: Bench) -> None:
    async def live() -> tuple[str, str]:
        async with bench.opened() as target:
            fault = ProcessStall(component=WORKER, duration_seconds=30)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            evidence = await fault.verify(receipt, target)
            assert (await fault.observe(receipt, target)).acting
            state = await asyncio.to_thread(bench.process_state, 1)
            result = await fault.revert(receipt, target)
            assert result.outcome == "reverted"
            return state, evidence.summary

    state, summary = asyncio.run(live())
    assert state == "t"
    assert "pid 1 stopped" in summary
    assert bench.process_state(1) == "S"
    assert bench.status().restart_count == 0


@pytest.mark.pods(command=python(PARENT))
def test_a_child_is_stopped_with_sigstop(bench: Bench) -> None:
    async def live() -> tuple[int, str]:
        async with bench.opened() as target:
            fault = ProcessStall(component=WORKER, processes="engine-core$", duration_seconds=30)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)
            pid = receipt.instances[0].processes[0].pid
            state = await asyncio.to_thread(bench.process_state, pid)
            await fault.revert(receipt, target)
            return pid, state

    pid, state = asyncio.run(live())
    assert state == "T"
    assert bench.process_state(pid) == "S"


@pytest.mark.parametrize("pattern", [None, "engine-core$"], ids=["first process", "child"])
@pytest.mark.pods(command=python(PARENT))
def test_a_stall_ends_by_its_own_clock_when_the_monitor_is_gone(bench: Bench, pattern: str | None) -> None:
    """The connection is cut while the stall acts: it neither ends at once nor lasts for ever."""

    async def begin() -> Receipt:
        async with bench.opened() as target:
            fault = ProcessStall.model_validate(
                {"component": "worker", "duration_seconds": 6, **({"processes": pattern} if pattern else {})}
            )
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)
            for session in target.sessions.values():
                session.cut()
            return receipt

    receipt = asyncio.run(begin())
    pid = receipt.instances[0].processes[0].pid
    assert bench.process_state(pid) in {"T", "t"}
    assert receipt.deadline_monotonic_ns is not None
    left = (receipt.deadline_monotonic_ns - time.monotonic_ns()) / 1e9
    until("the stall to end by itself", left + 10, lambda: bench.process_state(pid) == "S")
    assert time.monotonic_ns() >= receipt.deadline_monotonic_ns
    assert bench.status().restart_count == 0


@pytest.mark.parametrize("pattern", [None, "engine-core$"], ids=["first process", "child"])
@pytest.mark.pods(command=python(PARENT))
def test_another_process_reverts_a_stall_from_the_receipt_alone(bench: Bench, pattern: str | None) -> None:
    async def begin() -> Receipt:
        async with bench.opened() as target:
            fault = ProcessStall.model_validate(
                {"component": "worker", "duration_seconds": 60, **({"processes": pattern} if pattern else {})}
            )
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)
            for session in target.sessions.values():
                session.cut()
            return receipt

    async def put_back(receipt: Receipt) -> list[str]:
        async with bench.opened() as target:
            fault = ProcessStall.model_validate(receipt.fault)
            return [(await fault.revert(receipt, target)).outcome for _ in range(2)]

    receipt = Receipt.model_validate_json(asyncio.run(begin()).model_dump_json())
    assert asyncio.run(put_back(receipt)) == ["reverted", "reverted"]
    assert bench.process_state(receipt.instances[0].processes[0].pid) == "S"


def test_a_stalled_pod_that_somebody_deletes_counts_as_reverted(bench: Bench) -> None:
    async def live() -> tuple[str | None, str]:
        async with bench.opened() as target:
            fault = ProcessStall(component=WORKER, duration_seconds=60)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)
            name, place = receipt.instances[0].name, bench.small.namespace
            await asyncio.to_thread(
                bench.cluster.core.delete_namespaced_pod, name, place, grace_period_seconds=0, _request_timeout=ASK
            )
            pod = receipt.instances[0].pod
            assert pod is not None
            await target.gone_at(pod, 30)
            early = None
            for _ in range(100):
                early = (await fault.observe(receipt, target)).ended_early
                if early:
                    break
                await asyncio.sleep(0.1)
            return early, (await fault.revert(receipt, target)).outcome

    early, outcome = asyncio.run(live())
    assert early is not None and "container ended" in early
    assert outcome == "target_gone"


def test_a_container_without_python_is_said_to_have_none(cluster: Cluster, place: str, tmp_path: Path) -> None:
    own_node(cluster, "it has no image without Python")
    small = deploy(cluster, place, "docker.io/local/pause:1", command=["/bin/busybox", "sleep", "3600"])
    bench = Bench(cluster, small, tmp_path)

    async def live() -> None:
        async with bench.opened() as target:
            with pytest.raises(NotInjected, match="has no Python"):
                await bench.plan(ProcessStall(component=WORKER), target)

    asyncio.run(live())


# --- pod delete -----------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [True, False])
def test_a_deleted_pod_is_gone_and_replaced(bench: Bench, force: bool) -> None:
    before = bench.pod().metadata.uid

    async def live() -> str:
        async with bench.opened() as target:
            fault = PodDelete(component=WORKER, force=force)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            evidence = await fault.verify(receipt, target)
            fresh = await target.replacement_of(receipt.instances[0])
            assert fresh is not None and fresh.pod is not None and fresh.pod.uid != before
            assert fresh.name in evidence.summary
            return evidence.summary

    assert "replaced by" in asyncio.run(live())
    assert before not in {pod.metadata.uid for pod in bench.small.pods()}


@pytest.mark.pods(grace=30)
def test_a_pod_that_is_terminating_already_is_not_deleted_by_us(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = PodDelete(component=WORKER)
            receipt = await bench.plan(fault, target)
            name, place = receipt.instances[0].name, bench.small.namespace
            await asyncio.to_thread(bench.cluster.core.delete_namespaced_pod, name, place, _request_timeout=ASK)
            with pytest.raises(NotInjected, match="terminating already"):
                await fault.inject(receipt, target)
            there = await target.instances("worker")
            assert name not in {one.name for one in there}

    asyncio.run(live())


def test_a_bare_pod_is_not_deleted(cluster: Cluster, graph: Graph, place: str, tmp_path: Path) -> None:
    spec = {"containers": [{"name": "main", "image": image_of(graph), "command": python(SLEEPER)}]}
    body = {"metadata": {"name": "alone", "labels": {"app": "alone"}}, "spec": spec}
    cluster.core.create_namespaced_pod(place, body, _request_timeout=ASK)
    small = Small(cluster, place, "alone")
    until("the pod", 60, lambda: small.pods()[0].status.phase == "Running")
    bench = Bench(cluster, small, tmp_path)

    async def live() -> None:
        async with bench.opened() as target:
            with pytest.raises(NoInstances, match="alone has no controller"):
                await bench.plan(PodDelete(component=WORKER), target)

    asyncio.run(live())


def test_a_receipt_of_an_earlier_pod_does_not_touch_a_later_one(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = PodDelete(component=WORKER, force=True)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)
            with pytest.raises(NotInjected, match="was gone before"):
                await fault.inject(receipt, target)

    asyncio.run(live())


# --- rollout and scale ----------------------------------------------------------------------------


@pytest.mark.pods(replicas=2)
def test_a_rollout_replaces_every_pod(bench: Bench) -> None:
    before = {pod.metadata.uid for pod in bench.small.pods()}

    async def live() -> str:
        async with bench.opened() as target:
            fault = RolloutRestart(component=WORKER)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            return (await fault.verify(receipt, target)).summary

    assert "2 old pods gone" in asyncio.run(live())
    assert before.isdisjoint(pod.metadata.uid for pod in bench.small.pods() if not pod.metadata.deletion_timestamp)


@pytest.mark.pods(replicas=3)
def test_scaled_down_and_back_by_another_process(bench: Bench) -> None:
    async def begin() -> Receipt:
        async with bench.opened() as target:
            fault = Scale(component=WORKER, replicas=1, duration_seconds=60)
            receipt = await bench.plan(fault, target)
            assert len(receipt.instances) == 2
            await fault.inject(receipt, target)
            evidence = await fault.verify(receipt, target)
            assert "at 1 of 3 replicas" in evidence.summary
            assert (await fault.observe(receipt, target)).acting
            return receipt

    async def put_back(receipt: Receipt) -> list[str]:
        async with bench.opened() as target:
            return [(await Scale.model_validate(receipt.fault).revert(receipt, target)).outcome for _ in range(2)]

    receipt = Receipt.model_validate_json(asyncio.run(begin()).model_dump_json())
    assert len([pod for pod in bench.small.pods() if not pod.metadata.deletion_timestamp]) == 1
    assert asyncio.run(put_back(receipt)) == ["reverted", "reverted"]
    until("three pods again", 60, bench.small.ready)


@pytest.mark.pods(replicas=2)
def test_a_number_that_somebody_else_sets_is_seen_and_left_alone(bench: Bench) -> None:
    def others(replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        bench.cluster.apps.patch_namespaced_deployment_scale(
            bench.small.name, bench.small.namespace, body, _request_timeout=ASK
        )

    async def live() -> tuple[str | None, str]:
        async with bench.opened() as target:
            fault = Scale(component=WORKER, replicas=1, duration_seconds=60)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await fault.verify(receipt, target)
            await asyncio.to_thread(others, 4)
            early = (await fault.observe(receipt, target)).ended_early
            return early, (await fault.revert(receipt, target)).summary

    early, summary = asyncio.run(live())
    assert early is not None and "4 replicas" in early
    assert "left alone" in summary
    found = bench.cluster.apps.read_namespaced_deployment(bench.small.name, bench.small.namespace, _request_timeout=ASK)
    assert found.spec.replicas == 4


def test_scaling_to_the_number_that_there_is_is_no_fault(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            with pytest.raises(NoInstances, match="has 1 replicas already"):
                await bench.plan(Scale(component=WORKER, replicas=1), target)

    asyncio.run(live())
