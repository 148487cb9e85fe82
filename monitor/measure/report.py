"""From what each probe saw to the client witness's report. Definitions: `monitor.measure.client`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.measure.baseline import Baseline, baseline_of
from monitor.measure.columns import Columns
from monitor.measure.counts import Counts, count, speed, total
from monitor.measure.excess import smallest_burst
from monitor.measure.times import SECOND, Judging, RunTimes, seconds
from monitor.measure.windows import BACKGROUND, Seen, Window, start_gap, union
from monitor.model import Resolution, Stretch, Verdict, WitnessReport


@dataclass(frozen=True, slots=True, eq=False)
class ProbeView:
    """All that one probe saw of a run."""

    name: str
    rows: Columns
    seen: Seen
    window: Window
    baseline: Baseline
    missing: tuple[str, ...]
    """Reasons why its word is not enough."""
    interval_ns: int


@dataclass(frozen=True, slots=True)
class Edges:
    """The windows of the hurt probes, united."""

    t_impact: int | None
    t_first_good: int | None
    bound: int
    held: bool
    stretches: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, windows: Sequence[Window], times: RunTimes) -> Edges:
        hurt = [w for w in windows if w.hurt]
        return cls(
            t_impact=min((w.t_impact for w in hurt if w.t_impact is not None), default=None),
            t_first_good=min((w.t_first_good for w in hurt if w.t_first_good is not None), default=None),
            bound=max((w.bound for w in hurt), default=times.t_inject),
            held=all(w.held for w in hurt),
            stretches=union([s for w in hurt for s in w.stretches]),
        )

    @property
    def t_recovered(self) -> int | None:
        return self.bound if self.t_impact is not None and self.held else None


def report(
    views: Sequence[ProbeView], times: RunTimes, settings: Judging, *, probe: str | None = None
) -> WitnessReport:
    """What the given probes say together; `probe` names the one that the report is about, if it is about one."""
    edges = Edges.of([v.window for v in views], times)
    reasons = [_named(v, reason, views) for v in views for reason in v.missing] or ([] if views else ["no probe"])
    verdict = _verdict(edges, conclusive=not reasons)
    each = [count(v.seen.ended, v.baseline) for v in views]
    counts = total(each)
    bare = WitnessReport(
        witness="client",
        probe=probe,
        status="inconclusive" if reasons else "ok",
        reason="; ".join(reasons) or _summary(verdict, edges, counts, times),
        verdict=verdict,
        resolution=_resolution(views, edges),
        notes=tuple(_named(v, note, views) for v, c in zip(views, each, strict=True) for note in _notes(v, c)),
    )
    rows = views[0].rows if len(views) == 1 else Columns.concat([v.rows for v in views])
    windowed = _with_window(bare, edges, times)
    return _with_normal(_with_counts(windowed, counts, views, times), rows, edges, times, settings)


def _with_window(report: WitnessReport, edges: Edges, times: RunTimes) -> WitnessReport:
    if edges.t_impact is None:
        # a window of zero is a finding; without enough data there is none
        nothing = 0.0 if report.verdict is Verdict.NO_IMPACT else None
        return report.model_copy(update={"error_window_seconds": nothing, "bad_seconds": nothing})
    acting = times.t_acting_until
    recovered = edges.t_recovered
    return report.model_copy(
        update={
            "t_impact": edges.t_impact,
            "t_first_good": edges.t_first_good,
            "t_recovered": recovered,
            "censored": recovered is None,
            "error_window_seconds": seconds(edges.bound - edges.t_impact),
            "bad_seconds": seconds(sum(end - begin for begin, end in edges.stretches)),
            "recovery_from_effect_seconds": seconds(edges.bound - times.effect),
            "recovery_from_revert_seconds": None
            if times.t_reverted is None
            else seconds(edges.bound - times.t_reverted),
            "recovered_while_acting": None if acting is None or recovered is None else recovered <= acting,
            "stretches": tuple(Stretch(start_ns=begin, end_ns=end) for begin, end in edges.stretches),
        }
    )


def _with_counts(report: WitnessReport, counts: Counts, views: Sequence[ProbeView], times: RunTimes) -> WitnessReport:
    flying = sum(int(np.count_nonzero(v.seen.start < times.t_inject)) for v in views)
    return report.model_copy(
        update={
            "requests": counts.requests,
            "failed_requests": counts.failed,
            "truncated_requests": counts.truncated,
            "slow_requests": counts.slow,
            "lost_requests": counts.lost,
            "requests_in_flight_at_injection": flying,
            "tokens_lost": counts.tokens_lost,
            "errors": counts.errors,
            "longest_bad_seconds": None if counts.longest_bad_ns is None else seconds(counts.longest_bad_ns),
        }
    )


def _with_normal(
    report: WitnessReport, rows: Columns, edges: Edges, times: RunTimes, settings: Judging
) -> WitnessReport:
    normal = baseline_of(rows, times.t_inject, settings)
    begin, end = (edges.t_impact, edges.bound) if edges.t_impact is not None else (times.t_inject, times.observed_until)
    latency, rate = speed(rows, begin, end)
    return report.model_copy(
        update={
            "baseline_requests": normal.requests,
            "baseline_bad_ratio": normal.bad_ratio,
            "baseline_latency_seconds": None if normal.latency_ns is None else seconds(normal.latency_ns),
            "baseline_rate": normal.rate,
            "during_latency_seconds": None if latency is None else seconds(latency),
            "during_rate": rate,
        }
    )


def _verdict(edges: Edges, *, conclusive: bool) -> Verdict:
    if not conclusive:
        return Verdict.INCONCLUSIVE
    if edges.t_impact is None:
        return Verdict.NO_IMPACT
    return Verdict.RECOVERED if edges.held else Verdict.NOT_RECOVERED


def _summary(verdict: Verdict, edges: Edges, counts: Counts, times: RunTimes) -> str:
    if edges.t_impact is None:
        return f"none of {counts.requests} requests was hurt by it"
    hurt = f"{counts.failed} of {counts.requests} requests failed" + (f", {counts.slow} slow" if counts.slow else "")
    if verdict is Verdict.RECOVERED:
        return f"{hurt}; whole again {seconds(edges.bound - times.effect):.1f} s after the effect"
    return f"{hurt}; not whole again when the observation ended"


def _named(view: ProbeView, text: str, views: Sequence[ProbeView]) -> str:
    return f"probe {view.name}: {text}" if len(views) > 1 else text


def _notes(view: ProbeView, counts: Counts) -> Sequence[str]:
    notes = []
    if view.seen.hanging:
        notes.append(f"{view.seen.hanging} requests are in flight beyond the overdue limit: bad, not counted as failed")
    explained = len(view.seen.starts(BACKGROUND))
    if view.baseline.bad:
        least = smallest_burst(view.baseline)
        before = f"{view.baseline.bad} of {view.baseline.requests} requests were bad before the fault"
        notes.append(f"{before}; {explained} later ones look the same and move no window, {least} in a row would")
    if counts.tokens_unknown:
        notes.append(f"tokens_lost leaves out {counts.tokens_unknown} cut answers of unknown length")
    return notes


def _resolution(views: Sequence[ProbeView], edges: Edges) -> Resolution:
    """At each edge: the gap between the starts around it, of the probe that set the edge."""
    hurt = [v for v in views if v.window.hurt]
    first = next((v for v in hurt if v.window.t_impact == edges.t_impact), None)
    last = next((v for v in hurt if v.window.bound == edges.bound), None)
    slowest = max((v.interval_ns for v in hurt or views), default=0)
    rate = f"{SECOND / slowest:.3g} requests/s" if slowest else "no probe"
    return Resolution(
        at_impact_seconds=_gap(first, edges.t_impact),
        at_recovery_seconds=_gap(last, edges.t_recovered),
        text=f"\u00b1{seconds(slowest):.2g} s ({rate})",
    )


def _gap(view: ProbeView | None, instant: int | None) -> float | None:
    if view is None or instant is None:
        return None
    gap = start_gap(view.seen.all_starts, instant)
    return None if gap is None else seconds(gap)
