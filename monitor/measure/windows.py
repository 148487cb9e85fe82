"""Impact, stretches and recovery of one probe: arithmetic on the starts of its requests.

The definitions and their reasons are in `monitor.measure.client`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.measure.baseline import Baseline
from monitor.measure.columns import Bool, Columns, Int8, Int64
from monitor.measure.excess import in_excess
from monitor.measure.times import SECOND, Judging, RunTimes
from probes.record import BAD, Outcome

MERGE_GOOD = 2
"""Bad stretches with at most this many good requests between them are one: with round-robin over two
or three instances of which one is gone, good and bad alternate, and that is one outage."""
OVERDUE_BASELINES = 2
"""A request is not overdue before this many times the longest good request of the baseline."""

GOOD, HARMED, BACKGROUND, LOST, OPEN = range(5)
"""States of a request: HARMED is a bad one that counts, BACKGROUND a bad one that the baseline explains,
OPEN one that has not ended and is not overdue. Only GOOD and HARMED ones move an edge."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A probe's requests whose life touches the observation, by start."""

    start: Int64
    state: Int8
    ended: Columns
    """Those that had ended (or were lost) when the observation did."""
    all_starts: Int64
    """From the last start before the injection to the end of the observation, whatever became of the requests."""
    hanging: int
    """In flight for longer than allowed: harmed, though they have not failed yet."""

    def starts(self, state: int) -> Int64:
        """Starts of the requests in one state."""
        chosen: Int64 = self.start[self.state == state]
        return chosen


@dataclass(frozen=True, slots=True)
class Window:
    """What the requests of one probe say. Without impact only `held` means something."""

    t_impact: int | None
    t_first_good: int | None
    good_since: int | None
    """Start of the first good request after the last harmed one."""
    bound: int
    """End of the error window, or the earliest instant at which it can have ended."""
    held: bool
    """Good for the hold time and the hold requests, and nothing started until then is still open."""
    stretches: tuple[tuple[int, int], ...] = ()

    @property
    def hurt(self) -> bool:
        return self.t_impact is not None

    @property
    def t_recovered(self) -> int | None:
        return self.good_since if self.hurt and self.held else None


def see(
    rows: Columns, in_flight: Sequence[int], *, times: RunTimes, baseline: Baseline, overdue_ns: int | None
) -> Seen:
    """Sort a probe's requests into states. `in_flight` holds starts; what ended after the observation is in flight too."""
    touched = rows.overlapping(times.t_inject, times.observed_until)
    late = (touched.end_ns > times.observed_until) & ~touched.has(Outcome.LOST)
    ended = touched.where(~late)
    flying = np.array([s for s in in_flight if s < times.observed_until], np.int64)
    opened = np.sort(np.concatenate((touched.start_ns[late], flying)))
    hanging = _overdue(opened, times.observed_until, overdue_ns, baseline)

    start = np.concatenate((ended.start_ns, opened))
    state = np.full(len(start), GOOD, np.int8)
    state[: len(ended)][ended.has(*BAD)] = HARMED
    state[: len(ended)][ended.has(Outcome.LOST)] = LOST
    state[len(ended) :] = np.where(hanging, HARMED, OPEN)
    order = np.argsort(start, kind="stable")
    start, state = start[order], state[order]

    known = (state == GOOD) | (state == HARMED)
    explained = ~in_excess(state[known] == HARMED, baseline) & (state[known] == HARMED)
    state[np.flatnonzero(known)[explained]] = BACKGROUND
    return Seen(
        start=start,
        state=state,
        ended=ended,
        all_starts=_starts_around(rows, start, times),
        hanging=int(np.count_nonzero(hanging)),
    )


def _starts_around(rows: Columns, seen: Int64, times: RunTimes) -> Int64:
    before = np.concatenate((rows.started(0, times.t_inject).start_ns[-1:], seen[seen < times.t_inject][-1:]))
    starts: Int64 = np.concatenate((np.sort(before)[-1:], seen[seen >= times.t_inject]))
    return starts


def _overdue(opened: Int64, now: int, overdue_ns: int | None, baseline: Baseline) -> Bool:
    if overdue_ns is None:
        return np.zeros(len(opened), np.bool_)
    allowed = max(overdue_ns, OVERDUE_BASELINES * baseline.longest_ns)
    late: Bool = now - opened > allowed
    return late


def find_window(seen: Seen, *, times: RunTimes, settings: Judging) -> Window:
    """The error window of one probe."""
    harmed = seen.starts(HARMED)
    if not len(harmed):
        return _no_window(seen, times, settings)
    first_harm = int(harmed[0])
    last_harm = int(harmed[-1])
    t_impact = max(first_harm, times.t_inject)
    good = seen.starts(GOOD)
    good = good[good > t_impact]
    after = good[good > last_harm]
    good_since = int(after[0]) if len(after) else None
    held = _held(_hold_end(after, good_since, settings), seen, times)
    unknown = seen.starts(OPEN)
    unknown = unknown[unknown > last_harm]
    bound = good_since if good_since is not None else times.observed_until
    if not held and len(unknown):
        bound = max(min(bound, int(unknown[0])), t_impact)
    return Window(
        t_impact=t_impact,
        t_first_good=int(good[0]) if len(good) else None,
        good_since=good_since,
        bound=bound,
        held=held,
        stretches=_stretches(np.maximum(harmed, times.t_inject), good, bound),
    )


def _no_window(seen: Seen, times: RunTimes, settings: Judging) -> Window:
    """No harm: it held once the hold time has passed after the fault's end and all requests up to then are known good."""
    good = seen.starts(GOOD)
    held = _held(_hold_end(good[good >= times.t_inject], times.fault_end, settings), seen, times)
    return Window(t_impact=None, t_first_good=None, good_since=None, bound=times.t_inject, held=held)


def _held(hold_end: int | None, seen: Seen, times: RunTimes) -> bool:
    """Complete, and no request from before its end can still turn out bad."""
    if hold_end is None or hold_end > times.observed_until:
        return False
    return not bool(np.any(seen.starts(OPEN) <= hold_end))


def _hold_end(good: Int64, begin: int | None, settings: Judging) -> int | None:
    """When the hold time from `begin` and the hold requests are both complete."""
    if begin is None or len(good) < settings.hold_requests:
        return None
    return max(begin + round(settings.hold_seconds * SECOND), int(good[settings.hold_requests - 1]))


def _stretches(harmed: Int64, good: Int64, bound: int) -> tuple[tuple[int, int], ...]:
    """Runs of harmed requests, each up to the next good start; the last one ends at `bound`."""
    behind = np.searchsorted(good, harmed, side="right")  # good starts up to each harmed one
    breaks = np.flatnonzero(np.diff(behind) > MERGE_GOOD)
    firsts = np.concatenate(([0], breaks + 1))
    ends = [int(good[behind[i]]) for i in breaks]
    return tuple(zip((int(harmed[i]) for i in firsts), (*ends, bound), strict=True))


def union(parts: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The union of intervals; touching ones become one."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(parts):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def start_gap(starts: Int64, instant: int) -> int | None:
    """Distance from the last start before the instant to the first one at or after it; None beside the data."""
    after = int(np.searchsorted(starts, instant, side="left"))
    if after in (0, len(starts)):
        return None
    return int(starts[after] - starts[after - 1])
