"""Requests in cells: nothing is lost, nothing is counted twice, and what nobody measured is said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.live.cells import SECOND_NS, Grid, Seen, cells_of
from monitor.live.series import MOST_CELLS, grid_until
from monitor.measure.columns import Columns
from monitor.store.history import Count, Minute
from probes.record import BAD, Gap, Outcome, Record

GRID = Grid(1000 * SECOND_NS, SECOND_NS, 20)


def one(start: float, life: float = 0.1, outcome: Outcome = Outcome.GOOD, probe: str = "chat") -> Record:
    start_ns = GRID.start_ns + round(start * SECOND_NS)
    return Record(probe, 1, 1, "id", start_ns, start_ns + round(life * SECOND_NS), outcome)


def seen(*records: Record, gaps: tuple[Gap, ...] = (), now: float = 30, **more: object) -> Seen:
    return Seen(Columns.of(records), gaps, GRID.start_ns + round(now * SECOND_NS), **more)  # type: ignore[arg-type]


requests = st.builds(
    one,
    st.floats(-5, 25),
    st.floats(0, 40),
    st.sampled_from(Outcome),
    st.sampled_from(["chat", "long"]),
)


@given(st.lists(requests, max_size=60))
def test_every_request_is_counted_once_where_it_began(records: list[Record]) -> None:
    for probe in ("chat", "long"):
        cells = cells_of(probe, seen(*records), GRID)
        inside = [r for r in records if r.probe == probe and GRID.start_ns <= r.start_ns < GRID.end_ns]
        assert cells.good.sum() == sum(r.outcome is Outcome.GOOD for r in inside)
        assert cells.bad.sum() == sum(r.outcome in BAD for r in inside)
        assert cells.gap.sum() == len({r.start_ns // SECOND_NS for r in inside if r.outcome is Outcome.LOST})
        for index, begin in enumerate(cells.at_ns):
            lives = sorted(
                (r.end_ns - r.start_ns) / 1e6
                for r in inside
                if r.outcome in {Outcome.GOOD, Outcome.SLOW} and begin <= r.start_ns < begin + SECOND_NS
            )
            if not lives:
                assert np.isnan(cells.p50_ms[index])
                continue
            assert cells.p50_ms[index] == round(lives[(len(lives) - 1) // 2], 3)
            assert lives[0] - 1e-3 <= cells.p95_ms[index] <= lives[-1] + 1e-3


@given(st.floats(-30, 30), st.one_of(st.none(), st.floats(0.001, 60)))
def test_a_gap_marks_every_cell_that_it_touches(start: float, length: float | None) -> None:
    begin = GRID.start_ns + round(start * SECOND_NS)
    gap = Gap("chat", begin, None if length is None else begin + round(length * SECOND_NS), "aiperf ended")
    now = GRID.start_ns + 30 * SECOND_NS
    cells = cells_of("chat", seen(gaps=(gap,)), GRID)
    end = now if gap.end_ns is None else gap.end_ns
    expected = [bool(begin < at + SECOND_NS and end > at) for at in cells.at_ns]
    assert cells.gap.tolist() == expected
    assert not cells_of("long", seen(gaps=(gap,)), GRID).gap.any()


def test_no_answer_is_no_latency() -> None:
    row = cells_of("chat", seen(one(3, outcome=Outcome.FAILED)), GRID).rows()[3]
    assert (row["good"], row["bad"], row["gap"]) == (0, 1, False)
    assert row["latency_p50_ms"] is None


def test_folded_and_counted_requests_are_added() -> None:
    grid = Grid(0, 60 * SECOND_NS, 3)
    told = Seen(
        Columns.empty(),
        (),
        0,
        minutes=(Minute(60 * SECOND_NS, "chat", 7, 0, 0, 0), Minute(60 * SECOND_NS, "long", 9, 0, 0, 0)),
        counts=(Count(60 * SECOND_NS, "chat", 3, 2, 1), Count(600 * SECOND_NS, "chat", 5, 5, 5)),
    )
    rows = cells_of("chat", told, grid).rows()
    assert [(r["good"], r["bad"], r["gap"]) for r in rows] == [(0, 0, False), (10, 2, True), (0, 0, False)]


def test_a_silence_between_requests_was_not_measured() -> None:
    """Before the service began, and while it was down; the newest cells may hold what has not ended yet."""
    told = seen(one(4.5), one(6.2), one(12.1), rate=2.0)
    gaps = np.flatnonzero(cells_of("chat", told, GRID).gap).tolist()
    assert gaps == [0, 1, 2, 3, 7, 8, 9, 10, 11], "one empty cell is no silence for two requests per second"
    slow = seen(one(4.5), one(12.1), rate=0.1)
    assert not cells_of("chat", slow, GRID).gap.any(), "a slow probe is silent for long by its nature"
    assert not cells_of("chat", seen(one(4.5)), GRID).gap.any(), "nobody said how many there should be"


@given(st.integers(10, 86_400), st.integers(10**18, 2 * 10**18), st.sampled_from([1, 60]))
def test_a_grid_holds_what_was_asked_for(seconds: int, now: int, least: int) -> None:
    grid = grid_until(now, seconds, least_step=least)
    step = grid.step_ns // SECOND_NS
    assert step >= least
    assert grid.count <= MOST_CELLS
    assert grid.start_ns % grid.step_ns == 0
    assert grid.start_ns <= now < grid.end_ns
    assert now - grid.start_ns >= (seconds - 2 * step) * SECOND_NS
