"""The parts that judge, without any load: what they call right must be right, and what they call wrong, wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import SystemClock
from monitor.measure.client import RunTimes, measure_client
from monitor.measure.columns import Columns
from monitor.measure.controls import upper_bound
from monitor.model import Verdict
from probes.record import ErrorClass, Outcome, Record
from tests.accuracy.beside import Poll, log_gap_seconds, unready_seconds
from tests.accuracy.controls import control_runs
from tests.accuracy.lane import Ran
from tests.accuracy.plan import JUDGE, KIND, LanePlan, Outage, Pattern, full_plan, phase_seconds, quick_plan
from tests.accuracy.rate_alert import Rises, computed, evaluated, find, rises_of
from tests.accuracy.result import Result, as_json, misses, targets
from tests.accuracy.server import Met, Struck
from tests.accuracy.tables import short_table, tables
from tests.accuracy.truth import Compared, compare, plain_would_count, strays
from tests.support.debian import skip_or_fail

S = 1_000_000_000
T = 1000 * S
"""When the outage begins, monotonic."""


def rec(ran: Ran, key: str, at: int, outcome: Outcome = Outcome.GOOD) -> Record:
    start = ran.clock.from_monotonic(at)
    error = ErrorClass.NONE if outcome is Outcome.GOOD else ErrorClass.HTTP_500
    return Record(ran.plan.name, 0, len(ran.records), key, start, start + S // 10, outcome, error)


def lane(kind: str = "HTTP 500", *, begin: int = T, end: int = T + 2 * S, bad_until: int | None = None) -> Ran:
    """Two requests a second; the server harms what starts in the outage, the client says so up to `bad_until`."""
    ran = Ran(LanePlan("r2", 2.0), SystemClock())
    struck = Struck(Outage(7, KIND[kind], (end - begin) / S, 0.0), begin - S // 100, [(begin, end)])
    ran.struck.append(struck)
    for i in range(-20, 40):
        at = T + i * S // 2 + S // 4
        key = f"id{i}"
        harmed = begin <= at < end
        ran.met[key] = Met(at, 7 if harmed else None, whole=not harmed or struck.outage.kind.slow)
        called = (begin <= at < (bad_until or end)) and harmed
        slow = Outcome.SLOW if struck.outage.kind.slow else Outcome.FAILED
        ran.records.append(rec(ran, key, at, slow if called else Outcome.GOOD))
    ran.quiet = (ran.clock.from_monotonic(T + 10 * S), ran.clock.from_monotonic(T + 20 * S))
    witness(ran)
    return ran


def witness(ran: Ran) -> None:
    """The witness's word about the lane's outage."""
    struck = ran.struck[0]
    times = RunTimes(
        t_inject=ran.clock.from_monotonic(struck.inject_ns),
        t_effect=ran.clock.from_monotonic(struck.begin_ns),
        t_acting_until=ran.clock.from_monotonic(struck.end_ns),
        t_reverted=ran.clock.from_monotonic(struck.end_ns),
        observed_until=ran.clock.from_monotonic(struck.end_ns + 6 * S),
        horizon_ended=True,
    )
    ran.reports = measure_client(
        Columns.of(ran.records),
        times=times,
        in_flight=[],
        gaps=ran.gaps,
        intervals_ns={"r2": S // 2},
        overdue_ns={"r2": 3 * S},
        settings=JUDGE,
    )


def only(ran: Ran) -> Compared:
    (found,) = compare(ran)[0]
    return found


def test_a_witness_that_is_right_is_called_right() -> None:
    found = only(lane())
    assert (found.true_failed, found.counted_failed, found.touched, found.counts_equal) == (4, 4, True, True)
    assert found.verdict_right
    assert found.edges_met() == (True, True)
    assert found.impact_error_seconds == pytest.approx(0.25)
    assert found.recovery_error_seconds == pytest.approx(0.25)
    assert found.edge_errors()[0] == pytest.approx(0.5)


def test_a_witness_that_misses_a_failure_is_called_wrong() -> None:
    found = only(lane(bad_until=T + S))
    assert (found.true_failed, found.counted_failed, found.counts_equal) == (4, 2, False)
    assert found.edges_met() == (True, False)


def test_the_same_number_of_other_requests_is_not_equal() -> None:
    ran = lane()
    swapped = {"id0": "id9", "id9": "id0"}
    ran.records = [replace(r, request_id=swapped.get(r.request_id, r.request_id)) for r in ran.records]
    found = only(ran)
    assert found.true_failed == found.counted_failed
    assert not found.counts_equal


def test_an_outage_between_two_requests_touches_nobody() -> None:
    found = only(lane(begin=T + S // 3, end=T + S // 2))
    assert (found.touched, found.verdict, found.verdict_right) == (False, Verdict.NO_IMPACT, True)
    assert "0.5 s" in found.resolution
    assert found.impact_error_seconds is None
    assert not replace(found, verdict=str(Verdict.RECOVERED)).verdict_right


def test_slow_answers_are_compared_by_themselves() -> None:
    found = only(lane("slow tokens"))
    assert (found.true_failed, found.true_slow, found.counted_slow, found.counts_equal) == (0, 4, 4, True)


def test_a_request_that_never_arrived_is_of_the_outage_that_refused() -> None:
    ran = lane("refused")
    for i in range(4):
        del ran.met[f"id{i}"]
    found, harm = compare(ran)
    assert found[0].true_failed == 4
    assert found[0].counts_equal
    assert not harm.unexplained

    ran = lane("HTTP 500")
    del ran.met["id9"]
    _, harm = compare(ran)
    assert harm.unexplained == {"id9"}
    assert "id9" not in harm.failed[7]
    assert len(strays(ran, harm)) == 1


def test_a_bad_request_that_nobody_harmed_is_a_stray() -> None:
    ran = lane()
    ran.records[3] = replace(ran.records[3], outcome=Outcome.SLOW)
    (line,) = strays(ran, compare(ran)[1])
    assert "slow" in line


def test_controls_do_not_overlap_and_find_what_is_there() -> None:
    ran = lane(begin=T, end=T)
    controls = control_runs(ran)
    assert len(controls) == 1
    assert all(a.end_ns <= b.begin_ns for a, b in pairwise(controls))
    assert [c.report.verdict for c in controls] == [Verdict.NO_IMPACT]
    assert not any(c.false_finding or c.wobble for c in controls)

    ran.wobbles.append((controls[0].begin_ns + 1, controls[0].begin_ns + 2))
    late = next(i for i, r in enumerate(ran.records) if r.start_ns > controls[0].begin_ns)
    ran.records[late] = replace(ran.records[late], outcome=Outcome.FAILED)
    (control,) = control_runs(ran)
    assert control.wobble
    assert control.false_finding


@pytest.mark.parametrize(
    ("events", "trials", "bound"), [(0, 500, 0.00597), (0, 100, 0.02951), (1, 100, 0.04656), (5, 50, 0.19884)]
)
def test_upper_bound_is_clopper_and_pearsons(events: int, trials: int, bound: float) -> None:
    assert upper_bound(events, trials) == pytest.approx(bound, abs=2e-5)


def test_without_trials_nothing_is_bounded() -> None:
    assert upper_bound(0, 0) == 1.0


def result(*outages: Compared, **more: Any) -> Result:
    ran = lane(begin=T, end=T)
    plan = quick_plan(1)
    return Result(plan, outages, tuple(control_runs(ran)), more.get("strays", ()), "computed", "quiet")


def test_every_target_can_be_missed() -> None:
    good = only(lane())
    assert all(t.met for t in targets(result(good)))
    assert misses(result(good)) == []

    for changed, what in (
        (replace(good, impact_error_seconds=0.56), "impact"),
        (replace(good, recovery_error_seconds=-0.56), "recovery"),
        (replace(good, recovery_error_seconds=None), "recovery"),
        (replace(good, same_requests=False), "the same requests"),
        (replace(good, verdict=str(Verdict.NO_IMPACT)), "touched outages"),
        (replace(good, true_failed=0), "untouched"),
    ):
        assert any(not t.met and t.what.startswith(what) for t in targets(result(changed))), what
        assert len(misses(result(changed))) == 1
    assert any(not t.met for t in targets(result(good, strays=("a",))))
    full = replace(result(good), plan=full_plan(1))
    assert {t.what for t in targets(full) if not t.met} == {
        "outages, 200 wanted",
        "conclusive control runs, 500 wanted",
    }


def test_a_share_of_99_percent_is_enough_for_edges_and_not_for_counts() -> None:
    good = only(lane())
    off = replace(good, impact_error_seconds=1.0)
    assert all(t.met for t in targets(result(*[good] * 99, off)))
    assert not all(t.met for t in targets(result(*[good] * 98, off, off)))
    assert not all(t.met for t in targets(result(*[good] * 99, replace(good, counted_failed=3))))


def test_a_trace_witness_that_is_wrong_is_called_wrong() -> None:
    good = replace(only(lane()), trace_status="ok", trace_verdict="recovered", trace_true=(3, 1), trace_counted=(3, 1))
    assert good.trace_right
    assert not replace(good, trace_counted=(2, 1)).trace_right
    assert not replace(good, trace_counted=(3, 0)).trace_right
    assert not replace(good, trace_verdict="no_impact").trace_right, "harm that left no spans is not no harm"
    assert not all(t.met for t in targets(result(replace(good, trace_counted=(2, 1)))))


def test_tables_and_json_hold_every_kind() -> None:
    r = result(only(lane()), only(lane("slow tokens")))
    text = tables(r)
    assert all(f"| {k} " in text for k in KIND)
    short = short_table(r)
    assert all(f"| {k} " in short for k in KIND)
    assert [c.strip() for c in short.splitlines()[-1].split("|")[1:3]] == ["all", "2"]
    assert as_json(r)["outages"][0]["edges_met"] == (True, True)


def test_the_plans_are_what_the_issue_asks_for() -> None:
    plan = full_plan(1)
    outages = [(lane.rate, o) for lane in plan.lanes for o in lane.outages]
    assert len(outages) >= 200
    assert {r for r, _ in outages} == {2.0, 10.0, 50.0}
    assert {(r, o.kind.name) for r, o in outages} == {(r, k) for r in (2.0, 10.0, 50.0) for k in KIND}
    assert (min(o.seconds for _, o in outages), max(o.seconds for _, o in outages)) == (0.05, 60.0)
    assert len({o.number for _, o in outages}) == len(outages)
    assert max(lane.seconds for lane in plan.lanes) < plan.load_seconds - 120
    assert plan == full_plan(1)
    assert plan != full_plan(2)
    for rate, outage in outages:
        if outage.kind.pattern is Pattern.FLAP and outage.seconds >= phase_seconds(rate):
            assert round(outage.seconds / phase_seconds(rate)) % 2 == 1
    assert {o.kind.name for lane in quick_plan(1).lanes for o in lane.outages} == set(KIND)


# --- what others say -------------------------------------------------------------------------------


def struck(seconds: float, errors: tuple[int, ...] = ()) -> Struck:
    return Struck(Outage(1, KIND["HTTP 500"], seconds, 0.0), T, [(T, T + round(seconds * S))], list(errors))


def test_readiness_runs_from_the_first_refusal_to_the_next_success() -> None:
    polls = [Poll(T + i * S + S // 2, not 1 <= i < 4) for i in range(-3, 9)]
    assert unready_seconds(polls, struck(3.6)) == 3.0
    assert unready_seconds([replace(p, ready=True) for p in polls], struck(3.6)) == 0.0


def test_log_gap_is_the_longest_silence_that_touches_the_outage() -> None:
    lines = [T - 60 * S, T - 2 * S, T + S, T + 2 * S, T + 50 * S]
    assert log_gap_seconds(lines, struck(1.5)) == 3.0


def test_plain_aiperf_does_not_see_an_error_frame() -> None:
    assert plain_would_count("error frame in a 200", 9) == 0
    assert plain_would_count("HTTP 500", 9) == 9


rises = st.builds(
    Rises,
    errors=st.lists(st.floats(0, 60), max_size=8).map(lambda e: tuple(sorted(e))),
    seconds=st.floats(0.05, 60),
    phase=st.floats(0.001, 15),
)


@settings(max_examples=100, deadline=None)
@given(rises)
def test_an_alert_lasts_as_long_as_the_rate_window_sees_a_rise(one: Rises) -> None:
    on = computed(one)
    seen = {v for _, v in one.samples()}
    assert (on > 0) == (len(seen) > 1)
    assert on == 0 or 44 <= on <= 60 + 61


def test_computed_and_prometheus_say_the_same(tmp_path: Path) -> None:
    if find("prometheus") is None or find("promtool") is None:
        skip_or_fail("no prometheus and promtool: neither on PATH nor in .tools/debian")
    begin = [1000 * S + i * 3_700_000_000 for i in range(6)]
    outages = {i: rises_of([b + k * S // 2 for k in range(i * 8)], b, b + i * 4 * S) for i, b in enumerate(begin)}
    said, source = evaluated(outages, tmp_path)
    assert source.startswith("a real Prometheus")
    assert said[0] == 0
    assert said[5] > 45
    for number, one in outages.items():
        assert said[number] == pytest.approx(computed(one), abs=1.5)
