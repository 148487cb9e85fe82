"""What must hold for every run, whatever its requests are (hypothesis)."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.measure.client import RunTimes, measure_client
from monitor.measure.columns import Columns
from monitor.measure.windows import union
from monitor.model import Verdict, WitnessReport
from probes.record import Gap, Outcome, Record
from tests.measure.build import INJECT, INTERVAL, MS, Judge, S, at, look, measure, rec, times

JUDGE = Judge(baseline_seconds=4.0, hold_seconds=2.0, hold_requests=4)
UNTIL = 16.0
INSTANTS = ("t_impact", "t_first_good", "t_recovered")
KINDS = st.sampled_from([Outcome.GOOD] * 6 + [Outcome.FAILED, Outcome.SLOW, Outcome.TRUNCATED])


@st.composite
def runs(draw: st.DrawFn, probes: tuple[str, ...] = ("a", "b"), *, clean_baseline: bool = False) -> list[Record]:
    """Two probes with jittered starts and any outcomes and durations."""
    records: list[Record] = []
    for probe in draw(st.sets(st.sampled_from(probes), min_size=1)):
        interval = draw(st.sampled_from([100, 250, 400])) * MS
        for i in range(round((4.5 + UNTIL) * S) // interval):
            start = at(-4.5) + i * interval + draw(st.integers(0, 60)) * MS
            outcome = draw(KINDS)
            if clean_baseline and start < INJECT:
                outcome = Outcome.GOOD
            latency = draw(st.sampled_from([20, 80, 900, 2500])) * MS
            records.append(rec(start, outcome, probe=probe, latency=latency, number=len(records)))
    return records


RUN = times(UNTIL, effect=0.2, acting=3.0, reverted=3.1)
FEW = settings(max_examples=40, deadline=None)


def reports(records: list[Record], run: RunTimes = RUN, **more: Any) -> list[WitnessReport]:
    return measure(records, run, judge=JUDGE, intervals={r.probe: INTERVAL for r in records}, **more)


@FEW
@given(runs(), st.integers(-(10**17), 10**17))
def test_shifting_time_shifts_instants_and_nothing_else(records: list[Record], shift: int) -> None:
    later = [replace(r, start_ns=r.start_ns + shift, end_ns=r.end_ns + shift) for r in records]
    moved = {f.name: getattr(RUN, f.name) for f in fields(RUN)}
    moved = {n: v + shift if isinstance(v, int) and not isinstance(v, bool) else v for n, v in moved.items()}

    for here, there in zip(reports(records), reports(later, RunTimes(**moved)), strict=True):
        expected = here.model_copy(
            update={
                **{n: None if (t := getattr(here, n)) is None else t + shift for n in INSTANTS},
                "stretches": tuple(
                    s.model_copy(update={"start_ns": s.start_ns + shift, "end_ns": s.end_ns + shift})
                    for s in here.stretches
                ),
            }
        )
        assert there == expected


@FEW
@given(runs(), st.randoms(use_true_random=False))
def test_order_of_arrival_changes_nothing(records: list[Record], random: Any) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    assert reports(shuffled) == reports(records)


@FEW
@given(runs(), st.lists(st.integers(0, 4), min_size=200, max_size=200), st.randoms(use_true_random=False))
def test_batches_in_any_order_change_nothing(records: list[Record], batch_of: list[int], random: Any) -> None:
    """Records reach the witness from memory and from the store, in batches of any size."""
    batches: list[list[Record]] = [[] for _ in range(5)]
    for record, number in zip(records, itertools.cycle(batch_of), strict=False):
        batches[number].append(record)
    random.shuffle(batches)
    columns = Columns.concat([Columns.of(batch) for batch in batches])
    intervals = {r.probe: INTERVAL for r in records}
    given_in_batches = measure_client(
        columns,
        times=RUN,
        in_flight=[],
        gaps=[],
        intervals_ns=intervals,
        overdue_ns=dict.fromkeys(intervals, 5 * S),
        settings=JUDGE,
    )
    assert given_in_batches == reports(records)


@FEW
@given(runs(), st.lists(st.integers(0, 3000), max_size=20))
def test_good_requests_outside_change_no_window(records: list[Record], offsets: list[int]) -> None:
    """Before the baseline, and after the observation."""
    probe = records[0].probe
    outside = [rec(at(-9) + o * MS, probe=probe) for o in offsets] + [
        rec(at(UNTIL) + o * MS, probe=probe) for o in offsets
    ]
    assert reports([*records, *outside]) == reports(records)


@FEW
@given(runs(clean_baseline=True), st.data())
def test_good_requests_outside_the_window_move_no_edge(records: list[Record], data: st.DataObject) -> None:
    """Within the observation, but before the impact or after the recovery."""
    before = reports(records)[0]
    if before.t_impact is None or before.t_recovered is None:
        return
    probe = data.draw(st.sampled_from(sorted({r.probe for r in records})))
    starts = data.draw(st.lists(st.integers(INJECT, at(UNTIL) - 100 * MS), max_size=10))
    added = [rec(s, probe=probe) for s in starts if s < before.t_impact or s > before.t_recovered]
    after = reports([*records, *added])[0]
    assert [getattr(after, n) for n in INSTANTS] == [getattr(before, n) for n in INSTANTS]
    assert after.stretches == before.stretches


@FEW
@given(st.integers(0, 9000), st.integers(0, 9000), st.integers(0, 5000), st.sampled_from([100, 250, 330]))
def test_longer_outage_never_gives_a_shorter_window(begin: int, length: int, more: int, interval: int) -> None:
    def window(end: int) -> WitnessReport:
        starts = range(at(-4.5), at(UNTIL), interval * MS)
        kinds = [Outcome.FAILED if begin * MS <= s - INJECT < end * MS else Outcome.GOOD for s in starts]
        return reports([rec(s, k, probe="a") for s, k in zip(starts, kinds, strict=True)])[0]

    short, long = window(begin + length), window(begin + length + more)
    assert (short.error_window_seconds or 0) <= (long.error_window_seconds or 0)
    assert (short.bad_seconds or 0) <= (long.bad_seconds or 0)
    assert short.failed_requests is not None
    assert long.failed_requests is not None
    assert short.failed_requests <= long.failed_requests
    assert short.censored <= long.censored
    if short.verdict is Verdict.RECOVERED and short.error_window_seconds is not None:
        touched = min(length, 16_000 - begin) / 1000
        assert abs(short.error_window_seconds - touched) <= interval / 1000


@FEW
@given(runs(clean_baseline=True), st.data())
def test_one_more_bad_request_never_shortens_anything(records: list[Record], data: st.DataObject) -> None:
    at_risk = [i for i, r in enumerate(records) if r.outcome is Outcome.GOOD and r.end_ns >= INJECT]
    if not at_risk:
        return
    worse = list(records)
    i = data.draw(st.sampled_from(at_risk))
    worse[i] = replace(worse[i], outcome=Outcome.FAILED)
    was, now = reports(records)[0], reports(worse)[0]
    assert (was.error_window_seconds or 0) <= (now.error_window_seconds or 0)
    assert (was.bad_seconds or 0) <= (now.bad_seconds or 0)


@FEW
@given(runs())
def test_parts_fit_together(records: list[Record]) -> None:
    together, *each = reports(records)
    each = each or [together]
    assert together.failed_requests == sum(r.failed_requests or 0 for r in each)
    assert together.requests == sum(r.requests or 0 for r in each)
    impacts = [r.t_impact for r in each if r.t_impact is not None]
    assert together.t_impact == min(impacts, default=None)
    if together.t_recovered is not None:
        assert together.t_recovered == max(r.t_recovered for r in each if r.t_recovered is not None)
    for r in (together, *each):
        assert r.stretches == tuple(sorted(r.stretches, key=lambda s: s.start_ns))
        for earlier, later in pairwise(r.stretches):
            assert earlier.end_ns < later.start_ns
        if r.t_impact is not None:
            assert r.error_window_seconds is not None
            assert r.bad_seconds is not None
            assert r.bad_seconds <= r.error_window_seconds + 1e-9
            assert r.stretches[0].start_ns == r.t_impact >= INJECT
            assert r.censored == (r.t_recovered is None)
            assert r.t_recovered in {None, r.stretches[-1].end_ns}
        if r.verdict is Verdict.NO_IMPACT:
            assert r.status == "ok"
            assert not r.stretches


@FEW
@given(runs(), st.floats(0, UNTIL), st.floats(0, 5))
def test_missing_data_is_never_good_news(records: list[Record], begin: float, length: float) -> None:
    gap = Gap(records[0].probe, at(begin), at(begin + length), "died")
    with_gap = reports(records, gaps=[gap])[0]
    assert with_gap.verdict is (Verdict.INCONCLUSIVE if begin < UNTIL else reports(records)[0].verdict)
    assert with_gap.t_impact == reports(records)[0].t_impact


@FEW
@given(runs(clean_baseline=True), st.integers(0, 12), st.integers(0, 4))
def test_a_lower_bound_stays_below_what_is_seen_later(records: list[Record], cut: int, more: int) -> None:
    """A censored window never exceeds what a longer observation of the same requests says."""
    early = reports(records, times(2.0 + cut))[0]
    late = reports(records, times(2.0 + cut + more))[0]
    if early.censored and early.error_window_seconds is not None and early.t_impact == late.t_impact:
        assert late.error_window_seconds is not None
        assert early.error_window_seconds <= late.error_window_seconds


@FEW
@given(runs(clean_baseline=True), st.floats(1, UNTIL))
def test_progress_and_report_agree(records: list[Record], until: float) -> None:
    run = times(until)
    if look(records, run, judge=JUDGE).settled:
        report = measure(records, run, judge=JUDGE)[0]
        assert not report.censored
        assert report.verdict in {Verdict.NO_IMPACT, Verdict.RECOVERED, Verdict.INCONCLUSIVE}


pairs = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)).map(lambda p: (p[0], p[0] + p[1])))


@settings(max_examples=200, deadline=None)
@given(pairs)
def test_union_covers_the_same_points(parts: list[tuple[int, int]]) -> None:
    merged = union(parts)
    covered = {x for begin, end in parts for x in range(begin, end)}
    assert {x for begin, end in merged for x in range(begin, end)} == covered
    assert all(a[1] < b[0] for a, b in pairwise(merged))
