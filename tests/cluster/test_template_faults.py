"""Faults that change a pod template on the real cluster, and that put back the very value that was there."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from faults.base import NoInstances, NotInjected
from faults.pods import ImagePull, ResourceSqueeze
from tests.cluster.bench import Bench
from tests.cluster.manifests import Graph
from tests.cluster.small import SLEEPER, Small, image_of, python
from tests.cluster.world import ASK, Cluster, until

pytestmark = pytest.mark.long

WORKER = ("worker",)
LIMITS = {"requests": {"cpu": "20m"}, "limits": {"cpu": "400m", "memory": "256Mi"}}


def deployment(bench: Bench) -> Any:
    return bench.cluster.apps.read_namespaced_deployment(bench.small.name, bench.small.namespace, _request_timeout=ASK)


def image(bench: Bench) -> str:
    return str(deployment(bench).spec.template.spec.containers[0].image)


def set_template(bench: Bench, **fields: Any) -> None:
    """Somebody else changes the container that serves."""
    body = {"spec": {"template": {"spec": {"containers": [{"name": "main", **fields}]}}}}
    bench.cluster.apps.patch_namespaced_deployment(bench.small.name, bench.small.namespace, body, _request_timeout=ASK)


# --- an image that cannot be pulled ---------------------------------------------------------------


@pytest.mark.pods(replicas=2)
def test_a_rollout_that_gets_nowhere_and_back_by_another_process(bench: Bench) -> None:
    before, uids = image(bench), {pod.metadata.uid for pod in bench.small.pods()}
    receipt, evidence = bench.strike(ImagePull(component=WORKER))
    assert "cannot pull registry.invalid/aftershock:" in evidence.summary
    assert image(bench) == f"registry.invalid/aftershock:{receipt.run_id}"
    assert uids < {pod.metadata.uid for pod in bench.small.pods()}, "a rolling update keeps the old pods"
    results = bench.put_back(receipt, times=2)
    assert [one.outcome for one in results] == ["reverted", "reverted"]
    assert results[1].summary.endswith("is as it was")
    assert image(bench) == before
    until("the rollout to be whole", 60, bench.small.ready)
    assert uids == {pod.metadata.uid for pod in bench.small.pods()}


@pytest.mark.pods(replicas=2, strategy={"type": "Recreate"})
def test_where_all_pods_would_go_all_are_at_stake(bench: Bench) -> None:
    receipt, _ = bench.strike(ImagePull(component=WORKER))
    assert len(receipt.instances) == 2
    assert not any(pod.status.phase == "Running" for pod in bench.small.pods() if not pod.metadata.deletion_timestamp)
    bench.put_back(receipt)
    until("the pods", 60, bench.small.ready)


def test_an_image_that_somebody_else_sets_is_seen_and_left_alone(bench: Bench) -> None:
    async def live() -> tuple[str | None, str]:
        async with bench.opened() as target:
            fault = ImagePull(component=WORKER)
            receipt, _ = await bench.struck(fault, target)
            assert (await fault.observe(receipt, target)).acting
            await asyncio.to_thread(set_template, bench, image="registry.invalid/theirs:1")
            early = (await fault.observe(receipt, target)).ended_early
            return early, (await fault.revert(receipt, target)).summary

    early, summary = asyncio.run(live())
    assert early is not None and "not ours (any more)" in early
    assert "changed by somebody else, left alone: {'image': 'registry.invalid/theirs:1'}" in summary
    assert image(bench) == "registry.invalid/theirs:1"


def test_an_image_that_an_operator_puts_back_at_once_is_not_injected(bench: Bench) -> None:
    before = image(bench)

    async def live() -> None:
        async with bench.opened() as target:
            fault = ImagePull(component=WORKER)
            receipt = await bench.plan(fault, target)
            await fault.inject(receipt, target)
            await asyncio.to_thread(set_template, bench, image=before)
            with pytest.raises(NotInjected, match="is not ours"):
                await fault.verify(receipt, target)

    asyncio.run(live())


def test_a_template_that_changed_since_it_was_looked_at_is_not_touched(bench: Bench) -> None:
    async def live() -> None:
        async with bench.opened() as target:
            fault = ImagePull(component=WORKER)
            receipt = await bench.plan(fault, target)
            await asyncio.to_thread(set_template, bench, image="registry.invalid/theirs:1")
            with pytest.raises(NotInjected, match="changed by somebody else meanwhile"):
                await fault.inject(receipt, target)

    asyncio.run(live())
    assert image(bench) == "registry.invalid/theirs:1"


def test_a_workload_that_was_made_anew_is_not_ours(bench: Bench) -> None:
    receipt, _ = bench.strike(ImagePull(component=WORKER))
    body = deployment(bench).to_dict()
    name, place = bench.small.name, bench.small.namespace
    bench.cluster.apps.delete_namespaced_deployment(name, place, _request_timeout=ASK)
    raw = bench.cluster.api.sanitize_for_serialization(deployment_again(body))
    until("the old one to be gone", 30, lambda: not _there(bench))
    bench.cluster.apps.create_namespaced_deployment(place, raw, _request_timeout=ASK)
    assert bench.put_back(receipt)[0].outcome == "target_gone"
    assert image(bench) == "registry.invalid/new:1"


def deployment_again(body: dict[str, Any]) -> dict[str, Any]:
    name = body["metadata"]["name"]
    labels = {"app": name}
    containers = [{"name": "main", "image": "registry.invalid/new:1"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def _there(bench: Bench) -> bool:
    found = bench.cluster.apps.list_namespaced_deployment(bench.small.namespace, _request_timeout=ASK).items
    return any(one.metadata.name == bench.small.name for one in found)


def test_a_stateful_set_is_freed_of_the_pod_that_it_would_wait_for(
    cluster: Cluster, graph: Graph, place: str, tmp_path: Path
) -> None:
    """Kubernetes leaves such a pod for ever, also when the template is whole again."""
    name = f"worker-{uuid.uuid4().hex[:6]}"
    main = {"name": "main", "image": image_of(graph), "command": python(SLEEPER), "imagePullPolicy": "IfNotPresent"}
    spec = {"containers": [main], "terminationGracePeriodSeconds": 0}
    body = {
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }
    cluster.apps.create_namespaced_stateful_set(place, body, _request_timeout=ASK)
    bench = Bench(cluster, Small(cluster, place, name), tmp_path)

    def ready() -> bool:
        found = cluster.apps.read_namespaced_stateful_set(name, place, _request_timeout=ASK)
        images = {pod.spec.containers[0].image for pod in bench.small.pods()}
        return found.status.ready_replicas == 2 and images == {image_of(graph)}

    try:
        until("the set", 60, ready)
        receipt, _ = bench.strike(ImagePull(component=WORKER))
        assert [one.name for one in receipt.instances] == [f"{name}-1"]
        assert bench.put_back(receipt)[0].outcome == "reverted"
        until("the set to be whole again", 60, ready)
    finally:
        cluster.apps.delete_namespaced_stateful_set(name, place, grace_period_seconds=0, _request_timeout=ASK)


def test_a_paused_rollout_is_refused(bench: Bench) -> None:
    body = {"spec": {"paused": True}}
    bench.cluster.apps.patch_namespaced_deployment(bench.small.name, bench.small.namespace, body, _request_timeout=ASK)
    with pytest.raises(NoInstances, match="is paused"):
        bench.strike(ImagePull(component=WORKER))


# --- squeeze --------------------------------------------------------------------------------------


@pytest.mark.pods(resources=LIMITS)
def test_limits_are_squeezed_and_come_back_exactly(bench: Bench) -> None:
    before = deployment(bench).spec.template.spec.containers[0].resources.to_dict()
    receipt, evidence = bench.strike(ResourceSqueeze(component=WORKER, cpu="0.05", memory="64Mi"))
    assert "runs with limits cpu 50m, memory 64Mi" in evidence.summary
    squeezed = deployment(bench).spec.template.spec.containers[0].resources
    assert squeezed.limits == {"cpu": "50m", "memory": "64Mi"}
    assert squeezed.requests == {"cpu": "20m"}
    assert [one.outcome for one in bench.put_back(receipt, times=2)] == ["reverted", "reverted"]
    assert deployment(bench).spec.template.spec.containers[0].resources.to_dict() == before
    until("the rollout back", 60, bench.small.ready)
    assert bench.pod().spec.containers[0].resources.limits == LIMITS["limits"]


def test_a_request_above_the_new_limit_is_lowered_and_no_limit_comes_back_as_none(bench: Bench) -> None:
    set_template(bench, resources={"requests": {"cpu": "100m"}})
    until("the rollout", 60, lambda: bench.small.ready() and bool(bench.pod().spec.containers[0].resources.requests))
    receipt, _ = bench.strike(ResourceSqueeze(component=WORKER, cpu="50m"))
    squeezed = deployment(bench).spec.template.spec.containers[0].resources
    assert (squeezed.limits, squeezed.requests) == ({"cpu": "50m"}, {"cpu": "50m"})
    bench.put_back(receipt)
    back = deployment(bench).spec.template.spec.containers[0].resources
    assert (back.limits, back.requests) == (None, {"cpu": "100m"})


@pytest.mark.pods(resources=LIMITS)
def test_limits_that_are_as_low_already_are_no_fault(bench: Bench) -> None:
    with pytest.raises(NoInstances, match=r"its limits \(cpu 400m\) are as low already"):
        bench.strike(ResourceSqueeze(component=WORKER, cpu="0.4"))
