"""Five minutes as it would run for weeks: rotations, a schedule of mixed faults, control runs in between."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeDynamo, MakePrometheus
from tests.e2e.test_runs import client_of, config
from tests.support.monitor import Monitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SOAK_SECONDS = 300.0
ROTATE_SECONDS = 70.0
EVERY_SECONDS = 45.0


def soak_config(base: dict[str, Any]) -> dict[str, Any]:
    """A firing every 45 s; a run must have ended, and steady state come back, before the next."""
    base["probes"][0] |= {"rotate_seconds": ROTATE_SECONDS, "output_tokens": 60}
    base["schedules"] = [
        {
            "name": "soak",
            "faults": ["worker", "worker_stall", "frontend", "worker_term"],
            "timing": {"every_seconds": EVERY_SECONDS},
            "control_share": 0.25,
            "seed": 7,
        }
    ]
    base["run"] |= {"observe_seconds": 10, "horizon_seconds": 30}
    return base


def test_a_soak_of_five_minutes(
    dynamo: MakeDynamo, prometheus: MakePrometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = dynamo(workers=2)
    metrics = prometheus(deployment.scrape_targets)
    with Monitor(soak_config(config(deployment, prometheus=metrics.url)), tmp_path / "monitor") as monitor:
        monitor.start()
        monitor.wait_steady()
        end = time.monotonic() + SOAK_SECONDS
        while time.monotonic() < end:
            deployment.check_running()
            time.sleep(5.0)
        active = monitor.status()["active_run"]
        if active is not None:
            monitor.finished(active["id"])
        listed = json.loads(monitor.cli("runs", "ls", "--json").stdout)["runs"]
        probe = monitor.status()["probes"][0]
        assert monitor.stop() == 0
    runs = [r for r in listed if r["verdict"] not in {None, "skipped"}]
    controls = [r for r in runs if r["fault_name"] == "none"]
    injected = [r for r in runs if r["fault_name"] != "none"]
    with capsys.disabled():
        print()
        for r in reversed(listed):
            client = client_of(r) if r["witnesses"] else {}
            print(f"  {r['fault_name']:<13} {r['verdict']:<12} failed {client.get('failed_requests')} {r['reason']}")
    assert len(injected) >= 3
    assert len(controls) >= 1
    assert all(r["evidence"] for r in runs)
    assert {r["verdict"] for r in injected} <= {"recovered", "no_impact", "not_recovered"}, "none is inconclusive"
    assert {r["verdict"] for r in controls} == {"no_impact"}
    assert probe["segment"] >= 3, "three rotations"
    check_books(tmp_path / "monitor" / "data" / "aftershock.db", at_least=3)


def check_books(database: Path, *, at_least: int) -> None:
    """Every session number of every segment is a record or lost, and none was unprobed in between."""
    with closing(sqlite3.connect(database)) as db:
        db.row_factory = sqlite3.Row
        segments = db.execute("select * from segments order by segment").fetchall()
        assert len(segments) > at_least
        for segment in segments:
            assert segment["sent"] == segment["recorded"] + segment["lost"], dict(segment)
            numbers = [
                row[0]
                for row in db.execute(
                    "select session_num from records where segment = ? order by session_num", (segment["segment"],)
                )
            ]
            assert len(numbers) == len(set(numbers)) == segment["sent"], "each has its row"
            assert numbers == list(range(len(numbers))), "none is missing"
        gaps = db.execute("select * from gaps").fetchall()
        assert not gaps, [dict(gap) for gap in gaps]
