"""A real service on a real PostgreSQL that is killed under load and during a fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.measure.columns import OUTCOME_CODE
from probes.record import Outcome
from tests.support.monitor import Monitor, wait_for
from tests.support.postgres import PASSWORD, Server
from tests.system.conftest import Stub
from tests.system.test_bad_luck import begin_stall, state_of


@pytest.fixture
def url(own_postgres: Server) -> str:
    return own_postgres.new()


@pytest.fixture
def monitor(stub: Stub, tmp_path: Path, url: str) -> Iterator[Monitor]:
    """A monitor whose store is told by the environment."""
    with Monitor(stub.config(), tmp_path / "monitor", env={"AFTERSHOCK_STORE__URL": url}) as service:
        service.start()
        service.wait_steady()
        yield service


def test_a_server_killed_during_a_fault_costs_the_run_and_no_record(
    monitor: Monitor, own_postgres: Server, url: str
) -> None:
    run, pid = begin_stall(monitor, 120)
    own_postgres.kill()
    wait_for("the revert", lambda: state_of(pid) not in {"T", "t"}, 60)
    wait_for("the store to be reported", lambda: monitor.status()["store"]["ok"] is False, 60)
    refused = monitor.cli("inject", "none")
    assert refused.returncode == 1
    assert "cannot be reached" in refused.stdout + refused.stderr
    asked = monitor.get("/api/v1/runs", check=False)
    assert asked.status_code == 503
    assert "cannot be reached" in asked.text
    own_postgres.start()
    wait_for("the store to be well again", lambda: monitor.status()["store"]["ok"] is True, 60)
    ended = monitor.finished(run["id"], 60)
    assert (ended["verdict"], ended["receipt_open"]) == ("aborted", False)
    monitor.wait_steady()
    assert "aftershock_store_dropped_records_total 0.0" in monitor.get("/metrics").text
    assert monitor.stop() == 0
    ((recorded,),) = own_postgres.ask("select sum(recorded) from segments", url)
    lost = OUTCOME_CODE[Outcome.LOST]
    assert own_postgres.ask(f"select count(*) from records where outcome <> {lost}", url) == [(recorded,)]  # noqa: S608
    assert PASSWORD not in monitor.log()
    assert "Traceback" not in monitor.log()


def test_a_second_service_on_the_same_store_is_refused_and_a_killed_one_is_followed_at_once(
    monitor: Monitor, stub: Stub, tmp_path: Path
) -> None:
    second = Monitor(stub.config(), tmp_path / "second", env=monitor.env)
    second.http.close()
    done = second.cli("serve", "-c", str(second.config_path))
    assert done.returncode == 2
    assert "is in use by another aftershock service" in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr
    run, pid = begin_stall(monitor, 120)
    done = second.cli("recover", "--all", "-c", str(second.config_path))
    assert done.returncode != 0
    assert "is in use by another aftershock service" in done.stderr
    assert state_of(pid) == "T", "a fault that a service at work holds is left to it"
    monitor.kill()
    monitor.start(ready=False)
    wait_for("the revert", lambda: state_of(pid) not in {"T", "t"}, 10)
    assert monitor.run(run["id"])["verdict"] == "aborted"
