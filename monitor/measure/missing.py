"""What a probe did not see. Missing data is never good news: each of these makes a report inconclusive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.measure.baseline import TOO_BAD, Baseline
from monitor.measure.times import SECOND, Judging, RunTimes, seconds
from monitor.measure.windows import GOOD, LOST, OPEN, Seen, Window
from probes.record import Gap

SILENT_INTERVALS = 10
SILENT_NS = 2 * SECOND
"""Nothing started for longer than both: the probe was not probing, whether or not it told of a gap."""


def missing_data(
    seen: Seen,
    window: Window,
    *,
    baseline: Baseline,
    gaps: Sequence[Gap],
    interval_ns: int,
    times: RunTimes,
    settings: Judging,
) -> tuple[str, ...]:
    """Every reason why the probe's word is not enough, each one line."""
    reasons = list(_baseline(baseline, settings))
    told = tuple(_gaps(gaps, times.t_inject - interval_ns, times.observed_until))
    reasons += told or _silence(seen, interval_ns, times)
    lost = len(seen.starts(LOST))
    if lost:
        reasons.append(f"{lost} requests lost: aiperf ended before it could say how they ended")
    if not window.hurt and not window.held:
        reasons.append(_too_little(seen, times, settings))
    if window.hurt and not window.held and not times.horizon_ended:
        reasons.append("not held yet and the observation goes on")
    return tuple(reasons)


def _baseline(baseline: Baseline, settings: Judging) -> Sequence[str]:
    if baseline.requests < settings.hold_requests:
        text = f"only {baseline.requests} requests in the {settings.baseline_seconds:g} s before the fault"
        return (f"baseline too short: {text}, {settings.hold_requests} needed",)
    if baseline.bad >= TOO_BAD * baseline.requests:
        return (f"{baseline.bad} of {baseline.requests} requests were bad before the fault",)
    return ()


def _gaps(gaps: Sequence[Gap], begin: int, end: int) -> Sequence[str]:
    """The same gap may be told twice, open and closed; the closed word counts."""
    closed = {(g.probe, g.start_ns): g for g in sorted(gaps, key=lambda g: g.end_ns is not None)}
    hits = [g for g in closed.values() if g.start_ns < end and (g.end_ns is None or g.end_ns > begin)]
    hits.sort(key=lambda g: (g.start_ns, g.reason))
    return [
        f"probe gap of {seconds((end if g.end_ns is None else g.end_ns) - g.start_ns):.1f} s"
        + (f" ({g.reason})" if g.reason else "")
        for g in hits
    ]


def _silence(seen: Seen, interval_ns: int, times: RunTimes) -> Sequence[str]:
    starts = seen.all_starts if len(seen.all_starts) else np.array([times.t_inject], np.int64)
    longest = int(np.diff(np.concatenate((starts, [times.observed_until]))).max())
    if longest <= max(SILENT_INTERVALS * interval_ns, SILENT_NS):
        return ()
    return (f"no request was started for {seconds(longest):.1f} s",)


def _too_little(seen: Seen, times: RunTimes, settings: Judging) -> str:
    good = seen.starts(GOOD)
    after = int(np.count_nonzero(good >= times.t_inject))
    if after < settings.hold_requests:
        return f"only {after} good requests since the injection, {settings.hold_requests} needed"
    watched = seconds(times.observed_until - times.fault_end)
    if watched < settings.hold_seconds:
        return f"watched for only {watched:.1f} s after the fault ended, {settings.hold_seconds:g} s needed"
    return f"{len(seen.starts(OPEN))} requests have not ended yet"
