"""What must hold for the server's window, whatever was counted between the scrapes (hypothesis)."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.measure.server_window import Intervals, Ratio, ServerWindow, find_server_window

S = 1_000_000_000
T0 = 1_700_000_000 * S
INJECT = T0 + 5 * S
UNTIL = T0 + 60 * S
CLEAN = Ratio(good=100.0, bad=0.0)
FEW = settings(max_examples=100, deadline=None)

scrapes = st.lists(st.integers(300, 4000), min_size=20, max_size=40)
"""Milliseconds between scrapes."""


def counted_by(gaps: list[int], begin: int, end: int, every: int) -> Intervals:
    """A request ends every so many milliseconds; those that end in [begin, end) (ms from the injection) are errors."""
    grid = T0 + np.cumsum([0, *gaps], dtype=np.int64) * 1_000_000
    ends = np.arange(T0, UNTIL + 60 * S, every * 1_000_000, dtype=np.int64)
    bad = (ends >= INJECT + begin * 1_000_000) & (ends < INJECT + end * 1_000_000)

    def per_interval(instants: np.ndarray) -> np.ndarray:
        at = np.searchsorted(instants, grid, side="right")
        return np.diff(at).astype(np.float64)

    nothing = np.zeros(len(grid) - 1)
    return Intervals(grid[:-1], grid[1:], per_interval(ends[~bad]), per_interval(ends[bad]), nothing)


def window(intervals: Intervals, normal: Ratio = CLEAN, *, shift: int = 0) -> ServerWindow | None:
    return find_server_window(intervals, normal, t_inject=INJECT + shift, until=UNTIL + shift, rate_window_ns=60 * S)


def together(*parts: Intervals) -> Intervals:
    return Intervals(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Intervals)})


outages = st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)).map(lambda p: (p[0], p[0] + p[1]))


@FEW
@given(scrapes, outages, st.sampled_from([20, 100, 500]), st.integers(-(10**17), 10**17))
def test_shifting_time_shifts_the_window_and_nothing_else(
    gaps: list[int], outage: tuple[int, int], every: int, shift: int
) -> None:
    here = counted_by(gaps, *outage, every)
    there = replace(here, begin=here.begin + shift, end=here.end + shift)
    was, now = window(here), window(there, shift=shift)
    if was is not None:
        was = replace(was, stretches=tuple((a + shift, b + shift) for a, b in was.stretches))
    assert was == now


@FEW
@given(scrapes, outages, st.sampled_from([20, 100, 500]))
def test_the_window_holds_every_error_and_no_more_than_an_interval_beside(
    gaps: list[int], outage: tuple[int, int], every: int
) -> None:
    intervals = counted_by(gaps, *outage, every)
    found = window(intervals)
    begin, end = (INJECT + edge * 1_000_000 for edge in outage)
    scraped = (intervals.end > INJECT) & (intervals.end <= UNTIL)
    if found is None:
        assert not intervals.bad[scraped].any()
        return
    longest = int((intervals.end - intervals.begin).max())
    assert INJECT <= found.t_impact <= begin + every * 1_000_000
    assert begin - found.t_impact <= found.at_impact_ns <= longest
    assert found.end - end <= found.at_recovery_ns <= longest
    inside = sum(
        float(intervals.bad[(intervals.begin >= a - found.at_impact_ns) & (intervals.end <= b)].sum())
        for a, b in found.stretches
    )
    assert inside >= float(intervals.bad[scraped].sum())


@FEW
@given(scrapes, outages, st.integers(0, 10_000), st.sampled_from([20, 100, 500]))
def test_longer_outage_never_gives_a_shorter_window(
    gaps: list[int], outage: tuple[int, int], more: int, every: int
) -> None:
    short = window(counted_by(gaps, *outage, every))
    long = window(counted_by(gaps, outage[0], outage[1] + more, every))
    if short is None:
        return
    assert long is not None
    assert long.t_impact == short.t_impact
    assert long.end >= short.end
    assert sum(b - a for a, b in long.stretches) >= sum(b - a for a, b in short.stretches)


@FEW
@given(scrapes, scrapes, outages, outages, st.sampled_from([20, 100]))
def test_targets_in_any_order_give_one_window_that_holds_each_ones(
    first: list[int], second: list[int], one: tuple[int, int], other: tuple[int, int], every: int
) -> None:
    a, b = counted_by(first, *one, every), counted_by(second, *other, every)
    both = window(together(a, b))
    swapped = window(together(b, a))
    assert (both and (both.stretches, both.recovered)) == (swapped and (swapped.stretches, swapped.recovered))
    for alone in (window(a), window(b)):
        if alone is not None:
            assert both is not None
            assert both.t_impact <= alone.t_impact
            assert both.end >= alone.end


@FEW
@given(scrapes, outages, st.floats(1, 1e6))
def test_good_answers_elsewhere_move_no_edge(gaps: list[int], outage: tuple[int, int], more: float) -> None:
    intervals = counted_by(gaps, *outage, 100)
    busier = replace(intervals, good=np.where(intervals.bad > 0, intervals.good, intervals.good + more))
    was, now = window(intervals), window(busier)
    assert (was and was.stretches) == (now and now.stretches)
