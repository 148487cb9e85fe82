"""The Kubernetes target on a real Dynamo deployment, and with an API server that goes away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from faults.base import NoInstances
from faults.kube.api import Api
from faults.targets.kubernetes import KubernetesTarget, Selection
from tests.cluster.manifests import Graph
from tests.cluster.world import ASK, Cluster, own_node, until

T = TypeVar("T")


def asked(cluster: Cluster, namespace: str, graph: str, question: Callable[[KubernetesTarget], Awaitable[T]]) -> T:
    """One question to a fresh target."""

    async def inner() -> T:
        selection = Selection(namespace, graph_deployment=graph)
        target = KubernetesTarget("dynamo", selection, Api(kubeconfig=cluster.kubeconfig))
        try:
            return await question(target)
        finally:
            await target.close()

    return asyncio.run(inner())


def test_components_and_instances_come_from_the_resource(cluster: Cluster, namespace: str, graph: Graph) -> None:
    assert asked(cluster, namespace, graph.name, lambda target: target.components()) == ["frontend", "worker"]
    workers = asked(cluster, namespace, graph.name, lambda target: target.instances("worker"))
    assert len(workers) == 2
    assert {one.pod.container for one in workers if one.pod} == {"main"}
    assert {one.name for one in workers} < {pod.metadata.name for pod in cluster.pods(namespace)}
    by_service = asked(cluster, namespace, graph.name, lambda target: target.instances("VllmDecodeWorker"))
    assert [one.name for one in by_service] == [one.name for one in workers]


def test_older_labels_and_the_newer_version(cluster: Cluster, graph: Graph) -> None:
    older = replace(graph, name="older", scheme="old", version="v1beta1")
    with cluster.namespace("older") as place:
        cluster.install(place, older)
        # A later operator's name on the same pods would be found first; these have none.
        workers = asked(cluster, place, "older", lambda target: target.instances("worker"))
        assert len(workers) == 2


def test_wrong_names_say_what_there_is(cluster: Cluster, namespace: str, graph: Graph) -> None:
    with pytest.raises(
        NoInstances, match=f"no DynamoGraphDeployment nothing in namespace {namespace}; there is mocker"
    ):
        asked(cluster, namespace, "nothing", lambda target: target.components())
    with pytest.raises(NoInstances, match="no component prefill in dynamo; there is frontend, worker"):
        asked(cluster, namespace, graph.name, lambda target: target.instances("prefill"))
    with pytest.raises(NoInstances, match="no DynamoGraphDeployment mocker in namespace default; there is nothing"):
        asked(cluster, "default", graph.name, lambda target: target.components())


def test_ready_is_the_operators_word_and_the_pods(cluster: Cluster, namespace: str, graph: Graph) -> None:
    whole = asked(cluster, namespace, graph.name, lambda target: target.readiness())
    assert (whole.deployment, whole.pods) == (True, True)
    assert whole.deployment_since and whole.pods_since
    cluster.set_status(namespace, graph, ready=False)
    try:
        whole = asked(cluster, namespace, graph.name, lambda target: target.readiness())
        assert (whole.deployment, whole.pods) == (False, True)
        assert "Ready False, state pending" in whole.words
    finally:
        cluster.set_status(namespace, graph, ready=True)


@pytest.mark.alone
def test_the_watch_goes_on_after_the_api_server_was_killed(cluster: Cluster, namespace: str, graph: Graph) -> None:
    node = own_node(cluster, "its API server is not killed")

    async def inner() -> None:
        selection = Selection(namespace, graph_deployment=graph.name)
        target = KubernetesTarget("dynamo", selection, Api(kubeconfig=cluster.kubeconfig))
        try:
            worker = (await target.instances("worker"))[0]
            pod = worker.pod
            assert pod is not None
            await _until(lambda: target.watch.trouble is None)
            before = target.watch.resyncs
            await asyncio.to_thread(node.kill, "apiserver", signal.SIGKILL)
            await _until(lambda: target.watch.trouble is not None)
            await _until(lambda: target.watch.trouble is None and target.watch.resyncs > before)
            await asyncio.to_thread(
                cluster.core.delete_namespaced_pod, pod.name, namespace, grace_period_seconds=0, _request_timeout=ASK
            )
            await _until(lambda: (seen := target.watch.seen(pod.uid)) is not None and seen.gone_ns is not None)
        finally:
            await target.close()

    asyncio.run(inner())
    until("the deployment to be whole again", 90, lambda: cluster.all_ready(namespace))


async def _until(reached: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not reached():
            await asyncio.sleep(0.05)
