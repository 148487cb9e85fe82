"""Whole runs on real Dynamo, real aiperf and real Prometheus: what users felt, by three witnesses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.demo.deployment import Deployment
from monitor.demo.plan import configuration
from monitor.demo.prometheus import ScrapeTarget
from tests.e2e.conftest import MakeDynamo, MakePrometheus
from tests.support.monitor import Monitor, free_port, wait_for

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


def trace_of(run: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(w for w in run["witnesses"] if w["witness"] == "trace")
    return found


def exemplars(prometheus: str, selector: str) -> set[str]:
    """Trace ids that a Prometheus keeps for a metric."""
    answer = httpx.get(
        f"{prometheus}/api/v1/query_exemplars",
        params={"query": selector, "start": f"{time.time() - 600:.0f}", "end": f"{time.time() + 60:.0f}"},
        trust_env=False,
    )
    return {one["labels"]["trace_id"] for series in answer.json()["data"] for one in series["exemplars"]}


def compared(run: Mapping[str, Any]) -> list[str]:
    """A line for each comparison of the run's witnesses; fails when two differ and nobody can say why."""
    lines = []
    for one in run["comparisons"]:
        line = f"{run['fault_name']}: {one['a']} and {one['b']}, {one['figure']}: {one['status']} ({one['text']}) {one['reason']}"
        lines.append(line)
        assert one["text"], line
        assert one["status"] != "disagree" or one["reason"] not in {"", "unknown"}, line
    assert {(c["a"], c["b"]) for c in run["comparisons"]} == {
        ("client", "server"),
        ("client", "trace"),
        ("server", "trace"),
    }
    return lines


def check_control(run: dict[str, Any], _: str) -> None:
    assert run["verdict"] == "no_impact", run["reason"]
    assert {c["status"] for c in run["comparisons"]} == {"agree"}, run["comparisons"]
    for witness in (client_of(run), server_of(run), trace_of(run)):
        assert (witness["status"], witness["failed_requests"]) == ("ok", 0), witness["reason"]


def check_kill(run: dict[str, Any], prometheus: str) -> None:
    assert "SIGKILL (waitpid)" in run["evidence"]["summary"]
    client, server, trace = client_of(run), server_of(run), trace_of(run)
    assert client["failed_requests"] >= 10, "half of the new requests fail until the lease of 10 s is over"
    assert client["truncated_requests"] >= 1, "streams on the killed worker were cut"
    assert 3 < client["error_window_seconds"] < 20
    assert run["t_replaced"] is not None
    # Dynamo's own counter and the client count the same requests; those in flight at the edges may differ.
    assert abs(server["failed_requests"] - client["failed_requests"]) <= 2, (server, client)
    assert trace["failed_requests"] == client["failed_requests"], trace
    # From the graph of failures to the trace of one of them.
    found = exemplars(prometheus, 'aftershock_probe_requests_total{outcome="failed"}')
    assert found & set(trace["failed_traces"]), (found, trace["failed_traces"])


def check_stall(run: dict[str, Any], _: str) -> None:
    assert client_of(run)["slow_requests"] >= 1, "streams on the stalled worker stood still"
    assert any("T at start, T in the middle, T before SIGCONT" in o for o in run["observations"])
    assert 7 < (run["t_reverted"] - run["t_effect"]) / 1e9 < 9
    assert trace_of(run)["slow_requests"] >= 1


def check_frontend(run: dict[str, Any], _: str) -> None:
    refused = client_of(run)["errors"].get("connection_refused", 0)
    assert refused >= 1
    assert server_of(run)["status"] == "inconclusive", "a frontend that is gone reports nothing"
    assert server_of(run)["reason"]
    assert any(f"{refused} refused connections left no trace" in n for n in trace_of(run)["notes"])


def check_frontend_kill(run: dict[str, Any], _: str) -> None:
    cut = client_of(run)["failed_requests"] - client_of(run)["errors"].get("connection_refused", 0)
    assert cut >= 1, "streams were cut with the frontend"
    assert server_of(run)["status"] == "inconclusive"
    # Its spans went with it: what was in flight is an orphan, or nothing at all.
    trace = trace_of(run)
    assert trace["died_in"].get("frontend", 0) + trace["lost_requests"] >= 1, trace


def check_etcd(run: dict[str, Any], _: str) -> None:
    assert client_of(run)["failed_requests"] >= 10, "Dynamo's processes end when they lose their leases"


Check = Callable[[dict[str, Any], str], None]
STORY: tuple[tuple[str, dict[str, Any], Check], ...] = (
    ("none", {}, check_control),
    ("worker", {}, check_kill),
    ("worker_stall", {"duration_seconds": 8}, check_stall),
    ("frontend", {}, check_frontend),
    ("frontend_kill", {}, check_frontend_kill),
    ("etcd_stall", {"duration_seconds": 12}, check_etcd),
)
"""Faults in their order, what is changed in them, and what their runs must show; a check gets Prometheus' address."""


def test_three_witnesses_of_kill_stall_frontend_and_etcd(
    dynamo: MakeDynamo, prometheus: MakePrometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, api = free_port(), free_port()
    deployment = dynamo(workers=2, discovery="etcd", otlp_endpoint=f"http://127.0.0.1:{port}")
    metrics = prometheus((*deployment.scrape_targets, ScrapeTarget("aftershock", f"127.0.0.1:{api}")))
    settings = config(deployment, prometheus=metrics.url, traces={"http_listen": f"127.0.0.1:{port}"})
    lines = []
    with Monitor(settings, tmp_path / "monitor", port=api) as monitor:
        monitor.start()
        for fault, changes, check in STORY:
            monitor.wait_steady()
            run = monitor.finished(monitor.inject(fault, **changes)["id"])
            lines.extend(compared(run))
            if fault != "none":
                assert run["verdict"] == "recovered", run["reason"]
            check(run, metrics.url)
            shown = monitor.cli("runs", "show", run["id"])
            assert shown.returncode == 0
            assert all(w in shown.stdout for w in ("client", "server", "trace", "Do they agree")), shown.stdout
        listed = json.loads(monitor.cli("runs", "ls", "--json").stdout)
        assert [r["verdict"] for r in listed["runs"]] == ["recovered"] * 5 + ["no_impact"]
        page = monitor.get("/metrics").text
        assert 'aftershock_fault_runs_total{fault="worker",verdict="recovered"} 1.0' in page
        assert 'aftershock_fault_active{component="worker",fault="worker"} 0.0' in page
        assert monitor.get("/").status_code == 200
    with capsys.disabled():
        print("\n  " + "\n  ".join(lines))


def test_a_disaggregated_prefill_kill_is_measured(
    dynamo: MakeDynamo, prometheus: MakePrometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    deployment = dynamo(layout="disagg", workers=2, otlp_endpoint=f"http://127.0.0.1:{port}")
    metrics = prometheus(deployment.scrape_targets)
    settings = config(deployment, prometheus=metrics.url, traces={"http_listen": f"127.0.0.1:{port}"})
    with Monitor(settings, tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()
        run = monitor.finished(monitor.inject("prefill_worker")["id"])
        with capsys.disabled():
            print("\n  " + "\n  ".join(compared(run)))
        assert run["verdict"] == "recovered", run["reason"]
        assert run["instances"][0]["component"] == "prefill"
        client, trace = client_of(run), trace_of(run)
        assert client["failed_requests"] >= 1
        assert trace["failed_requests"] == client["failed_requests"], trace
        assert {"prefill", "route"} & trace["died_in"].keys(), trace["died_in"]


def test_without_prometheus_and_traces_nothing_else_is_lost(dynamo: MakeDynamo, tmp_path: Path) -> None:
    with Monitor(config(dynamo(layout="disagg", workers=1)), tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()
        run = monitor.finished(monitor.inject("prefill_worker")["id"])
        assert run["verdict"] == "recovered", run["reason"]
        assert client_of(run)["failed_requests"] >= 1
        server, trace = server_of(run), trace_of(run)
        assert (server["status"], trace["status"]) == ("absent", "absent")
        assert "no prometheus" in server["reason"]
        assert "no traces" in trace["reason"]
        refused = monitor.cli("inject", "vllm_prefill_engine_core")
        assert refused.returncode == 1
        wait_for("steady state", lambda: monitor.get("/readyz", check=False).status_code == 200, 60)
