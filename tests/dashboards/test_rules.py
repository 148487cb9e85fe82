"""Each alert on made-up series, by promtool: it does not fire, it fires, it resolves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from dashboards.rules.facts import Facts, Schedule
from tests.dashboards.promtool import STEP, Fires, Values, firing, flat, series, steps

# A soak of six hours: the shortest period that settings take, so that windows are at their floor.
FACTS = Facts(
    deployment="demo",
    good_ratio=0.99,
    period_seconds=6 * 3600,
    request_rate=10.0,
    request_timeout_seconds=30.0,
    probes=("chat",),
    limits={"worker": {"recovery_seconds": 20.0}},
    schedules=(Schedule("daily", ("worker",), runs_per_day=60.0),),
    sources=("prometheus",),
)
GOOD = series("probe_requests_total", 'probe="chat",outcome="good",error=""')
BAD = series("probe_requests_total", 'probe="chat",outcome="failed",error="timeout"')
RATE = 600.0
"""Requests per minute."""


def stamp(fault: str, phase: str) -> str:
    return series("fault_last_timestamp_seconds", f'fault="{fault}",phase="{phase}"')


def verdict(word: str) -> str:
    return series("fault_last_verdict", f'fault="worker",verdict="{word}"')


def runs(word: str) -> str:
    return series("fault_runs_total", f'fault="worker",verdict="{word}"')


def world() -> dict[str, Values]:
    """A monitor with nothing to complain about, and another one beside it."""
    return {
        series("build_info", 'deployment="demo",version="1"'): flat(1),
        series("build_info", 'deployment="other",version="1"').replace("a:8600", "b:8600"): flat(1),
        GOOD: [(0, 0), (10_000, 10_000 * RATE)],
        BAD: flat(0),
        series("probe_up", 'probe="chat"'): flat(1),
        series("probe_gap_seconds_total", 'probe="chat"'): flat(0),
        series("slo_objective_ratio"): flat(0.99),
        series("fault_objective_limit", 'fault="worker",objective="recovery_seconds"'): flat(20),
        series("fault_active", 'fault="worker",component="worker"'): flat(0),
        series("fault_active", 'fault="frontend",component="frontend"'): flat(0),
        series("fault_active", 'fault="none",component=""'): flat(0),
        series("fault_deadline_timestamp_seconds", 'fault="worker"'): flat(0),
        **{
            stamp(f, p): flat(0)
            for f in ("worker", "frontend", "none")
            for p in ("injected", "effective", "reverted", "finished")
        },
        **{verdict(word): flat(0) for word in ("recovered", "not_recovered", "revert_failed")},
        **{runs(word): flat(0) for word in ("recovered", "not_recovered", "inconclusive", "not_injected", "no_impact")},
        series("schedule_next_run_timestamp_seconds", 'schedule="daily"'): [(0, 600), (10_000, 600_600)],
        series("schedule_skipped_total", 'schedule="daily",reason="busy"'): flat(0),
        series("reverts_stuck"): flat(0),
        series("stopped"): flat(0),
        series("leader"): flat(1),
        series("incident_active"): flat(0),
        series("source_up", 'source="prometheus"'): flat(1),
        series("store_errors_total"): flat(0),
        series("store_dropped_records_total"): flat(0),
    }


class Expect(Protocol):
    """Checks one alert; see `firing`."""

    def __call__(
        self,
        alert: str,
        changes: Mapping[str, Values],
        *expected: Fires,
        until: Mapping[str, float] | None = None,
        labels: str = "",
        step: int = STEP,
    ) -> None: ...


@pytest.fixture
def expect(promtool: Path, tmp_path: Path) -> Expect:
    def check(
        alert: str,
        changes: Mapping[str, Values],
        *expected: Fires,
        until: Mapping[str, float] | None = None,
        labels: str = "",
        step: int = STEP,
    ) -> None:
        given = world() | dict(changes)
        firing(promtool, tmp_path, alert, given, expected, facts=FACTS, until=until, labels=labels, step=step)

    return check


def a_run(fault: str, minute: float, *, ended: float | None = None, reverted: float | None = None) -> dict[str, Values]:
    """The stamps of a run: injected and effective at a minute, put back and finished later."""
    marks = {"injected": minute, "effective": minute, "reverted": reverted or minute, "finished": ended}
    return {stamp(fault, phase): steps((0, 0), (at, at * 60)) for phase, at in marks.items() if at is not None}


def failing(*stretches: tuple[float, float, float]) -> dict[str, Values]:
    """Bad requests: (from minute, to minute, share of all)."""
    points: list[tuple[float, float]] = [(0, 0)]
    count = 0.0
    for begin, end, share in stretches:
        points.append((begin, count))
        count += (end - begin) * RATE * share
        points.append((end, count))
    return {BAD: points}


# --- nothing wrong --------------------------------------------------------------------------------


def test_a_calm_monitor_sets_off_nothing(expect: Expect) -> None:
    expect("Aftershock.+", {}, Fires(5, 0), Fires(30, 0))


def test_a_wrong_expectation_is_noticed(expect: Expect) -> None:
    with pytest.raises(AssertionError, match="FAILED"):
        expect("AftershockIncident", {series("incident_active"): flat(1)}, Fires(5, 0))
    with pytest.raises(AssertionError, match="there is no alert"):
        expect("AftershockNoSuchAlert", {}, Fires(5, 0))


# --- the budget -----------------------------------------------------------------------------------


def test_unplanned_errors_burn_fast(expect: Expect) -> None:
    expect("AftershockErrorBudgetBurnFast", failing((30, 40, 0.2)), Fires(29, 0), Fires(36, 1), Fires(60, 0))


def test_errors_of_a_planned_fault_do_not_page_and_are_counted_all_the_same(expect: Expect) -> None:
    planned = failing((30, 30.3, 0.9)) | a_run("worker", 30, ended=31)
    expect("AftershockErrorBudgetBurnFast", planned, Fires(31, 0), Fires(33, 0), Fires(40, 0))
    expect("AftershockErrorBudgetBurnFast", failing((30, 30.3, 0.9)), Fires(32, 1))
    expect(
        "AftershockErrorBudgetBurnSlow",
        failing((30, 36, 0.9)) | a_run("worker", 30),
        Fires(29, 0),
        Fires(37, 1),
        Fires(200, 0),
    )


def test_errors_beyond_the_recovery_objective_page_though_a_fault_began_them(expect: Expect) -> None:
    long = failing((30, 45, 0.5)) | a_run("worker", 30)
    expect("AftershockErrorBudgetBurnFast", long, Fires(31, 0), Fires(38, 1), Fires(70, 0))


def test_errors_during_a_control_run_are_nobodys_plan(expect: Expect) -> None:
    expect("AftershockErrorBudgetBurnFast", failing((30, 40, 0.2)) | a_run("none", 30), Fires(36, 1))


def test_too_few_requests_say_nothing(expect: Expect) -> None:
    rare = {GOOD: [(0, 0), (10_000, 10_000 * 2.0)], BAD: [(0, 0), (30, 0), (40, 10)]}
    expect("AftershockErrorBudgetBurnFast", rare, Fires(36, 0), Fires(41, 0))


def test_a_trickle_of_errors_is_seen_in_the_long_windows(expect: Expect) -> None:
    expect("AftershockErrorBudgetBurnSlow", failing((10, 200, 0.025)), Fires(5, 0), Fires(190, 1), Fires(420, 0))
    expect("AftershockErrorBudgetBurnFast", failing((10, 200, 0.011)), Fires(190, 0))


def test_the_budget_is_spent_when_the_period_has_too_many(expect: Expect) -> None:
    expect("AftershockErrorBudgetSpent", failing((300, 330, 0.5)), Fires(290, 0), Fires(340, 1), Fires(720, 0))
    expect("AftershockErrorBudgetSpent", failing((300, 301, 0.5)), Fires(340, 0))


# --- planned faults -------------------------------------------------------------------------------


def test_a_planned_fault_is_told_until_its_objective_is_over(expect: Expect) -> None:
    # 20 s of objective, and 105 s in which its failures can still be counted.
    told = a_run("worker", 10, ended=11) | {
        series("fault_active", 'fault="worker",component="worker"'): steps((0, 0), (10, 1))
    }
    expect("AftershockFaultActive", told, Fires(9, 0), Fires(10.5, 1), Fires(12, 1), Fires(12.5, 0), Fires(30, 0))


def test_a_fault_without_objective_is_planned_while_it_acts_and_for_a_horizon(expect: Expect) -> None:
    active = {series("fault_active", 'fault="frontend",component="frontend"'): steps((0, 0), (10, 1), (20, 0))}
    told = a_run("frontend", 10, reverted=20) | active
    expect("AftershockFaultActive", told, Fires(9, 0), Fires(18, 1), Fires(23, 1), Fires(24, 0))


def test_a_control_run_is_no_planned_fault(expect: Expect) -> None:
    active = {series("fault_active", 'fault="none",component=""'): steps((0, 0), (10, 1))}
    expect("AftershockFaultActive", a_run("none", 10) | active, Fires(10.5, 0))


# --- runs that ended badly ------------------------------------------------------------------------


def test_impact_that_outlasts_the_objective(expect: Expect) -> None:
    hurt = failing((10, 20, 0.5))
    expect("AftershockImpactOutlastsObjective", hurt | a_run("worker", 10), Fires(11, 0), Fires(13, 1), Fires(22, 0))
    in_time = failing((10, 10.5, 0.5)) | a_run("worker", 10)
    expect("AftershockImpactOutlastsObjective", in_time, Fires(11, 0), Fires(13, 0))
    healed = hurt | a_run("worker", 10, ended=11) | {verdict("recovered"): steps((0, 0), (11, 1))}
    expect("AftershockImpactOutlastsObjective", healed, Fires(13, 0))
    lost = hurt | a_run("worker", 10, ended=12) | {verdict("not_recovered"): steps((0, 0), (12, 1))}
    expect("AftershockImpactOutlastsObjective", lost, Fires(14, 1), Fires(22, 0))


def test_not_recovered(expect: Expect) -> None:
    lost = {verdict("not_recovered"): steps((0, 0), (12, 1))} | a_run("worker", 10, ended=12)
    expect("AftershockNotRecovered", lost, Fires(11, 0), Fires(13, 1), Fires(43, 0))
    better = lost | {verdict("not_recovered"): steps((0, 0), (12, 1), (20, 0))}
    expect("AftershockNotRecovered", better, Fires(13, 1), Fires(21, 0))


def test_objective_missed(expect: Expect) -> None:
    met = series("fault_objective_met", 'fault="worker",objective="recovery_seconds"')
    expect("AftershockObjectiveMissed", {met: steps((0, 1), (10, 0), (20, 1))}, Fires(9, 0), Fires(11, 1), Fires(21, 0))


def test_revert_failed(expect: Expect) -> None:
    failed = {verdict("revert_failed"): steps((0, 0), (12, 1))} | a_run("worker", 10, ended=12)
    expect("AftershockRevertFailed", failed, Fires(11, 0), Fires(13, 1), Fires(43, 0))


def test_revert_stuck(expect: Expect) -> None:
    stuck = {series("reverts_stuck"): steps((0, 0), (10, 1), (20, 0))}
    expect("AftershockRevertStuck", stuck, Fires(9, 0), Fires(10.5, 0), Fires(12, 1), Fires(21, 0))


def test_fault_overdue(expect: Expect) -> None:
    deadline = series("fault_deadline_timestamp_seconds", 'fault="worker"')
    expect(
        "AftershockFaultOverdue",
        {deadline: steps((0, 0), (10, 660), (20, 0))},
        Fires(11, 0),
        Fires(12, 1),
        Fires(21, 0),
    )


def test_inconclusive(expect: Expect) -> None:
    blind = {runs("inconclusive"): steps((0, 0), (10, 1), (20, 2)), runs("not_injected"): steps((0, 0), (30, 1))}
    expect("AftershockInconclusive", blind, Fires(25, 0), Fires(35, 1))
    expect("AftershockInconclusive", blind | {runs("recovered"): steps((0, 0), (40, 1))}, Fires(35, 1), Fires(45, 0))


# --- over many runs -------------------------------------------------------------------------------


def recoveries(*seconds: float, every: float) -> dict[str, Values]:
    """A run every so many minutes."""
    labels = 'fault="worker",witness="client"'
    times = [(n + 1) * every for n in range(len(seconds))]
    sums = [(at, sum(seconds[: n + 1])) for n, at in enumerate(times)]
    counts = [(at, n + 1.0) for n, at in enumerate(times)]
    return {
        series("fault_recovery_seconds_sum", labels): steps((0, 0), *sums),
        series("fault_recovery_seconds_count", labels): steps((0, 0), *counts),
    }


def test_recovery_regression(expect: Expect) -> None:
    # 60 runs a day: five are two hours, and the history is the eight hours before.
    slower = recoveries(*[10.0] * 18, *[25.0] * 6, *[10.0] * 8, every=24)
    expect("AftershockRecoveryRegression", slower, Fires(17 * 24, 0), Fires(24 * 24, 1), Fires(32 * 24, 0), step=60)


def test_a_steady_recovery_and_a_short_history_are_no_regression(expect: Expect) -> None:
    expect("AftershockRecoveryRegression", recoveries(*[10.0, 12.0] * 12, every=24), Fires(24 * 24, 0), step=60)
    expect(
        "AftershockRecoveryRegression",
        recoveries(*[10.0] * 3, *[40.0] * 5, every=24),
        Fires(8 * 24 + 2, 0),
        step=60,
    )


def test_false_findings(expect: Expect) -> None:
    clean = series("control_runs_total", 'result="clean"')
    false = series("control_runs_total", 'result="false_finding"')
    expect(
        "AftershockFalseFindings",
        {clean: steps((0, 0), (5, 4), (60, 30)), false: steps((0, 0), (10, 1), (20, 2))},
        Fires(15, 0),
        Fires(25, 1),
        Fires(65, 0),
    )


def test_witnesses_disagree(expect: Expect) -> None:
    labels = 'pair="client_server",status='
    agree, apart = (
        series("witness_comparisons_total", labels + '"agree"'),
        series("witness_comparisons_total", labels + '"disagree"'),
    )
    expect(
        "AftershockWitnessesDisagree",
        {agree: steps((0, 0), (5, 3), (60, 30)), apart: steps((0, 0), (10, 1), (20, 3))},
        Fires(15, 0),
        Fires(25, 1),
        Fires(65, 0),
    )


# --- the monitor ----------------------------------------------------------------------------------


def test_absent(expect: Expect) -> None:
    own = series("build_info", 'deployment="demo",version="1"')
    expect("AftershockAbsent", {}, Fires(9, 0), Fires(13, 0), Fires(21, 1), until={own: 10})


def test_no_leader(expect: Expect) -> None:
    other = series("leader").replace("a:8600", "b:8600")
    lost: Values = [(0, 1), (9, 1), (10, 0), (10_000, 0)]
    standing_by: dict[str, Values] = {
        series("build_info", 'deployment="demo",version="1"').replace("a:8600", "c:8600"): flat(1),
        series("leader").replace("a:8600", "c:8600"): flat(0),
    }
    expect("AftershockNoLeader", {}, Fires(21, 0))
    expect("AftershockNoLeader", standing_by, Fires(21, 0))
    expect("AftershockNoLeader", standing_by | {series("leader"): lost}, Fires(9, 0), Fires(11, 0), Fires(13, 1))
    # Whoever leads the other deployment is no help.
    expect("AftershockNoLeader", {series("leader"): lost, other: flat(1)}, Fires(13, 1))


def test_objective_absent(expect: Expect) -> None:
    limit = series("fault_objective_limit", 'fault="worker",objective="recovery_seconds"')
    expect(
        "AftershockObjectiveAbsent",
        {},
        Fires(9, 0),
        Fires(26, 1),
        until={limit: 10},
        labels='of="worker",objective="recovery_seconds"',
    )
    expect(
        "AftershockObjectiveAbsent",
        {},
        Fires(9, 0),
        Fires(26, 1),
        until={series("slo_objective_ratio"): 10},
        labels='of="slo"',
    )
    expect("AftershockObjectiveAbsent", {}, Fires(26, 1), until={GOOD: 10, BAD: 10}, labels='of="probe chat"')
    everything = dict.fromkeys(world(), 10.0)
    expect("AftershockObjectiveAbsent", {}, Fires(26, 0), until=everything)


def test_probe_down(expect: Expect) -> None:
    up = series("probe_up", 'probe="chat"')
    expect("AftershockProbeDown", {up: steps((0, 1), (10, 0), (20, 1))}, Fires(10.5, 0), Fires(12, 1), Fires(21, 0))
    other = up.replace("a:8600", "b:8600")
    expect("AftershockProbeDown", {other: flat(0)}, Fires(12, 0))


def test_probe_gap(expect: Expect) -> None:
    gap = series("probe_gap_seconds_total", 'probe="chat"')
    expect("AftershockProbeGap", {gap: steps((0, 0), (10, 12))}, Fires(9, 0), Fires(11, 1), Fires(30, 0))


def test_schedule_not_running(expect: Expect) -> None:
    following = series("schedule_next_run_timestamp_seconds", 'schedule="daily"')
    stuck = {following: steps((0, 600), (30, 3600))}
    expect("AftershockScheduleNotRunning", stuck, Fires(11, 0), Fires(18, 1), Fires(31, 0))
    expect("AftershockScheduleNotRunning", {following: flat(0)}, Fires(10, 1))
    expect("AftershockScheduleNotRunning", {}, Fires(9, 0), Fires(21, 1), until={following: 10})


def test_schedule_skipping(expect: Expect) -> None:
    skipped = series("schedule_skipped_total", 'schedule="daily",reason="busy"')
    expect("AftershockScheduleSkipping", {skipped: steps((0, 0), (5, 1), (10, 2), (15, 3))}, Fires(12, 0), Fires(16, 1))


def test_stopped_for_long(expect: Expect) -> None:
    expect(
        "AftershockStoppedForLong",
        {series("stopped"): steps((0, 0), (10, 1), (80, 0))},
        Fires(60, 0),
        Fires(72, 1),
        Fires(81, 0),
    )


def test_source_down(expect: Expect) -> None:
    up = series("source_up", 'source="prometheus"')
    expect("AftershockSourceDown", {up: steps((0, 1), (10, 0), (20, 1))}, Fires(12, 0), Fires(16, 1), Fires(21, 0))


def test_store_trouble(expect: Expect) -> None:
    for name in ("store_errors_total", "store_dropped_records_total"):
        expect(
            "AftershockStoreTrouble", {series(name): steps((0, 0), (10, 3))}, Fires(9, 0), Fires(11, 1), Fires(17, 0)
        )


def test_incident(expect: Expect) -> None:
    expect(
        "AftershockIncident",
        {series("incident_active"): steps((0, 0), (10, 1), (20, 0))},
        Fires(9, 0),
        Fires(11, 1),
        Fires(21, 0),
    )
