"""From what each target counted to the server witness's report. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from monitor.config.settings import PrometheusSpec
from monitor.measure.increments import Floats, TargetCounts, holes
from monitor.measure.presets import Preset
from monitor.measure.server_window import (
    USUAL,
    Intervals,
    Ratio,
    ServerWindow,
    counted,
    find_server_window,
    longest_stall,
)
from monitor.measure.times import SECOND, RunTimes, nanoseconds, seconds
from monitor.model import Resolution, Stretch, Verdict, WitnessReport


def judge_counts(
    targets: Sequence[TargetCounts], begin: int, times: RunTimes, spec: PrometheusSpec, preset: Preset
) -> WitnessReport:
    """The report from what each target counted since `begin`, the begin of the baseline. Pure."""
    intervals = Intervals.of(targets)
    normal = counted(intervals, begin, times.t_inject)
    rate_window = spec.rate_window_seconds or 4 * spec.scrape_interval_seconds
    window = find_server_window(
        intervals, normal, t_inject=times.t_inject, until=times.observed_until, rate_window_ns=nanoseconds(rate_window)
    )
    after = counted(intervals, times.t_inject, times.observed_until)
    rate = _rate(targets, begin, times.t_inject) or 0.0
    reasons = [
        *_not_numbers(targets, begin, times),
        *_missing(targets, times=times, spec=spec, normal=normal, normal_rate=rate, window=window),
    ]
    verdict = _verdict(window, conclusive=not reasons)
    report = WitnessReport(
        witness="server",
        status="inconclusive" if reasons else "ok",
        reason="; ".join(reasons) or _summary(window, after),
        verdict=verdict,
        requests=round(after.requests),
        failed_requests=round(after.bad),
        errors=_errors(targets, times),
        resolution=_resolution(window, spec, rate_window if normal.bad else 0.0),
        notes=tuple(_notes(targets, times, preset)),
    )
    return _with_normal(
        _with_window(report, window, times), targets, begin=begin, times=times, normal=normal, window=window
    )


def _not_numbers(targets: Sequence[TargetCounts], begin: int, times: RunTimes) -> Iterator[str]:
    for target in targets:
        number = sum(begin < t <= times.observed_until for t in target.unknown)
        if number:
            yield f"{number} counts of {target.instance} are not numbers"


def _missing(
    targets: Sequence[TargetCounts],
    *,
    times: RunTimes,
    spec: PrometheusSpec,
    normal: Ratio,
    normal_rate: float,
    window: ServerWindow | None,
) -> list[str]:
    begin = times.t_inject - nanoseconds(spec.scrape_interval_seconds)
    reasons = []
    for target in targets:
        for a, b in holes(target, begin, times.observed_until, spec.scrape_interval_seconds):
            reasons.append(f"{target.instance} was not scraped for {seconds(b - a):.1f} s")
        began_again = [t for t in target.resets if begin < t <= times.observed_until]
        if began_again:
            reasons.append(f"the counters of {target.instance} began again at 0: what it had counted last is lost")
    if not normal.requests:
        reasons.append("no request was counted before the fault")
    stall = _stall(targets, times, normal_rate)
    if stall:
        reasons.append(stall)
    if window is not None and not window.recovered and not times.horizon_ended:
        reasons.append("not recovered yet and the observation goes on")
    return reasons


def _stall(targets: Sequence[TargetCounts], times: RunTimes, normal_rate: float) -> str | None:
    longest = longest_stall(Intervals.of(targets), times.t_inject, times.observed_until)
    usual = seconds(longest) * normal_rate
    if usual < USUAL:
        return None
    return f"no finished request was counted for {seconds(longest):.1f} s, where {usual:.0f} are usual"


def _verdict(window: ServerWindow | None, *, conclusive: bool) -> Verdict:
    if not conclusive:
        return Verdict.INCONCLUSIVE
    if window is None:
        return Verdict.NO_IMPACT
    return Verdict.RECOVERED if window.recovered else Verdict.NOT_RECOVERED


def _summary(window: ServerWindow | None, after: Ratio) -> str:
    if window is None:
        return f"no error beyond the baseline in {round(after.requests)} requests"
    text = f"{round(after.bad)} of {round(after.requests)} requests failed"
    return text if window.recovered else f"{text}; no good answer was counted since"


def _with_window(report: WitnessReport, window: ServerWindow | None, times: RunTimes) -> WitnessReport:
    if window is None:
        nothing = 0.0 if report.verdict is Verdict.NO_IMPACT else None
        return report.model_copy(update={"error_window_seconds": nothing, "bad_seconds": nothing})
    reverted, acting = times.t_reverted, times.t_acting_until
    return report.model_copy(
        update={
            "t_impact": window.t_impact,
            "t_recovered": window.end if window.recovered else None,
            "censored": not window.recovered,
            "error_window_seconds": seconds(window.end - window.t_impact),
            "bad_seconds": seconds(sum(end - begin for begin, end in window.stretches)),
            "recovery_from_effect_seconds": seconds(window.end - times.effect),
            "recovery_from_revert_seconds": None if reverted is None else seconds(window.end - reverted),
            "recovered_while_acting": window.end <= acting if window.recovered and acting is not None else None,
            "stretches": tuple(Stretch(start_ns=begin, end_ns=end) for begin, end in window.stretches),
        }
    )


def _with_normal(
    report: WitnessReport,
    targets: Sequence[TargetCounts],
    *,
    begin: int,
    times: RunTimes,
    normal: Ratio,
    window: ServerWindow | None,
) -> WitnessReport:
    during = (window.t_impact, window.end) if window else (times.t_inject, times.observed_until)
    return report.model_copy(
        update={
            "baseline_requests": round(normal.requests),
            "baseline_bad_ratio": normal.bad_ratio,
            "baseline_rate": _rate(targets, begin, times.t_inject),
            "during_rate": _rate(targets, *during),
            "baseline_latency_seconds": _mean_latency(targets, begin, times.t_inject),
            "during_latency_seconds": _mean_latency(targets, *during),
        }
    )


def _resolution(window: ServerWindow | None, spec: PrometheusSpec, rate_window: float) -> Resolution:
    """Scrape interval, plus the rate window where errors had to be told from the background within one."""
    about = spec.scrape_interval_seconds + rate_window
    text = f"\u00b1{about:.3g} s (scrape every {spec.scrape_interval_seconds:g} s"
    text += f", rate window {rate_window:g} s)" if rate_window else ")"
    if window is None:
        # also what was not seen is known only so sharply
        return Resolution(at_impact_seconds=about, at_recovery_seconds=about, text=text)
    scrape = spec.scrape_interval_seconds
    return Resolution(
        at_impact_seconds=max(scrape, seconds(window.at_impact_ns)) + rate_window,
        at_recovery_seconds=max(scrape, seconds(window.at_recovery_ns)) + rate_window if window.recovered else None,
        text=text,
    )


def _notes(targets: Sequence[TargetCounts], times: RunTimes, preset: Preset) -> list[str]:
    span = (times.t_inject, times.observed_until)
    notes = []
    caller = sum(_in(t, t.caller, *span) for t in targets)
    if caller:
        notes.append(f"{caller:.0f} requests ended by the caller's doing count neither as good nor as bad")
    if all(t.started is not None for t in targets):
        started = sum(_in(t, t.started, *span) for t in targets if t.started is not None)
        finished = sum(_in(t, t.good + t.bad + t.caller, *span) for t in targets)
        notes.append(f"{started:.0f} requests started, {finished:.0f} finished")
    return [*notes, preset.blind] if preset.blind else notes


def _errors(targets: Sequence[TargetCounts], times: RunTimes) -> dict[str, int]:
    kinds = sorted({kind for t in targets for kind in t.kinds})
    found = {
        kind: round(
            sum(_in(t, t.kinds[kind], times.t_inject, times.observed_until) for t in targets if kind in t.kinds)
        )
        for kind in kinds
    }
    return {kind: number for kind, number in found.items() if number}


def _in(target: TargetCounts, numbers: Floats, begin: int, end: int) -> float:
    """Sum over the target's intervals that end in (begin, end]."""
    ends = target.grid[1:]
    return float(numbers[(ends > begin) & (ends <= end)].sum())


def _rate(targets: Sequence[TargetCounts], begin: int, end: int) -> float | None:
    """Good answers per second, over the intervals that were really covered."""
    rates = []
    for target in targets:
        ends = target.grid[1:]
        chosen = (ends > begin) & (ends <= end)
        covered = int(np.diff(target.grid)[chosen].sum())
        if covered:
            rates.append(float(target.good[chosen].sum()) * SECOND / covered)
    return sum(rates) if rates else None


def _mean_latency(targets: Sequence[TargetCounts], begin: int, end: int) -> float | None:
    count = sum(_in(t, t.latency_count, begin, end) for t in targets)
    total = sum(_in(t, t.latency_sum, begin, end) for t in targets)
    return total / count if count and math.isfinite(total) else None
