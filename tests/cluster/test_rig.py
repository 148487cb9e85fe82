"""The rig itself: the deployments answer real requests."""

from __future__ import annotations

from typing import Any

from tests.cluster.manifests import MODEL, Graph, disaggregated
from tests.cluster.world import Cluster, until

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


def _answers(cluster: Cluster, namespace: str, graph: Graph) -> bool:
    answer = cluster.ask(namespace, graph, "/v1/chat/completions", CHAT)
    return answer is not None and bool(answer["choices"][0]["message"]["content"])


def test_an_aggregated_deployment_answers(cluster: Cluster, namespace: str, graph: Graph) -> None:
    until("an answer", 60, lambda: _answers(cluster, namespace, graph))


def test_a_disaggregated_deployment_answers(cluster: Cluster, graph: Graph) -> None:
    layout = disaggregated("disagg", graph.image)
    with cluster.namespace("disagg") as name:
        cluster.install(name, layout)
        until("an answer", 60, lambda: _answers(cluster, name, layout))
