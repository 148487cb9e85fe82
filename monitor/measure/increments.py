"""From counters as they were scraped to what was counted between two scrapes. Pure.

Absent is not zero, and three absences mean three things:
- a target that was scraped without a series that it has later: that series began at 0, so all of its
  first value was counted since the scrape before (this is how a first burst of errors looks);
- a series that goes away or falls while its target is scraped: the process was restarted, and its
  counters began at 0 again; what was counted between the last scrape and its death is lost;
- a target that is not scraped: nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monitor.measure.columns import Int64
from monitor.measure.presets import BAD, CALLER, GOOD, Preset
from monitor.measure.prometheus import Series
from monitor.measure.times import SECOND

Floats = NDArray[np.float64]
HOLE_INTERVALS = 3
"""Two scrapes further apart than this many intervals have a hole between them."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetCounts:
    """What one scrape target counted in each interval between two successful scrapes."""

    instance: str
    grid: Int64
    """Instants of successful scrapes; interval i runs from grid[i] to grid[i + 1]."""
    good: Floats
    bad: Floats
    caller: Floats
    kinds: dict[str, Floats]
    """Bad ones by the server's word for the error."""
    started: Floats | None
    latency_sum: Floats
    latency_count: Floats
    resets: tuple[int, ...]
    """Scrapes at which the counters had begun again."""
    down: tuple[int, ...] = field(default=())
    """Scrapes that failed."""
    unknown: tuple[int, ...] = field(default=())
    """Scrapes at which a counter of finished requests had a value that is not a number."""


def targets_of(series: Sequence[Series], up: Sequence[Series], preset: Preset) -> list[TargetCounts]:
    """One entry for each target that has ever counted a finished request, by instance."""
    wanted = [s for s in series if s.name not in preset.finished.names or preset.finished.counts(s.labels)]
    counting = {s.target for s in wanted if s.name in preset.finished.names and len(s.times)}
    return [
        _target(
            target,
            [s for s in wanted if s.target == target],
            [u for u in up if u.target == target],
            preset,
        )
        for target in sorted(counting)
    ]


def _target(target: tuple[str, str], series: Sequence[Series], up: Sequence[Series], preset: Preset) -> TargetCounts:
    grid = grid_of(series, up)
    down = np.unique(np.concatenate([u.times[u.values == 0] for u in up] or [np.empty(0, np.int64)]))
    resets: set[int] = set()

    def total(chosen: Sequence[Series]) -> Floats:
        summed = np.zeros(max(len(grid) - 1, 0))
        for one in chosen:
            counted, began_again = increments(one, grid)
            summed += counted
            resets.update(began_again)
        return summed

    finished = _first(series, preset.finished.names)
    how = [preset.finished.ended(s.labels) for s in finished]
    bad = [s for s, h in zip(finished, how, strict=True) if h == BAD]
    kinds = {s.labels.get(preset.finished.kind, "") or "error" for s in bad}
    started = _first(series, preset.started)
    return TargetCounts(
        instance=target[1] or target[0] or "the server",
        grid=grid,
        good=total([s for s, h in zip(finished, how, strict=True) if h == GOOD]),
        bad=total(bad),
        caller=total([s for s, h in zip(finished, how, strict=True) if h == CALLER]),
        kinds={k: total([s for s in bad if (s.labels.get(preset.finished.kind, "") or "error") == k]) for k in kinds},
        started=total(started) if started else None,
        latency_sum=total(_first(series, [f"{base}_sum" for base in preset.latency])),
        latency_count=total(_first(series, [f"{base}_count" for base in preset.latency])),
        resets=tuple(sorted(resets)),
        down=tuple(int(t) for t in down),
        unknown=tuple(sorted({int(t) for s in finished for t in s.unknown})),
    )


def grid_of(series: Sequence[Series], up: Sequence[Series]) -> Int64:
    """Instants at which one target was scraped well."""
    seen = [times for s in series for times in (s.times, s.unknown)]
    return np.unique(np.concatenate([*seen, *(u.times[u.values > 0] for u in up), np.empty(0, np.int64)]))


def _first(series: Sequence[Series], names: Sequence[str]) -> list[Series]:
    """The series of the first name that exists."""
    for name in names:
        found = [s for s in series if s.name == name]
        if found:
            return found
    return []


def increments(series: Series, grid: Int64) -> tuple[Floats, list[int]]:
    """What the series counted in each interval of the grid, and the scrapes at which it had begun again.

    A value that is not a number is one that is not known, which is something else than no series: what was
    counted meanwhile belongs to the interval after it.
    """
    values = np.full(len(grid), np.nan)
    values[np.searchsorted(grid, series.times)] = series.values
    unknown = np.zeros(len(grid), np.bool_)
    unknown[np.searchsorted(grid, series.unknown)] = True
    last_known = np.maximum.accumulate(np.where(unknown, 0, np.arange(len(grid))))
    values = np.where(unknown, values[last_known] if len(grid) else values, values)
    before, after = values[:-1], values[1:]
    fell = after < before
    vanished = ~np.isnan(before) & np.isnan(after)
    from_zero = (np.isnan(before) & ~unknown[:-1]) | fell
    step = np.where(np.isnan(before), 0.0, after - before)
    counted = np.where(np.isnan(after), 0.0, np.where(from_zero, after, step))
    return counted, [int(t) for t in grid[1:][fell | vanished]]


def holes(target: TargetCounts, begin: int, end: int, interval_seconds: float) -> list[tuple[int, int]]:
    """Stretches of [begin, end] in which the target was not scraped, from one good scrape to the next."""
    edges = np.concatenate((target.grid, [max(end, int(target.grid[-1]))]))
    limit = round(HOLE_INTERVALS * interval_seconds * SECOND)
    found = []
    for a, b in pairwise(edges):
        failed = any(a < t <= b for t in target.down)
        if (b - a > limit or failed) and b > begin and a < end:
            found.append((int(a), int(b)))
    if int(target.grid[0]) - begin > limit:
        found.insert(0, (begin, int(target.grid[0])))
    return found
