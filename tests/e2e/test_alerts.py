"""Who is called: real faults on real Dynamo, our rules in a real Prometheus, our inhibition in a real Alertmanager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dashboards.rules.build import inhibition
from monitor.demo.debian import ALERTMANAGER
from monitor.demo.prometheus import Prometheus, ScrapeTarget
from monitor.demo.provision import DEFAULT_FOLDER, Tools, program
from tests.e2e.conftest import MakeDynamo
from tests.e2e.test_runs import client_of, config
from tests.support.alertmanager import alertmanager, webhook
from tests.support.monitor import Monitor, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

OURS = {
    "groups": [
        {
            "name": "of-the-team",
            "rules": [
                {
                    "alert": "ErrorsSeen",
                    "expr": 'sum(increase(aftershock_probe_requests_total{outcome=~"failed|truncated"}[10s])) > 0',
                    "labels": {"severity": "page", "inhibited_by": "planned_fault", "deployment": "dynamo"},
                }
            ],
        }
    ]
}
"""An alert of the user's own, which any fault sets off."""


def firing(prometheus: str) -> set[str]:
    """Names of the alerts that Prometheus calls firing."""
    answer = httpx.get(f"{prometheus}/api/v1/alerts", trust_env=False).json()
    return {one["labels"]["alertname"] for one in answer["data"]["alerts"] if one["state"] == "firing"}


def settings_of(deployment: Any) -> dict[str, Any]:
    """The demo's, with one worker kill that may take its time and one that may not."""
    made = config(deployment)
    made["faults"] = {
        "worker": {"objectives": {"recovery_seconds": 60}},
        "worker_strict": {
            "fault": {"kind": "process_kill", "component": "worker"},
            "objectives": {"recovery_seconds": 0.5},
        },
    }
    # Of a soak that is minutes old, a single kill is several percent of everything.
    return made | {"slo": {"good_ratio": 0.6}}


def test_a_kill_within_its_objective_calls_nobody_and_one_beyond_it_does(
    dynamo: MakeDynamo, tools: Tools, tmp_path: Path
) -> None:
    assert tools.prometheus is not None
    deployment = dynamo(workers=2)
    api = free_port()
    team = tmp_path / "team.yaml"
    team.write_text(yaml.safe_dump(OURS), encoding="utf-8")
    with (
        Monitor(settings_of(deployment), tmp_path / "monitor", port=api) as monitor,
        webhook() as (url, told),
        alertmanager(
            program(ALERTMANAGER, DEFAULT_FOLDER, print), tmp_path / "alertmanager", url, inhibition()
        ) as address,
    ):
        rules = tmp_path / "aftershock.yaml"
        built = monitor.cli(
            *("rules", "build", "-c", str(monitor.config_path), "-o", str(rules), "--scrape-interval", "1")
        )
        assert built.returncode == 0, built.stderr
        targets = (*deployment.scrape_targets, ScrapeTarget("aftershock", f"127.0.0.1:{api}"))
        with Prometheus(
            tools.prometheus, targets, tmp_path / "prometheus", print, rules=(rules, team), alertmanager=address
        ) as prometheus:
            monitor.start()
            monitor.wait_steady()

            planned = monitor.inject("worker")["id"]
            wait_for("our own alert to fire", lambda: "ErrorsSeen" in firing(prometheus.url), 60)
            wait_for("the alert that holds it back", lambda: "AftershockFaultActive" in firing(prometheus.url), 10)
            run = monitor.finished(planned)
            assert run["verdict"] == "recovered", run["reason"]
            assert client_of(run)["failed_requests"] >= 5
            wait_for("our own alert to end", lambda: "ErrorsSeen" not in firing(prometheus.url), 60)
            assert told.names() == set(), "it was planned, and over in time"

            monitor.wait_steady()
            strict = monitor.finished(monitor.inject("worker_strict")["id"])
            assert strict["verdict"] == "recovered", strict["reason"]
            wait_for("somebody to be called", lambda: "AftershockObjectiveMissed" in told.names(), 60)
            missed = next(a for a in told.alerts() if a["labels"]["alertname"] == "AftershockObjectiveMissed")
            assert missed["labels"]["fault"] == "worker_strict"
            assert missed["labels"]["severity"] == "ticket"
            assert "worker_strict missed its objective recovery_seconds" in missed["annotations"]["summary"]
            assert missed["annotations"]["runbook_url"].endswith("AftershockObjectiveMissed.md")
            assert all(a["labels"].get("fault") != "worker" for a in told.alerts()), told.names()
