"""Requests counted by when they began, in cells of equal length. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.measure.columns import Columns, Int64
from monitor.store.history import Count, Minute
from probes.record import FAILURES, Gap, Outcome

SECOND_NS = 10**9
SILENT_REQUESTS = 3
"""So many that should have begun and did not are a silence."""
_ANSWERED = (Outcome.GOOD, Outcome.SLOW)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """One probe's counts. Latencies in milliseconds, NaN where nothing was answered or nobody kept each request."""

    at_ns: Int64
    good: Int64
    bad: Int64
    gap: NDArray[np.bool_]
    """Not measured, or not all of the cell: the probe did not send, or what it sent got lost."""
    p50_ms: NDArray[np.float64]
    p95_ms: NDArray[np.float64]

    def columns(self) -> dict[str, list[Any]]:
        """As JSON takes it."""
        return {
            "at_ns": self.at_ns.tolist(),
            "good": self.good.tolist(),
            "bad": self.bad.tolist(),
            "gap": self.gap.tolist(),
            "latency_p50_ms": [_number(v) for v in self.p50_ms.tolist()],
            "latency_p95_ms": [_number(v) for v in self.p95_ms.tolist()],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a cell, oldest first."""
        columns = self.columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@dataclass(frozen=True, slots=True)
class Grid:
    """`count` cells of `step_ns` from `start_ns` on."""

    start_ns: int
    step_ns: int
    count: int

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.count * self.step_ns

    def index(self, instants: Int64) -> Int64:
        """Cell of each instant; outside of the grid below 0 or at least `count`."""
        return (instants - self.start_ns) // self.step_ns

    def starts(self) -> Int64:
        return self.start_ns + np.arange(self.count, dtype=np.int64) * self.step_ns


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is known of a stretch of time: each request, or their counts where they are too many to look at."""

    columns: Columns
    gaps: Sequence[Gap]
    now_ns: int
    minutes: Sequence[Minute] = ()
    """Good requests of older days that were folded."""
    counts: Sequence[Count] = ()
    rate: float | None = None
    """Requests per second that the probe should start: then a silence in between was not measured, whoever was to blame
    (no service was running, or a gap that nobody could write down)."""


def cells_of(probe: str, seen: Seen, grid: Grid) -> Cells:
    """Counts of one probe."""
    own = seen.columns.of_probe(probe).started(grid.start_ns, grid.end_ns)
    at = grid.index(own.start_ns)
    answered = own.has(*_ANSWERED)
    good = _counted(at[own.has(Outcome.GOOD)], grid)
    bad = _counted(at[own.has(Outcome.SLOW, *FAILURES)], grid)
    lost = _counted(at[own.has(Outcome.LOST)], grid)
    for cell, one in _placed(seen.minutes, probe, grid):
        good[cell] += one.good
    for cell, count in _placed(seen.counts, probe, grid):
        good[cell] += count.good
        bad[cell] += count.bad
        lost[cell] += count.lost
    gap = _covered([one for one in seen.gaps if one.probe == probe], grid, seen.now_ns) | (lost > 0)
    if seen.rate is not None:
        gap |= _silent(good + bad + lost == 0, grid, seen.rate)
    p50, p95 = _quantiles(at[answered], (own.end_ns - own.start_ns)[answered], grid, (0.5, 0.95))
    return Cells(grid.starts(), good, bad, gap, p50, p95)


T = TypeVar("T", Minute, Count)


def _placed(ones: Sequence[T], probe: str, grid: Grid) -> Iterator[tuple[int, T]]:
    for one in ones:
        cell = ((one.minute_ns if isinstance(one, Minute) else one.at_ns) - grid.start_ns) // grid.step_ns
        if one.probe == probe and 0 <= cell < grid.count:
            yield cell, one


def _counted(at: Int64, grid: Grid) -> Int64:
    return np.bincount(at, minlength=grid.count).astype(np.int64)


def _covered(gaps: Sequence[Gap], grid: Grid, now_ns: int) -> NDArray[np.bool_]:
    covered = np.zeros(grid.count, np.bool_)
    for gap in gaps:
        end = now_ns if gap.end_ns is None else gap.end_ns
        first = max(0, (gap.start_ns - grid.start_ns) // grid.step_ns)
        last = min(grid.count - 1, (end - 1 - grid.start_ns) // grid.step_ns)
        covered[first : max(first, last + 1)] = True
    return covered


def _silent(empty: NDArray[np.bool_], grid: Grid, rate: float) -> NDArray[np.bool_]:
    """Empty cells that are too many in a row for the rate; the last ones may hold requests that have not ended yet."""
    least = max(1, -(-round(SILENT_REQUESTS / rate * SECOND_NS) // grid.step_ns))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], empty, [False])).astype(np.int8)))
    silent = np.zeros(grid.count, np.bool_)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin >= least and end < grid.count:
            silent[begin:end] = True
    return silent


def _quantiles(at: Int64, lives: Int64, grid: Grid, wanted: Sequence[float]) -> list[NDArray[np.float64]]:
    """Nearest rank from below, cell by cell."""
    order = np.lexsort((lives, at))
    lives, edges = lives[order], np.searchsorted(at[order], np.arange(grid.count + 1))
    begin, size = edges[:-1], np.diff(edges)
    found = []
    for share in wanted:
        values = np.full(grid.count, np.nan)
        filled = size > 0
        rank = begin[filled] + np.floor(share * (size[filled] - 1)).astype(np.int64)
        values[filled] = np.round(lives[rank] / 1e6, 3)
        found.append(values)
    return found


def _number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN alone differs from itself
