"""The trace witness on real Dynamo: what it says of a killed worker, beside the client and Dynamo's own counter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeDynamo, MakePrometheus
from tests.e2e.test_runs import client_of, compared, config, server_of, trace_of
from tests.support.dynamo import metric
from tests.support.monitor import Monitor, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MIGRATIONS = "dynamo_frontend_model_migration_total"


@pytest.mark.parametrize(
    ("layout", "fault", "limit"), [("agg", "worker", 3), ("agg", "worker", 0), ("disagg", "decode_worker", 3)]
)
def test_a_killed_worker_with_and_without_migration(
    *,
    layout: str,
    fault: str,
    limit: int,
    dynamo: MakeDynamo,
    prometheus: MakePrometheus,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    deployment = dynamo(layout=layout, workers=2, migration_limit=limit, otlp_endpoint=f"http://127.0.0.1:{port}")
    metrics = prometheus(deployment.scrape_targets)
    settings = config(deployment, prometheus=metrics.url, traces={"http_listen": f"127.0.0.1:{port}"})
    frontend = f"127.0.0.1:{deployment.ports.frontend}"
    with Monitor(settings, tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()
        control = monitor.finished(monitor.inject("none")["id"])
        before = metric(frontend, MIGRATIONS)
        wait_for("requests in flight", lambda: monitor.status()["probes"][0]["in_flight"] >= 6, 30)
        run = monitor.finished(monitor.inject(fault)["id"])
        attempts = metric(frontend, MIGRATIONS) - before
        shown = monitor.cli("runs", "show", run["id"]).stdout
        page = monitor.get("/metrics").text
    client, server, trace = client_of(run), server_of(run), trace_of(run)
    with capsys.disabled():
        print(f"\n  {layout}, migration limit {limit}: {trace['requests']} of {client['requests']} requests traced")
        tell(run, attempts)

    calm = trace_of(control)
    assert (calm["status"], calm["verdict"], calm["failed_requests"]) == ("ok", "no_impact", 0), calm["reason"]
    assert (calm["migrated_requests"], calm["lost_requests"], calm["died_in"]) == (0, 0, {}), calm

    assert (trace["status"], trace["verdict"]) == ("ok", "recovered"), trace["reason"]
    assert trace["lost_requests"] == 0, "the frontend lives, so every request leaves its span"
    assert trace["failed_requests"] == client["failed_requests"]
    assert trace["truncated_requests"] == client["truncated_requests"]
    assert sum(trace["died_in"].values()) == trace["failed_requests"]
    assert len(trace["failed_traces"]) == min(50, trace["failed_requests"])
    assert abs(server["failed_requests"] - client["failed_requests"]) <= 2, (server, client)
    # The killed instance is the only one that anything died on.
    assert len(trace["died_on"]) == 1, trace["died_on"]
    assert run["instances"][0]["name"] in next(iter(trace["died_on"]))
    assert trace["died_in"].get("route", 0) >= 10, "new requests are sent to the dead worker until its lease is over"
    # Dynamo counts attempts, also those that fail; the spans tell of each of them.
    assert any(n.startswith(f"{attempts:g} attempts to go on elsewhere") for n in trace["notes"])
    if limit:
        assert 1 <= trace["migrated_requests"] <= attempts
        # Dynamo does not always move the last of them; that the client was cut as often as the traces say is asked above.
        assert trace["truncated_requests"] <= trace["migrated_requests"], "streams in flight went on elsewhere"
    else:
        assert trace["migrated_requests"] == 0
        # Those that were cut before their first token are failed, not truncated.
        assert attempts >= trace["died_in"]["decode"] >= client["truncated_requests"] >= 1
    assert_edges_agree(client, trace)
    assert "died in" in shown
    assert 'aftershock_source_up{source="otlp"} 1.0' in page


def tell(run: Mapping[str, Any], attempts: float) -> None:
    """The figures, for who reads the test's output."""
    client, trace = client_of(run), trace_of(run)
    for name in ("failed_requests", "truncated_requests", "error_window_seconds", "recovery_from_effect_seconds"):
        print(f"  {name}: client {client[name]}, trace {trace[name]}")
    print(f"  migrated {trace['migrated_requests']} (Dynamo counts {attempts:g} attempts); died in {trace['died_in']}")
    print(f"  died on {trace['died_on']}; lost {trace['lost_requests']}; {trace['reason']}; {trace['notes']}")
    print("  " + "\n  ".join(compared(run)))


def assert_edges_agree(client: Mapping[str, Any], trace: Mapping[str, Any]) -> None:
    """Within what either can tell."""
    for edge, sharpness in (("t_impact", "at_impact_seconds"), ("t_recovered", "at_recovery_seconds")):
        # A second more: on a busy machine a request may wait that long at the frontend's door.
        gap = client["resolution"][sharpness] + trace["resolution"][sharpness] + 1.0
        assert abs(trace[edge] - client[edge]) / 1e9 <= gap, edge
