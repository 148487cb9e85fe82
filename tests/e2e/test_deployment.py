"""The demo's deployment: real answers, restarts, loopback only, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from faults.targets.state import InstanceInfo
from monitor.demo.deployment import Deployment
from monitor.demo.provision import Tools
from tests.e2e.conftest import MakeDynamo, MakePrometheus
from tests.support.dynamo import beyond_loopback, chat, family, instance_ids, listening, metric
from tests.support.monitor import wait_for

pytestmark = pytest.mark.e2e

REQUESTS = "dynamo_component_requests_total"


def worker_addresses(deployment: Deployment, role: str) -> list[str]:
    return [one.address for one in deployment.scrape_targets if one.labels.get("component") == role]


def instance(deployment: Deployment, name: str) -> InstanceInfo:
    return next(one for one in deployment.instances() if one.name == name)


def assert_whole(deployment: Deployment, tokens: int = 24) -> None:
    answer = chat(deployment.url, tokens=tokens)
    assert (answer.status, answer.error, answer.done) == (200, None, True), answer
    assert (answer.tokens, answer.finish_reason) == (tokens, "length")
    assert len(answer.text) >= tokens, "every token of the model folder is at least one letter"


def test_two_workers_answer_on_loopback_and_leave_nothing(
    dynamo: MakeDynamo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "somebodys-home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    deployment = dynamo(layout="agg", workers=2)
    for _ in range(4):
        assert_whole(deployment)
    # Round-robin: each of the two had some of the requests.
    assert all(metric(address, REQUESTS) >= 1 for address in worker_addresses(deployment, "worker"))

    processes = family(deployment.supervisor_pid)
    sockets = listening(processes)
    assert {port for _, port in sockets} >= {deployment.ports.frontend, deployment.ports.nats}
    assert beyond_loopback(processes) == []

    assert deployment.stop() == []
    assert [one for one in processes if one.is_running()] == []
    for address, port in sockets:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            assert client.connect_ex((address, port)) != 0, f"{address}:{port} still answers"
    assert list(home.iterdir()) == []


def test_disaggregated_uses_both_roles(dynamo: MakeDynamo) -> None:
    deployment = dynamo(layout="disagg", workers=1)
    assert_whole(deployment)
    # Dynamo calls its decode workers "backend".
    for role, component in (("prefill", "prefill"), ("decode", "backend")):
        (address,) = worker_addresses(deployment, role)
        assert metric(address, REQUESTS, dynamo_component=component) >= 1, f"{role} had no request"
    assert beyond_loopback(family(deployment.supervisor_pid)) == []


def test_etcd_discovery_answers_on_loopback(dynamo: MakeDynamo) -> None:
    deployment = dynamo(workers=1, discovery="etcd", engine="sglang", router_mode="kv")
    assert {one.component for one in deployment.instances()} == {"nats", "etcd", "worker", "frontend"}
    assert_whole(deployment)
    assert beyond_loopback(family(deployment.supervisor_pid)) == []


def test_killed_worker_is_restarted_and_the_new_instance_serves(dynamo: MakeDynamo) -> None:
    deployment = dynamo(workers=1)
    before = instance(deployment, "worker-0")
    known = instance_ids(deployment.url)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def again() -> InstanceInfo | None:
        now = instance(deployment, "worker-0")
        return now if now.state == "ready" and now.pid not in {None, before.pid} else None

    after = wait_for("the supervisor to restart worker-0", again, 30)
    assert after.restarts == before.restarts + 1
    wait_for("the frontend to see the new instance", lambda: instance_ids(deployment.url) - known, 30)
    (address,) = worker_addresses(deployment, "worker")

    def served() -> bool:
        # The dead instance is routed to until its lease ends, so some of these fail; that is Dynamo's way.
        chat(deployment.url)
        return metric(address, REQUESTS) > 0

    wait_for("the new instance to serve", served, 30)


def test_killed_frontend_comes_back_at_its_address(dynamo: MakeDynamo) -> None:
    deployment = dynamo(workers=1)
    before = instance(deployment, "frontend-0")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    wait_for("the frontend to be restarted", lambda: instance(deployment, "frontend-0").restarts == 1, 30)
    deployment.wait_ready(60)
    assert instance(deployment, "frontend-0").pid != before.pid
    assert_whole(deployment)


def test_prometheus_scrapes_frontend_and_workers(dynamo: MakeDynamo, prometheus: MakePrometheus) -> None:
    deployment = dynamo(workers=2)
    assert_whole(deployment)
    server = prometheus(deployment.scrape_targets)
    ports = deployment.ports
    wanted = {f"127.0.0.1:{port}": True for port in (ports.frontend, *dict(ports.system)["worker"])}
    assert len(wanted) == 3
    wait_for("all targets to be up", lambda: server.up() == wanted, 30)
    query = {"query": 'sum(dynamo_frontend_requests_total{status="success",component="frontend"})'}
    answer = httpx.get(f"{server.url}/api/v1/query", params=query, trust_env=False).json()
    assert float(answer["data"]["result"][0]["value"][1]) >= 1
    assert server.stop() == []


def test_nothing_outlives_a_killed_starter(tools: Tools, tmp_path: Path) -> None:
    """SIGKILL leaves the starter no last words; what it started must still end."""
    starter = subprocess.Popen(
        [sys.executable, "-m", "monitor.demo.up", "--workers", "1", "--data", str(tmp_path / "up")],
        stdout=subprocess.PIPE,
        text=True,
    )
    processes: list[psutil.Process] = []
    with starter:
        try:
            assert starter.stdout is not None
            lines = iter(starter.stdout.readline, "")
            assert any("Ctrl-C" in line for line in lines), "it never came up"
            processes = family(starter.pid)[1:]
            assert len(processes) >= 6  # two supervisors with a helper each, NATS, worker, frontend, Prometheus
        finally:
            starter.kill()
    _, alive = psutil.wait_procs(processes, timeout=30)
    for one in alive:
        one.kill()
    assert alive == []


def test_ctrl_c_ends_it_in_order(tools: Tools, tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-m", "monitor.demo.up", "--workers", "1", "--data", str(tmp_path / "up")],
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        try:
            assert starter.stdout is not None
            assert any("Ctrl-C" in line for line in iter(starter.stdout.readline, ""))
            processes = family(starter.pid)[1:]
            starter.send_signal(signal.SIGINT)
            assert starter.wait(60) == 0
            assert "nothing is left running" in starter.stdout.read()
        finally:
            starter.kill()
    assert [one for one in processes if one.is_running()] == []
