"""Whole runs on real Dynamo, real aiperf and real Prometheus: what users felt, by two witnesses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.demo.deployment import Deployment
from monitor.demo.plan import configuration
from tests.e2e.conftest import MakeDynamo, MakePrometheus
from tests.support.monitor import Monitor, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def config(deployment: Deployment, *, prometheus: str | None = None, **changes: Any) -> dict[str, Any]:
    """The demo's configuration; Monitor adds data_dir and api."""
    made = configuration(
        endpoint=deployment.url,
        model=deployment.model,
        tokenizer=deployment.model_folder,
        supervisor_dir=deployment.state,
        prometheus=prometheus,
        port=0,
        data_dir=Path("unused"),
    )
    return {k: v for k, v in made.items() if k not in {"data_dir", "api"}} | changes


def client_of(run: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(w for w in run["witnesses"] if w["witness"] == "client" and w["probe"] is None)
    return found


def server_of(run: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(w for w in run["witnesses"] if w["witness"] == "server")
    return found


def test_control_kill_stall_and_frontend_on_two_workers(
    dynamo: MakeDynamo, prometheus: MakePrometheus, tmp_path: Path
) -> None:
    deployment = dynamo(workers=2)
    metrics = prometheus(deployment.scrape_targets)
    with Monitor(config(deployment, prometheus=metrics.url), tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()

        control = monitor.finished(monitor.inject("none")["id"])
        assert control["verdict"] == "no_impact", control["reason"]
        assert client_of(control)["failed_requests"] == 0
        assert server_of(control)["status"] == "ok", server_of(control)["reason"]
        assert server_of(control)["failed_requests"] == 0

        monitor.wait_steady()
        kill = monitor.finished(monitor.inject("worker")["id"])
        assert kill["verdict"] == "recovered", kill["reason"]
        assert "SIGKILL (waitpid)" in kill["evidence"]["summary"]
        client, server = client_of(kill), server_of(kill)
        assert client["failed_requests"] >= 10, "half of the new requests fail until the lease of 10 s is over"
        assert client["truncated_requests"] >= 1, "streams on the killed worker were cut"
        assert 3 < client["error_window_seconds"] < 20
        assert kill["t_replaced"] is not None
        # Dynamo's own counter and the client count the same requests; those in flight at the edges may differ.
        assert abs(server["failed_requests"] - client["failed_requests"]) <= 2, (server, client)

        monitor.wait_steady()
        stall = monitor.finished(monitor.inject("worker_stall", duration_seconds=8)["id"])
        assert stall["verdict"] == "recovered", stall["reason"]
        assert client_of(stall)["slow_requests"] >= 1, "streams on the stalled worker stood still"
        assert any("T at start, T in the middle, T before SIGCONT" in o for o in stall["observations"])
        assert 7 < (stall["t_reverted"] - stall["t_effect"]) / 1e9 < 9

        monitor.wait_steady()
        frontend = monitor.finished(monitor.inject("frontend")["id"])
        assert frontend["verdict"] == "recovered", frontend["reason"]
        assert client_of(frontend)["errors"].get("connection_refused", 0) >= 1
        assert server_of(frontend)["status"] == "inconclusive", "a frontend that is gone reports nothing"
        assert server_of(frontend)["reason"]

        listed = json.loads(monitor.cli("runs", "ls", "--json").stdout)
        assert [r["verdict"] for r in listed["runs"]] == ["recovered", "recovered", "recovered", "no_impact"]
        shown = monitor.cli("runs", "show", kill["id"])
        assert shown.returncode == 0
        assert "SIGKILL" in shown.stdout
        page = monitor.get("/metrics").text
        assert 'aftershock_fault_runs_total{fault="worker",verdict="recovered"} 1.0' in page
        assert 'aftershock_fault_active{component="worker",fault="worker"} 0.0' in page
        assert monitor.get("/").status_code == 200


def test_a_disaggregated_prefill_kill_is_measured(dynamo: MakeDynamo, tmp_path: Path) -> None:
    deployment = dynamo(layout="disagg", workers=1)
    with Monitor(config(deployment), tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()
        run = monitor.finished(monitor.inject("prefill_worker")["id"])
        assert run["verdict"] == "recovered", run["reason"]
        assert run["instances"][0]["component"] == "prefill"
        assert client_of(run)["failed_requests"] >= 1
        server = server_of(run)
        assert server["status"] == "absent"
        assert "no prometheus" in server["reason"]
        refused = monitor.cli("inject", "vllm_prefill_engine_core")
        assert refused.returncode == 1
        wait_for("steady state", lambda: monitor.get("/readyz", check=False).status_code == 200, 60)
