"""The data of one run's report."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from monitor.measure.columns import OUTCOMES
from monitor.model import Phase, Verdict
from monitor.report import of_run
from monitor.report.model import RunReport
from monitor.report.of_run import run_report, window_of
from monitor.store.store import Store
from probes.record import ErrorClass, Gap, Outcome
from tests.report.build import making, one_run, run_at
from tests.support.records import SECOND, T0, failed, record


def test_before_hurt_and_afterwards(one: RunReport) -> None:
    assert one.before is not None
    assert one.during is not None
    assert one.after is not None
    # request 59 was in flight at the injection: not before, and of those it met
    assert (one.before.good, one.before.failed) == (29, 0)
    assert (one.during.good, one.during.failed) == (1, 8)
    assert (one.after.good, one.after.failed) == (32, 0)
    assert one.during.good_ratio == pytest.approx(1 / 9)


def test_quantiles_are_those_of_the_requests(one: RunReport) -> None:
    assert one.before is not None
    assert one.before.latency is not None
    lives = [0.5 + n / 1000 for n in range(30, 59)]
    assert one.before.latency.count == 29
    assert one.before.latency.mean == pytest.approx(np.mean(lives))
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert getattr(one.before.latency, name) == pytest.approx(np.quantile(lives, share))
    assert one.before.latency.longest == pytest.approx(max(lives))
    assert one.before.throughput == pytest.approx(29 / 30)


def test_errors_and_bad_requests_with_their_traces(one: RunReport) -> None:
    assert [(e.error, e.count, e.example) for e in one.errors] == [("connection_refused", 8, "connect: refused")]
    assert one.bad_total == len(one.bad) == 8
    assert one.bad[0].trace_id == uuid.UUID(int=61, version=4).hex
    assert one.bad[0].start_ns == T0 + 60 * SECOND


def test_the_picture_has_all_that_failed(one: RunReport) -> None:
    drawn = [one.points.base_ns + s * 1000 for s, o in zip(one.points.start_us, one.points.outcome, strict=True)
             if OUTCOMES[o] is Outcome.FAILED]  # fmt: skip
    assert drawn == [T0 + n * SECOND for n in range(60, 68)]
    assert sum(b.failed for b in one.buckets) == 8
    assert sum(b.good + b.failed for b in one.buckets) == one.points.of == 70


def test_what_is_missing_is_said(one: RunReport) -> None:
    assert one.missing == ("the trace witness is absent: no traces section is configured",)


def test_gaps_lost_requests_and_an_unjudged_objective_are_missing(store: Store) -> None:
    run = one_run(store)
    result = run.objective_results[0].model_copy(update={"met": None})
    lost = record(500, start=70.5, outcome=Outcome.LOST, error=ErrorClass.LOST)
    store.add([lost], [Gap("chat", T0 + 80 * SECOND, T0 + 82 * SECOND, "aiperf ended")])
    report = run_report(store, run.model_copy(update={"objective_results": (result,)}), making())
    said = "\n".join(report.missing)
    assert "1 request lost" in said
    assert "probe chat sent nothing for 2.0 s: aiperf ended" in said
    assert "objective recovery_seconds could not be judged" in said
    assert report.holes[0].reason == "aiperf ended"


def test_folded_requests_are_said_and_give_no_figures(store: Store) -> None:
    run = one_run(store)
    store.fold(T0 + 120 * SECOND)
    report = run_report(store, run, making())
    assert report.before is report.during is report.after is report.since is report.whole is None
    assert "are folded into counts a minute" in report.missing[0]
    assert report.bad_total == 8, "bad requests outlive the fold"


def test_a_fold_of_earlier_days_changes_nothing(store: Store, one: RunReport) -> None:
    run = one_run(store)
    store.add([record(9, start=-600)])
    store.fold(T0 - 60 * SECOND)
    assert run_report(store, run, making()) == one


def test_a_run_that_was_refused_has_no_before(store: Store) -> None:
    run = run_at(60, recovery=None, t_inject=None, t_effect=None, witnesses=(), transitions=(), verdict=Verdict.SKIPPED)
    report = run_report(store, run, making())
    assert report.before is None
    assert "nothing was injected" in "\n".join(report.missing)
    assert not any("witness" in line for line in report.missing)


def test_a_run_that_goes_on_is_observed_until_now(store: Store) -> None:
    run = run_at(60, transitions=(), t_finished=None, phase=Phase.EFFECTIVE, verdict=None)
    assert window_of(run, making()) == (T0 + 30 * SECOND, making().now_ns)
    assert "has not ended" in run_report(store, run, making()).missing[0]


def test_beyond_the_list_the_picture_and_counts_have_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_run, "MOST_BAD", 3)
    report = run_report(store, one_run(store), making())
    assert (len(report.bad), report.bad_total, report.errors[0].count) == (3, 8, 8)
    assert sum(OUTCOMES[o] is Outcome.FAILED for o in report.points.outcome) == 8


def test_a_run_of_hours_is_read_stretch_by_stretch(store: Store) -> None:
    run = run_at(60, t_finished=T0 + 9000 * SECOND, transitions=())
    store.add([record(n, start=n * 10.0 + 8, life=5.0) for n in range(800)])
    report = run_report(store, run, making())
    assert report.points.of == sum(b.good for b in report.buckets) == 797
    assert report.whole is not None
    assert report.whole.good == 798, "by its end, one that began before the window belongs to it"


def test_an_id_that_is_no_uuid_has_no_trace(store: Store) -> None:
    run = one_run(store)
    store.add([failed(700, start=75.2, request_id=str(uuid.UUID(int=7))), failed(701, start=75.3)])
    assert of_run.trace_id("no uuid") == ""
    assert run_report(store, run, making()).bad_total == 10
