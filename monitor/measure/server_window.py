"""The error window as the server counted it: arithmetic on what was counted between scrapes. Pure.

- An interval between two scrapes is bad when an error was counted in it: any, if none was counted in the
  baseline; else an excess over the baseline's ratio within the rate window that ends there, by the same
  binomial rule and level as for the client (`monitor.measure.excess`).
- An error lies somewhere in its interval, so windows run from the scrape before the first bad one (but not
  from before the injection) to the scrape that ends the last bad one: they contain the errors.
- A stretch without any finished request, though `USUAL` were usual in that time, is a stall, or answers that
  the server does not count: there it cannot say that all was well.
- Recovered: nothing bad after that, and good answers counted. The server counts a request when it ends,
  the client when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.measure.columns import Int64
from monitor.measure.excess import LEVEL, binomial_tail, wilson_upper
from monitor.measure.increments import Floats, TargetCounts
from monitor.measure.windows import union

USUAL = 10
"""With this many requests expected, seeing none by chance has a probability of 1 in 22,000."""


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Intervals between scrapes, of all targets together."""

    begin: Int64
    end: Int64
    good: Floats
    bad: Floats
    caller: Floats

    @classmethod
    def of(cls, targets: Sequence[TargetCounts]) -> Intervals:
        return cls(
            begin=np.concatenate([t.grid[:-1] for t in targets]),
            end=np.concatenate([t.grid[1:] for t in targets]),
            good=np.concatenate([t.good for t in targets]),
            bad=np.concatenate([t.bad for t in targets]),
            caller=np.concatenate([t.caller for t in targets]),
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """Finished requests of a stretch."""

    good: float
    bad: float

    @property
    def requests(self) -> float:
        return self.good + self.bad

    @property
    def bad_ratio(self) -> float | None:
        return self.bad / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """The window, and the length of the intervals at its edges (nanoseconds)."""

    stretches: tuple[tuple[int, int], ...]
    recovered: bool
    at_impact_ns: int
    at_recovery_ns: int

    @property
    def t_impact(self) -> int:
        return self.stretches[0][0]

    @property
    def end(self) -> int:
        return self.stretches[-1][1]


def counted(intervals: Intervals, begin: int, end: int) -> Ratio:
    """What was counted in the intervals that end in (begin, end]."""
    chosen = (intervals.end > begin) & (intervals.end <= end)
    return Ratio(float(intervals.good[chosen].sum()), float(intervals.bad[chosen].sum()))


def find_server_window(
    intervals: Intervals, normal: Ratio, *, t_inject: int, until: int, rate_window_ns: int
) -> ServerWindow | None:
    """None when no interval that ends after the injection is bad."""
    after = (intervals.end > t_inject) & (intervals.end <= until)
    is_bad = _judge(intervals, normal, rate_window_ns)
    bad = np.flatnonzero(after & (intervals.bad > 0))
    bad = np.array([i for i in bad if is_bad(int(i))], np.int64)
    if not len(bad):
        return None
    stretches = union([(max(int(intervals.begin[i]), t_inject), int(intervals.end[i])) for i in bad])
    first = bad[np.argmin(intervals.begin[bad])]
    last = bad[np.argmax(intervals.end[bad])]
    later = after & (intervals.end > stretches[-1][1])
    return ServerWindow(
        stretches=stretches,
        recovered=bool(intervals.good[later].sum() > 0),
        at_impact_ns=int(intervals.end[first] - intervals.begin[first]),
        at_recovery_ns=int(intervals.end[last] - intervals.begin[last]),
    )


def _judge(intervals: Intervals, normal: Ratio, rate_window_ns: int) -> Callable[[int], bool]:
    if not normal.bad:
        return lambda _i: True
    background = wilson_upper(round(normal.bad), round(normal.requests))

    def excess(i: int) -> bool:
        window = counted(intervals, int(intervals.end[i]) - rate_window_ns, int(intervals.end[i]))
        return binomial_tail(round(window.bad), round(window.requests), background) <= LEVEL

    return excess


def longest_stall(intervals: Intervals, begin: int, end: int) -> int:
    """Longest part of [begin, end] (ns) in which no target counted a finished request of any kind."""
    busy = (intervals.good + intervals.bad + intervals.caller) > 0
    chosen = busy & (intervals.end > begin) & (intervals.begin < end)
    alive = union([(int(a), int(b)) for a, b in zip(intervals.begin[chosen], intervals.end[chosen], strict=True)])
    known = int(intervals.end[intervals.end <= end].max(initial=begin))
    edges = [begin, *(x for part in alive for x in part), known]
    return max((b - a for a, b in zip(edges[::2], edges[1::2], strict=True)), default=0)
