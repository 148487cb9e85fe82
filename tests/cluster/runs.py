"""Runs that cluster tests begin through the API of an installed chart."""

from __future__ import annotations

from typing import Any

import httpx

from tests.cluster.world import ASK, Cluster, until


def _begin(api: httpx.Client, fault: str, changes: dict[str, Any]) -> str:
    """The id of a run, begun as soon as the guard lets it."""
    begun: list[str] = []

    def asked() -> bool:
        answer = api.post("/api/v1/runs", json={"fault": fault, "changes": changes})
        if answer.status_code == 202:
            begun.append(str(answer.json()["id"]))
        else:
            assert answer.status_code == 409, answer.text
        return bool(begun)

    until(f"{fault} to be let", 120, asked)
    return begun[0]


def replicas_wanted(cluster: Cluster, namespace: str) -> int:
    """That the worker's Deployment asks for."""
    found: list[Any] = cluster.apps.list_namespaced_deployment(namespace, _request_timeout=ASK).items
    (worker,) = [one for one in found if "worker" in one.metadata.name]
    return int(worker.spec.replicas)


def _ends(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """How the containers of each pod ended last, where one did: a worker that left by itself explains much."""
    pods = {str(one.metadata.name): one.status.container_statuses or [] for one in cluster.pods(namespace)}
    return {name: [one.last_state.terminated for one in states if one.restart_count] for name, states in pods.items()}


def scaled_down(cluster: Cluster, namespace: str, api: httpx.Client) -> str:
    """The id of a run that keeps one of two workers away; begun when both are there, or none would go."""
    until("the deployment to be whole", 120, lambda: cluster.all_ready(namespace))
    run = _begin(api, "worker_scale_down", {"duration_seconds": 3000})
    found: dict[str, Any] = {}

    def come_so_far() -> bool:
        found.update(api.get(f"/api/v1/runs/{run}").json())
        return found["phase"] in {"effective", "finished"}

    until("the fault to act", 90, come_so_far)
    assert found["phase"] == "effective", (found["reason"], _ends(cluster, namespace))
    assert replicas_wanted(cluster, namespace) == 1
    return run
