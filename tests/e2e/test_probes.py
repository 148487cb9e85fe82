"""Several loads at once on real Dynamo: chat and completions, streaming and unary, short and long prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDynamo
from tests.e2e.test_runs import config
from tests.support.monitor import Monitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROBES = [
    {"name": "chat-stream", "request_rate": 4, "output_tokens": 20},
    {"name": "chat-unary", "request_rate": 4, "output_tokens": 20, "streaming": False},
    {
        "name": "completions-long",
        "request_rate": 4,
        "output_tokens": 20,
        "endpoint": "completions",
        "input_tokens": 600,
    },
]


def test_three_probes_by_name(dynamo: MakeDynamo, tmp_path: Path) -> None:
    deployment = dynamo(workers=1)
    settings = config(deployment, probes=PROBES)
    settings["guard"] = {"cooldown_seconds": 0, "steady_state": {"window_seconds": 5, "min_requests": 10}}
    with Monitor(settings, tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()
        control = monitor.finished(monitor.inject("none")["id"])
        assert control["verdict"] == "no_impact", control["reason"]
        monitor.wait_steady()
        kill = monitor.finished(monitor.inject("worker")["id"])
        for run, failed in ((control, False), (kill, True)):
            reports = {w["probe"]: w for w in run["witnesses"] if w["witness"] == "client"}
            names = {str(p["name"]) for p in PROBES}
            assert set(reports) == {None, *names}
            assert sum(reports[n]["requests"] for n in names) == reports[None]["requests"]
            assert sum(reports[n]["failed_requests"] for n in names) == reports[None]["failed_requests"]
            assert all((reports[n]["failed_requests"] > 0) is failed for n in names), reports
        assert kill["verdict"] == "recovered", kill["reason"]
        page = monitor.get("/metrics").text
        for probe in PROBES:
            assert f'aftershock_probe_up{{probe="{probe["name"]}"}} 1.0' in page
