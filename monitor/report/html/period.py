"""Pictures of a period: what the probes saw, and each fault's recoveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from monitor.report.fault_figures import harmed
from monitor.report.html.page import VERDICT_LOOKS
from monitor.report.html.svg import Drawing, Scale, dots, number, polyline
from monitor.report.html.words import instant, length, percent, seconds, short_seconds
from monitor.report.model import Bucket, FaultFigures, RunLine, SoakReport, Spread

BAD, LATENCY, EVENTS = 130.0, 110.0, 24.0
_TIME_STEPS = (60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400, 30 * 86400)


def time_ticks(begin_ns: int, end_ns: int, count: int) -> list[int]:
    """Round instants (UTC seconds) in the period."""
    span = (end_ns - begin_ns) / 1e9
    step = next((s for s in _TIME_STEPS if span / s <= count), 90 * 86400)
    first = -(-begin_ns // (step * 10**9)) * step
    return list(range(first, end_ns // 10**9 + 1, step))


def overview(report: SoakReport, *, width: float, look: str) -> str:
    """Bad requests, latency, runs and incidents on one time axis."""
    left, right = (58.0, 8.0) if width < 600 else (76.0, 14.0)
    latency_top, runs_top = 20 + BAD + 26, 20 + BAD + 26 + LATENCY + 20
    bottom = runs_top + 2 * EVENTS
    drawing = Drawing(width, bottom + 22, f"Requests, runs and incidents of {report.deployment}")
    axis = Scale(report.begin_ns / 1e9, report.end_ns / 1e9, left, width - right)
    for hole in report.holes:
        x, x2 = axis(hole.start_ns / 1e9), axis((hole.end_ns or report.end_ns) / 1e9)
        drawing.rect(x, 20, x2 - x, bottom - 20, "hole", f"no data: {hole.probe} sent nothing, {hole.reason}")
    _bad(drawing, report, axis, 20)
    _latency(drawing, report.buckets, axis, latency_top)
    _events(drawing, report, axis, runs_top)
    _dates(drawing, report, axis, bottom)
    return drawing.svg(look)


def _bad(drawing: Drawing, report: SoakReport, axis: Scale, top: float) -> None:
    most = max((b.slow + b.failed + b.lost for b in report.buckets), default=0) or 1
    scale = Scale(0, most * 1.05, top + BAD, top)
    for value in (v for v in scale.ticks(4) if v == int(v)):
        drawing.line(axis.first, scale(value), axis.last, scale(value), "grid")
        drawing.text(axis.first - 6, scale(value) + 4, f"{value:g}", "small", "end")
    for bucket in report.buckets:
        begin = bucket.start_ns / 1e9
        x, x2, y = axis(begin), axis(begin + report.bucket_seconds), top + BAD
        judged = bucket.good + bucket.slow + bucket.failed
        if not judged and not bucket.lost:
            drawing.rect(x, y - 4, x2 - x, 4, "hole", f"{instant(bucket.start_ns)}: no requests")
        for kind, n in (("failed", bucket.failed), ("slow", bucket.slow), ("lost", bucket.lost)):
            if n:  # one bad request among many is still seen
                up = max(top + BAD - scale(n), 2.0)
                told = f"{instant(bucket.start_ns)}: {n} {kind} of {judged}, {percent(n / judged if judged else None)}"
                drawing.rect(x, y - up, x2 - x - 0.2, up, f"{kind} bar", told)
                y -= up
    drawing.text(axis.first + 4, top - 4, f"bad requests in {length(report.bucket_seconds)}", "small faint")


def _latency(drawing: Drawing, buckets: Sequence[Bucket], axis: Scale, top: float) -> None:
    known = [v for b in buckets for v in (b.latency_p50, b.latency_longest) if v is not None]
    low, high = min(known, default=0.1), max(known, default=1.0)
    log = low > 0 and high / low > 20
    scale = Scale(low / 1.2 if log else 0.0, high * 1.1, top + LATENCY, top, log)
    for value in scale.ticks(4):
        drawing.line(axis.first, scale(value), axis.last, scale(value), "grid")
        drawing.text(axis.first - 6, scale(value) + 4, short_seconds(value), "small", "end")
    for look, read in (("longest", "latency_longest"), ("ribbon", "latency_p50")):
        places = [(axis(b.start_ns / 1e9), None if (v := getattr(b, read)) is None else scale(v)) for b in buckets]
        drawing.path(polyline(places), look)
    drawing.text(axis.first + 4, top - 4, "latency: median, and the longest above it", "small faint")


def _events(drawing: Drawing, report: SoakReport, axis: Scale, top: float) -> None:
    for row, name in enumerate(("runs", "incidents")):
        drawing.rect(axis.first, top + row * EVENTS + 2, axis.last - axis.first, EVENTS - 4, "lane")
        drawing.text(axis.first - 6, top + row * EVENTS + 16, name, "", "end")
    for run in report.runs:
        x = axis((run.inject_ns or run.requested_ns) / 1e9)
        word = run.verdict.value if run.verdict else "running"
        look = "poor" if run.met is False else VERDICT_LOOKS.get(word, "unsure")
        told = f"{run.fault}: {word}, {instant(run.requested_ns)}, recovery {seconds(run.recovery_seconds, at_least=run.censored)}"
        drawing.line(x, top + 4, x, top + EVENTS - 4, f"event {look}", told)
    for incident in report.incidents:
        x, x2 = axis(incident.start_ns / 1e9), axis((incident.end_ns or report.end_ns) / 1e9)
        told = f"{instant(incident.start_ns)}: {incident.bad_requests} bad requests, {incident.first_error}"
        drawing.rect(x, top + EVENTS + 5, max(x2 - x, 2), EVENTS - 10, "incident", told)


def _dates(drawing: Drawing, report: SoakReport, axis: Scale, y: float) -> None:
    for at in time_ticks(report.begin_ns, report.end_ns, max(2, round((axis.last - axis.first) / 80))):
        x, when = axis(at), datetime.fromtimestamp(at, UTC)
        drawing.line(x, y, x, y + 4, "axis")
        drawing.text(
            x, y + 17, f"{when:%b %d}" if when.hour == when.minute == 0 else f"{when:%H:%M}", "small", "middle"
        )
    drawing.line(axis.first, y, axis.last, y, "axis")


# --- a fault ------------------------------------------------------------------------------------


def recoveries(report: SoakReport, fault: FaultFigures, *, width: float, look: str) -> str:
    """Every recovery of a fault over time, beside their distribution. A run that did not recover is a cross at the top."""
    hurt = harmed([r for r in report.runs if r.fault == fault.fault])
    left, right, top, tall = (44.0, 50.0, 12.0, 130.0) if width < 600 else (76.0, 120.0, 12.0, 130.0)
    drawing = Drawing(width, top + tall + 22, f"Recovery of {fault.fault}, run by run")
    axis = Scale(report.begin_ns / 1e9, report.end_ns / 1e9, left, width - right)
    most = max((r.recovery_seconds or 0.0 for r in hurt), default=1.0) or 1.0
    least = min((r.recovery_seconds or 0.0 for r in hurt), default=0.0)
    scale = Scale(min(0.0, least), most * 1.1, top + tall, top)
    for value in scale.ticks(4):
        drawing.line(axis.first, scale(value), axis.last, scale(value), "grid")
        drawing.text(axis.first - 6, scale(value) + 4, f"{value:g} s", "small", "end")
    if fault.trend.value is not None and fault.recovery.median is not None:
        _trend(drawing, fault.trend.value, hurt, axis, scale)
    for run in hurt:
        _run(drawing, run, axis, scale)
    _box(drawing, fault.recovery, scale, width - right + 16, width - 10)
    _dates(drawing, report, axis, top + tall)
    return drawing.svg(look)


def _run(drawing: Drawing, run: RunLine, axis: Scale, scale: Scale) -> None:
    x, y = axis((run.inject_ns or run.requested_ns) / 1e9), scale(run.recovery_seconds or 0.0)
    told = f"{run.id}, {instant(run.requested_ns)}: {seconds(run.recovery_seconds, at_least=run.censored)}"
    shape = f"M{number(x - 4)} {number(y - 4)}l8 8m0 -8l-8 8" if run.censored else dots([(x, y)])
    drawing.path(shape, "run open" if run.censored else "run dot", told, f"run-{run.id}")


def _trend(drawing: Drawing, slope_a_day: float, hurt: Sequence[RunLine], axis: Scale, scale: Scale) -> None:
    """Through the medians, as Theil and Sen draw it."""
    ended = sorted((r.requested_ns / 1e9, r.recovery_seconds or 0.0) for r in hurt if not r.censored)
    level = sorted(y - slope_a_day * x / 86_400 for x, y in ended)[len(ended) // 2]
    ends = (ended[0][0], ended[-1][0])
    drawing.path(polyline([(axis(x), scale(level + slope_a_day * x / 86_400)) for x in ends]), "trend", "trend")


def _box(drawing: Drawing, spread: Spread, scale: Scale, x: float, x2: float) -> None:
    """From quartile to quartile, with the median; open to the top where a quartile is not known."""
    if spread.p25 is None:
        return
    top = scale(spread.p75) if spread.p75 is not None else scale.last
    drawing.rect(x, top, x2 - x, scale(spread.p25) - top, "box", "half of the runs")
    if spread.median is not None:
        drawing.line(x, scale(spread.median), x2, scale(spread.median), "middle", f"median {seconds(spread.median)}")
