"""The client witness: what users felt, from the probes' requests. Pure functions over arrays.

Words and rules, with their reasons
- Bad: slow, failed or truncated. Failed requests: failed or truncated. Lost: nobody saw how it ended,
  which is neither good nor bad and makes the report inconclusive.
- A request in flight for longer than its probe's overdue limit is bad already, for a request that hangs
  hurts now; it is not a failed request until it has failed. A limit below twice the longest good
  request of the baseline is lifted to that, so that a long answer is not taken for a hang.
- Baseline: requests that started and ended in the `baseline_seconds` before the injection. Which bad
  requests go beyond it: `monitor.measure.excess`. Only those, the harmed ones, move a window.
- Windows are keyed on request starts, for the start is known exactly for every request. Requests whose
  life overlaps the observation take part; one in flight when the fault struck counts as if it had
  started at the injection, for before it nothing was wrong.
- Impact: start of the first harmed request.
- Recovered: start of the first good request after the last harmed one, once `hold_seconds` have passed
  and `hold_requests` good ones have started, and everything that started until then has ended. A relapse
  within the observation moves it; the stretches show what happened between.
- Stretch: from a harmed start to the next good start. Up to `windows.MERGE_GOOD` good requests between
  two stretches make them one. Bad seconds: the union of the stretches. The error window, impact to
  recovered, is never shorter.
- Several probes: each is judged by itself against its own baseline; together, impact is the first
  one's, recovery the last one's, stretches are united. So a fault that hurts only long prompts is not
  hidden by short ones that went well in between.
- Censored: not recovered when the observation ended. Window and recovery are then lower bounds: up to the
  first request that can still turn out to be the first good one.
- Recovery from effect and from revert are signed: from revert, a negative figure means that it was whole
  again that long before the fault was put back (then `recovered_while_acting`, where that is known).
- Resolution: an edge lies up to one gap between two starts of the probe concerned before the instant
  reported. An outage that no request touched is not seen: that is `no_impact`, with the resolution.
- Inconclusive: `monitor.measure.missing`. What was seen is reported all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.measure.baseline import baseline_of
from monitor.measure.columns import Columns
from monitor.measure.missing import missing_data
from monitor.measure.report import ProbeView, report
from monitor.measure.times import SECOND, Judging, RunTimes
from monitor.measure.windows import find_window, see
from monitor.model import WitnessReport
from probes.record import Gap, InFlight

__all__ = ["Progress", "RunTimes", "measure_client", "progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether a run may stop waiting."""

    settled: bool
    """Recovery (or the absence of impact) has held, the hold time has passed since the fault ended, and no request
    hangs: one that will fail is not counted before it has."""
    impact_seen: bool
    bad_since: int | None
    """Begin of the stretch that has seen no good request yet."""
    reason: str


def measure_client(
    columns: Columns,
    *,
    times: RunTimes,
    in_flight: Sequence[InFlight],
    gaps: Sequence[Gap],
    intervals_ns: Mapping[str, int],
    overdue_ns: Mapping[str, int],
    settings: Judging,
) -> list[WitnessReport]:
    """The report of all probes together, then one for each probe when there are several.

    `columns` must reach back to the begin of the baseline; more does no harm. `in_flight` is what was
    in flight at `times.observed_until`. A probe of `intervals_ns` without requests is inconclusive.
    """
    views = _views(
        columns,
        times=times,
        in_flight=in_flight,
        gaps=gaps,
        intervals_ns=intervals_ns,
        overdue_ns=overdue_ns,
        settings=settings,
    )
    each = [report([view], times, settings, probe=view.name) for view in views] if len(views) > 1 else []
    return [report(views, times, settings), *each]


def progress(
    columns: Columns,
    *,
    times: RunTimes,
    in_flight: Sequence[InFlight],
    gaps: Sequence[Gap],
    intervals_ns: Mapping[str, int],
    overdue_ns: Mapping[str, int],
    settings: Judging,
) -> Progress:
    """Whether the client witness has seen enough; cheap enough to ask several times a second."""
    views = _views(
        columns,
        times=times,
        in_flight=in_flight,
        gaps=gaps,
        intervals_ns=intervals_ns,
        overdue_ns=overdue_ns,
        settings=settings,
    )
    waiting = [v for v in views if not v.window.held]
    passed = times.observed_until >= times.fault_end + round(settings.hold_seconds * SECOND)
    bad = [v.window.stretches[-1][0] for v in waiting if v.window.hurt and v.window.good_since is None]
    hurt = any(v.window.hurt for v in views)
    hanging = sum(v.seen.hanging for v in views)
    return Progress(
        settled=bool(views) and not waiting and passed and not hanging,
        impact_seen=hurt,
        bad_since=min(bad, default=None),
        reason=_reason(views, waiting, times, hurt=hurt, passed=passed, hanging=hanging),
    )


def _reason(
    views: Sequence[ProbeView],
    waiting: Sequence[ProbeView],
    times: RunTimes,
    *,
    hurt: bool,
    passed: bool,
    hanging: int,
) -> str:
    if not views:
        return "no probe"
    for view in waiting:
        window = view.window
        if window.hurt and window.good_since is None:
            return f"probe {view.name}: no good request yet after the last bad one"
        if window.hurt and window.good_since is not None:
            held = (times.observed_until - window.good_since) / SECOND
            return f"probe {view.name}: good again for {held:.1f} s, not held yet"
    if waiting:
        return f"probe {waiting[0].name}: no impact so far, waiting for enough requests after the fault"
    if not passed:
        return "the hold time after the fault has not passed"
    settled = "recovery has held" if hurt else "no impact"
    return settled if not hanging else f"{hanging} requests hang, and how they end has to be counted"


def _views(
    columns: Columns,
    *,
    times: RunTimes,
    in_flight: Sequence[InFlight],
    gaps: Sequence[Gap],
    intervals_ns: Mapping[str, int],
    overdue_ns: Mapping[str, int],
    settings: Judging,
) -> list[ProbeView]:
    views = []
    for name in sorted({*intervals_ns, *columns.probes, *(f.probe for f in in_flight)}):
        rows = columns.of_probe(name)
        baseline = baseline_of(rows, times.t_inject, settings)
        flying = [f.start_ns for f in in_flight if f.probe == name]
        seen = see(rows, flying, times=times, baseline=baseline, overdue_ns=overdue_ns.get(name))
        window = find_window(seen, times=times, settings=settings)
        interval = intervals_ns.get(name) or _usual_gap(rows)
        missing = missing_data(
            seen,
            window,
            baseline=baseline,
            gaps=[g for g in gaps if g.probe == name],
            interval_ns=interval,
            times=times,
            settings=settings,
        )
        views.append(ProbeView(name, rows, seen, window, baseline, missing, interval))
    return views


def _usual_gap(rows: Columns) -> int:
    """The interval of a probe that is no longer configured."""
    return int(np.median(np.diff(rows.start_ns))) if len(rows) > 1 else SECOND
