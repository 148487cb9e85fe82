"""Control runs and incidents as figures of the service, also after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.config.settings import Settings
from monitor.export.metrics import Metrics
from monitor.figures import PAGE, ServiceFigures
from monitor.measure.controls import ControlResult, control_result, tells_of_harm
from monitor.model import Incident, ObjectiveResult, Phase, Run, Stretch, Transition, Verdict, WitnessReport
from monitor.service import Service
from monitor.store.store import Store
from tests.support.records import SECOND, T0
from tests.support.records import run as make_run


def control(number: int = 0, verdict: Verdict = Verdict.NO_IMPACT, *, name: str = "none", **client: Any) -> Run:
    """A finished run that injected nothing."""
    status = "ok" if verdict in {Verdict.NO_IMPACT, Verdict.RECOVERED} else "inconclusive"
    report = WitnessReport.model_validate({"witness": "client", "status": status, "verdict": verdict} | client)
    return make_run(
        number, fault_name=name, fault={"kind": "none"}, phase=Phase.FINISHED, verdict=verdict, witnesses=(report,)
    )


CLEAN = {"requests": 100, "failed_requests": 0, "slow_requests": 0, "error_window_seconds": 0.0}


@pytest.mark.parametrize(
    ("run", "result"),
    [
        (control(**CLEAN), ControlResult.CLEAN),
        (control(verdict=Verdict.RECOVERED, t_impact=T0), ControlResult.FALSE_FINDING),
        (control(**CLEAN | {"slow_requests": 1, "failed_requests": 2}), ControlResult.CLEAN),  # no more than before it
        (control(**CLEAN | {"stretches": (Stretch(start_ns=1, end_ns=2),)}), ControlResult.FALSE_FINDING),
        (control(verdict=Verdict.INCONCLUSIVE, **CLEAN), ControlResult.INCONCLUSIVE),
        (control(verdict=Verdict.INCONCLUSIVE, t_impact=T0), ControlResult.FALSE_FINDING),
        (control(verdict=Verdict.ABORTED, **CLEAN), ControlResult.INCONCLUSIVE),
        (control(verdict=Verdict.ABORTED).model_copy(update={"witnesses": ()}), ControlResult.INCONCLUSIVE),
        (control(verdict=Verdict.SKIPPED), None),
        (control(**CLEAN).model_copy(update={"phase": Phase.SETTLED, "verdict": None}), None),
        (control(**CLEAN).model_copy(update={"fault": {"kind": "process_kill"}}), None),
    ],
)
def test_what_a_control_run_says(run: Run, result: ControlResult | None) -> None:
    assert control_result(run) is result


@pytest.mark.parametrize(
    "figure",
    [
        {"t_impact": T0},
        {"failed_requests": 1},
        {"slow_requests": 1},
        {"error_window_seconds": 0.1},
        {"stretches": (Stretch(start_ns=1, end_ns=2),)},
    ],
)
def test_harm_is_harm_in_whatever_figure(figure: dict[str, Any]) -> None:
    quiet = WitnessReport(witness="client", status="ok", **CLEAN)  # type: ignore[arg-type]
    assert not tells_of_harm(quiet)
    assert tells_of_harm(quiet.model_copy(update=figure))


def test_a_run_is_counted_once() -> None:
    figures = ServiceFigures()
    for _ in range(3):
        figures.take_run(control(**CLEAN))
    assert figures.control_status()["clean"] == 1


def test_the_bound_needs_a_conclusive_run() -> None:
    figures = ServiceFigures()
    figures.take_run(control(verdict=Verdict.INCONCLUSIVE))
    assert figures.control_status() == {"clean": 0, "false_finding": 0, "inconclusive": 1, "rate_upper_95": None}
    for number in range(1, 59):
        figures.take_run(control(number, **CLEAN))
    bound = figures.control_status()["rate_upper_95"]
    assert bound == pytest.approx(1 - 0.05 ** (1 / 58), abs=1e-5), "the rule of three, exactly"
    figures.take_run(control(60, verdict=Verdict.RECOVERED, t_impact=T0))
    assert figures.control_status()["rate_upper_95"] > bound


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_restart_forgets_nothing(store: Store) -> None:
    """More control runs than one page holds, some under another name, beside runs that are none."""
    for number in range(PAGE + 5):
        store.save_run(control(number, **CLEAN))
    store.save_run(control(900, name="quiet", verdict=Verdict.RECOVERED, t_impact=T0))
    store.save_run(make_run(901, phase=Phase.FINISHED, verdict=Verdict.RECOVERED))
    store.save_incident(Incident(start_ns=T0, end_ns=T0 + 30 * SECOND))
    store.save_incident(Incident(start_ns=T0 + 100 * SECOND, first_error="timeout"))

    figures = ServiceFigures.restored(store, ["none", "quiet"])
    store.close()

    assert figures.controls == {ControlResult.CLEAN: PAGE + 5, ControlResult.FALSE_FINDING: 1}
    status = figures.incident_status(T0 + 104 * SECOND)
    assert (status["count"], status["seconds"]) == (2, 34.0)
    assert status["last"]["first_error"] == "timeout"


def test_an_empty_store_has_no_figures(store: Store) -> None:
    figures = ServiceFigures.restored(store, ["none"])
    store.close()
    assert figures.incident_status(T0) == {"count": 0, "seconds": 0.0, "last": None}
    assert figures.control_status()["rate_upper_95"] is None


def test_incidents_are_counted_when_they_open_and_measured_when_they_close() -> None:
    figures = ServiceFigures()
    opened = Incident(id=1, start_ns=T0)
    figures.take_incident(opened, fresh=True)
    assert figures.incident_status(T0 + 5 * SECOND)["seconds"] == 5.0
    figures.take_incident(opened.model_copy(update={"end_ns": T0 + 8 * SECOND}), fresh=False)
    assert figures.incident_status(T0 + 60 * SECOND)["seconds"] == 8.0
    assert figures.incidents == 1


def test_metrics_go_on_where_the_store_ended() -> None:
    figures = ServiceFigures()
    figures.take_run(control(**CLEAN))
    figures.take_incident(Incident(id=1, start_ns=T0, end_ns=T0 + 30 * SECOND), fresh=True)
    still = Incident(id=2, start_ns=T0 + 100 * SECOND)
    figures.take_incident(still, fresh=True)
    metrics = Metrics(deployment="d", env={})
    metrics.restore(figures)
    # the incident that an earlier process opened is closed by this one: no new incident
    metrics.incident(still.model_copy(update={"end_ns": T0 + 104 * SECOND}))
    metrics.run_changed(control(7, **CLEAN))
    page = metrics.render()[0].decode()
    metrics.shutdown()

    found = {
        (s.name, s.labels.get("result", "")): s.value
        for family in text_string_to_metric_families(page)
        for s in family.samples
    }
    assert found["aftershock_incidents_total", ""] == 2
    assert found["aftershock_incident_seconds_total", ""] == 34
    assert found["aftershock_incident_active", ""] == 0
    assert found["aftershock_control_runs_total", "clean"] == 2
    assert found["aftershock_control_runs_total", "false_finding"] == 0


def test_the_status_page_has_them(tmp_path: Path) -> None:
    service = Service(
        Settings.model_validate(
            {
                "data_dir": tmp_path,
                "deployment": {"endpoint": {"url": "http://127.0.0.1:1", "model": "m"}},
                "probes": [{"name": "chat"}],
            }
        )
    )
    try:
        service._run_changed(control(**CLEAN))
        status = service.status()
    finally:
        service.store.close()
        service.metrics.shutdown()
    assert status["control_runs"]["clean"] == 1
    assert status["incidents"] == {"count": 0, "seconds": 0.0, "last": None}
    assert status["incidents_total"] == 0


def test_the_last_run_of_each_fault_is_shown_after_a_restart(store: Store) -> None:
    """The newest that was no refusal, with its instants and verdict; it is not counted again."""
    entered = Transition(phase=Phase.INJECTED, at_ns=T0), Transition(phase=Phase.FINISHED, at_ns=T0 + 40 * SECOND)
    missed = (ObjectiveResult(objective="recovery_seconds", limit=5, value=9, met=False),)
    ended = {"phase": Phase.FINISHED, "transitions": entered}
    store.save_run(make_run(1, verdict=Verdict.RECOVERED, **ended))
    store.save_run(make_run(2, verdict=Verdict.NOT_RECOVERED, objective_results=missed, **ended))
    store.save_run(make_run(3, verdict=Verdict.SKIPPED, **ended))
    figures = ServiceFigures.restored(store, ["none"], ["none", "worker"])
    store.close()
    assert [run.verdict for run in figures.last_runs] == [Verdict.NOT_RECOVERED]

    metrics = Metrics(deployment="d", env={})
    metrics.restore(figures)
    page = metrics.render()[0].decode()
    metrics.shutdown()
    found = {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    name = figures.last_runs[0].fault_name
    assert found["aftershock_fault_last_verdict", frozenset({name, "not_recovered"})] == 1
    assert found["aftershock_fault_last_timestamp_seconds", frozenset({name, "injected"})] == T0 / 1e9
    assert found["aftershock_fault_last_timestamp_seconds", frozenset({name, "finished"})] == T0 / 1e9 + 40
    assert found["aftershock_fault_objective_met", frozenset({name, "recovery_seconds"})] == 0
    assert not [one for one in found if one[0] == "aftershock_fault_runs_total"], "it was counted when it ended"
