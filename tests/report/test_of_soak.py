"""The data of a period's report."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.measure.controls import ControlResult, upper_bound
from monitor.model import Incident, Verdict
from monitor.report.model import SoakReport
from monitor.report.of_run import bar_width
from monitor.report.of_soak import soak_report
from monitor.store.store import Store
from tests.report.build import making, not_recovered, run_at, soak
from tests.support.records import SECOND, T0, failed, record

END = making().now_ns


def test_all_runs_are_there_oldest_first(ten_hours: SoakReport) -> None:
    assert [r.fault for r in ten_hours.runs[:4]] == ["worker", "worker_stall", "none", "worker"]
    assert len(ten_hours.runs) == 10


def test_faults_have_their_distribution(ten_hours: SoakReport) -> None:
    worker = next(f for f in ten_hours.faults if f.fault == "worker")
    found = [r.recovery_seconds for r in ten_hours.runs if r.fault == "worker" and r.recovery_seconds is not None]
    assert worker.runs == worker.recovery.count == len(found) == 4
    assert worker.recovery.median == pytest.approx(np.median(found))
    assert worker.recovery.p90 == pytest.approx(np.quantile(found, 0.9))
    assert worker.met == 4
    slowest = max((r for r in ten_hours.runs if r.fault == "worker"), key=lambda r: r.recovery_seconds or 0)
    assert worker.worst == slowest.id


def test_control_runs_bound_the_rate_of_false_findings(ten_hours: SoakReport) -> None:
    assert ten_hours.controls.counts == {ControlResult.CLEAN: 3}
    assert ten_hours.controls.rate_upper_95 == pytest.approx(upper_bound(0, 3))


def test_the_budget_says_whom_the_bad_requests_are_to_be_charged_to(store: Store) -> None:
    store.add([record(n) for n in range(300)])
    store.add([failed(1000 + n, start=s) for n, s in enumerate((60.1, 61.1, 99.9, 200.1, 280.1))])
    store.save_run(run_at(60))
    store.save_run(run_at(270, fault="none", recovery=None))
    store.save_incident(Incident(start_ns=T0 + 199 * SECOND, end_ns=T0 + 201 * SECOND, bad_requests=1))
    store.save_incident(Incident(start_ns=T0 + 99 * SECOND, end_ns=T0 + 101 * SECOND, bad_requests=1))
    budget = soak_report(store, T0, T0 + 300 * SECOND, making(good_ratio=0.9)).budget
    assert (budget.judged, budget.bad, budget.bad_in_runs) == (305, 5, 3)
    assert budget.bad_in_incidents == 1
    assert budget.bad_otherwise == 1, "a control run breaks nothing, so what fails in it is not its doing"
    assert budget.spent == pytest.approx(5 / 30.5)


def test_quantiles_of_several_stretches_are_merged_from_records(store: Store) -> None:
    lives = [0.1 + (n % 97) / 100 for n in range(400)]
    store.add([record(n, start=n * 30.0, life=life) for n, life in enumerate(lives)])
    report = soak_report(store, T0, T0 + 12_000 * SECOND, making())
    assert report.speed.latency is not None
    assert report.speed.latency.p99 == pytest.approx(np.quantile(lives, 0.99))
    assert report.speed.good == sum(b.good for b in report.buckets) == 400


def test_a_request_across_two_stretches_is_counted_once(store: Store) -> None:
    store.add([record(0, start=3599.9, life=5.0), record(1, start=10.0)])
    report = soak_report(store, T0, T0 + 7200 * SECOND, making())
    assert report.speed.good == 2


def test_folded_requests_are_counted_and_marked(store: Store) -> None:
    soak(store, hours=2)
    full = soak_report(store, T0, T0 + 7200 * SECOND, making())
    store.fold(T0 + 3600 * SECOND)
    report = soak_report(store, T0, T0 + 7200 * SECOND, making())
    assert report.speed.good == full.speed.good
    assert report.speed.folded_good > 300
    halves = [full.buckets[i : i + 2] for i in range(0, len(full.buckets), 2)]
    assert [(b.good, b.failed) for b in report.buckets] == [(sum(b.good for b in h), sum(b.failed for b in h)) for h in halves]  # fmt: skip
    assert report.speed.latency is not None
    assert report.speed.latency.count == report.speed.good - report.speed.folded_good
    assert any("folded" in line for line in report.missing)
    # its before and after come from what the run itself keeps
    first = report.runs[0]
    assert first.before is not None
    assert (first.before.good, first.before.latency) == (30, None)


def test_missing_data_is_marked(ten_hours: SoakReport) -> None:
    said = "\n".join(ten_hours.missing)
    assert "probe chat sent nothing in 1 gap of 300 s in all, the last: aiperf ended with exit code 1" in said
    assert "1 request lost from sight, 2 planned and never sent" in said
    assert "the trace witness could not say anything of 10 of 10 runs" in said


def test_an_empty_store_is_not_good_news(store: Store) -> None:
    report = soak_report(store, T0, END, making())
    assert report.speed.good_ratio is None
    assert report.budget.spent is None
    assert report.controls.rate_upper_95 is None
    assert "the store has no request of this period" in report.missing
    assert any("no control run" in line for line in report.missing)


def test_a_run_that_did_not_recover_pushes_quantiles_up(store: Store) -> None:
    for number, recovery in enumerate((4.0, 5.0)):
        store.save_run(run_at(100 * number, recovery=recovery))
    for number in (2, 3):
        store.save_run(not_recovered(100 * number, bound=1.0))
    worker = soak_report(store, T0 - 10 * SECOND, END, making()).faults[0]
    assert worker.recovery.median is None
    assert (worker.recovery.open_ended, worker.recovery.p25) == (2, 4.75)


def test_inconclusive_runs_have_no_figures_but_are_named(store: Store) -> None:
    store.save_run(run_at(60, verdict=Verdict.INCONCLUSIVE, reason="too few requests"))
    report = soak_report(store, T0, END, making())
    assert report.faults[0].recovery.count == 0
    assert any("1 run ended as inconclusive, the last: too few requests" in line for line in report.missing)


def test_one_fault_alone(store: Store) -> None:
    soak(store, hours=3)
    report = soak_report(store, T0, END, making(), fault="worker")
    assert {r.fault for r in report.runs} == {"worker"}


def test_time_without_requests_is_said(store: Store) -> None:
    store.add([record(0, start=10_000), record(1, start=20_000)])
    said = "\n".join(soak_report(store, T0, END, making()).missing)
    assert "2023-11-15 00:59:40 UTC: before it nothing is known" in said
    assert "2023-11-15 03:46:20 UTC: after it nothing is known" in said
    assert "of 300 stretches of the picture have no request" in said


@pytest.mark.parametrize("seconds", [1, 59, 3600, 86_400, 7 * 86_400, 4000 * 86_400])
def test_bars_are_never_too_many(seconds: int) -> None:
    width = bar_width(0, seconds * SECOND)
    assert seconds * SECOND / width <= 120
    assert width % SECOND == 0
