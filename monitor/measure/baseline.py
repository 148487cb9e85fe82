"""What was normal before the fault.

The baseline of a probe is what it saw in the `baseline_seconds` before the injection: requests that
started and ended there. Requests still in flight at the injection are not part of it, for the fault
may have touched them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.measure.columns import MISSING, Columns
from monitor.measure.times import SECOND, Judging
from probes.record import BAD, Outcome

TOO_BAD = 0.2
"""At this bad ratio a baseline says nothing about health any more."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What normal is, for one probe or for several together. Empty when nothing was seen."""

    requests: int
    bad: int
    latency_ns: int | None
    """Median duration of the good ones."""
    longest_ns: int
    """Longest duration of a good one."""
    rate: float | None
    """Good answers completed per second."""
    output_tokens: int | None
    """Median length of a good answer."""

    @property
    def bad_ratio(self) -> float | None:
        return self.bad / self.requests if self.requests else None


def baseline_of(rows: Columns, t_inject: int, settings: Judging) -> Baseline:
    """The baseline of the given rows; lost requests are not part of it."""
    begin = t_inject - round(settings.baseline_seconds * SECOND)
    seen = rows.started(begin, t_inject)
    seen = seen.where(seen.end_ns < t_inject)
    good = seen.where(seen.has(Outcome.GOOD))
    bad = int(np.count_nonzero(seen.has(*BAD)))
    durations = good.end_ns - good.start_ns
    tokens = good.output_tokens[good.output_tokens != MISSING]
    return Baseline(
        requests=len(good) + bad,
        bad=bad,
        latency_ns=int(np.median(durations)) if len(good) else None,
        longest_ns=int(durations.max()) if len(good) else 0,
        rate=_rate(seen, good, begin, t_inject),
        output_tokens=int(np.median(tokens)) if len(tokens) else None,
    )


def _rate(seen: Columns, good: Columns, begin: int, t_inject: int) -> float | None:
    """A probe that began within the baseline is rated from its first start on."""
    if not len(seen):
        return None
    span = t_inject - max(begin, int(seen.start_ns[0]))
    return len(good) * SECOND / span if span > 0 else None
