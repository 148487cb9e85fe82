"""A stream that the server cut short is a failed request, though HTTP said 200 and plain aiperf calls it a success."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.demo.deployment import Deployment
from probes.command import SegmentPaths, arguments, environment
from probes.spec import EndpointSpec, ProbeSpec
from tests.e2e.conftest import MakeDynamo
from tests.e2e.test_runs import client_of, config
from tests.support.monitor import Monitor, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATE = 15.0
TOKENS = 200
ENOUGH_IN_FLIGHT = 10


@contextmanager
def plain_aiperf(deployment: Deployment, folder: Path) -> Iterator[Path]:
    """aiperf as its users run it: its own chat endpoint, none of ours, on the same deployment; yields its export file."""
    paths = SegmentPaths(folder)
    paths.temporary.mkdir(parents=True)
    spec = ProbeSpec(name="plain", request_rate=RATE, output_tokens=TOKENS, request_timeout_seconds=20)
    endpoint = EndpointSpec(url=deployment.url, model=deployment.model)
    command = arguments(spec, endpoint, paths, str(deployment.model_folder))
    command[command.index("--endpoint-type") + 1] = "chat"
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment(spec, endpoint, paths), cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for("plain aiperf to record", lambda: paths.export.exists() and paths.export.stat().st_size > 0, 60)
        yield paths.export
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def in_flight_at(lines: list[Mapping[str, Any]], instant_ns: int) -> list[Mapping[str, Any]]:
    """Streams that had begun before the instant and sent their last chunk at it or after.

    aiperf dates the end of a cut stream by its last chunk, which may come shortly before the kill was seen.
    """
    slack = 300_000_000
    meta = "metadata"
    return [e for e in lines if e[meta]["request_start_ns"] < instant_ns <= e[meta]["request_end_ns"] + slack]


def test_the_only_worker_is_killed_in_the_middle_of_streams(
    dynamo: MakeDynamo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = dynamo(workers=1, migration_limit=0)
    settings = config(deployment)
    settings["probes"][0] |= {"request_rate": RATE, "output_tokens": TOKENS}
    with Monitor(settings, tmp_path / "monitor") as monitor, plain_aiperf(deployment, tmp_path / "plain") as export:
        monitor.start()
        monitor.wait_steady()
        wait_for("ten streams in flight", lambda: monitor.status()["probes"][0]["in_flight"] >= ENOUGH_IN_FLIGHT, 30)
        run = monitor.finished(monitor.inject("worker")["id"])
        assert run["verdict"] == "recovered", run["reason"]
        client = client_of(run)
        lines = [json.loads(line) for line in export.read_text(encoding="utf-8").splitlines()]
    cut_ours = client["truncated_requests"]
    struck = in_flight_at(lines, run["t_effect"])
    cut_plain = [e for e in struck if "usage_completion_tokens" not in e["metrics"]]
    called_good = [e for e in cut_plain if "error" not in e]
    with capsys.disabled():
        print(
            f"\n  in flight when the only worker was killed: ours {client['requests_in_flight_at_injection']}, plain {len(struck)}"
            f"\n  cut streams: our probe counts {cut_ours} as failed ({client['errors']});"
            f" plain aiperf cut {len(cut_plain)}, of which it calls {len(called_good)} a success"
        )
    assert client["requests_in_flight_at_injection"] >= ENOUGH_IN_FLIGHT
    assert cut_ours >= ENOUGH_IN_FLIGHT
    # A stream that was cut before its first token is a failure of the same class, not a truncated answer.
    assert client["errors"]["stream_error"] >= cut_ours, "every cut stream has its own class"
    assert len(cut_plain) >= ENOUGH_IN_FLIGHT
    assert len(called_good) >= ENOUGH_IN_FLIGHT, "plain aiperf calls them a success"
