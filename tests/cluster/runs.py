"""Runs that cluster tests begin through the API of an installed chart."""

from __future__ import annotations

from typing import Any

import httpx

from tests.cluster.world import ASK, Cluster, until


def phase(api: httpx.Client, run: str) -> str:
    """Of a run by its id, as far as it has come."""
    return str(api.get(f"/api/v1/runs/{run}").json()["phase"])


def begin(api: httpx.Client, fault: str, changes: dict[str, Any] | None = None) -> str:
    """The id of a run, begun as soon as the guard lets it."""
    begun: list[str] = []

    def asked() -> bool:
        answer = api.post("/api/v1/runs", json={"fault": fault, "changes": changes or {}})
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


def ends_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """How the containers of each pod ended last, where one did: a worker that left by itself explains much."""
    pods = {str(one.metadata.name): one.status.container_statuses or [] for one in cluster.pods(namespace)}
    return {name: [one.last_state.terminated for one in states if one.restart_count] for name, states in pods.items()}


def scaled_down(cluster: Cluster, namespace: str, api: httpx.Client) -> str:
    """The id of a run that keeps one of two workers away; begun when both are there, or none would go."""
    until("the deployment to be whole", 120, lambda: cluster.all_ready(namespace))
    run = begin(api, "worker_scale_down", {"duration_seconds": 3000})
    until("the fault to act", 90, lambda: phase(api, run) in {"effective", "finished"})
    found = api.get(f"/api/v1/runs/{run}").json()
    assert found["phase"] == "effective", (found["reason"], ends_of(cluster, namespace))
    assert replicas_wanted(cluster, namespace) == 1
    return run
