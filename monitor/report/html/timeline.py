"""The picture of one run: requests, bad ones, rates and the witnesses' windows on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.measure.columns import OUTCOMES
from monitor.model import Run, WitnessReport
from monitor.report.html.svg import Drawing, Scale, cloud, dots, mark, marks, ticks_down
from monitor.report.html.words import after, seconds, short_seconds
from monitor.report.model import BadRequest, RunReport
from probes.record import Outcome

WITNESSES = ("client", "server", "trace")
SCATTER, RUG, BARS, LANE = 250.0, 22.0, 90.0, 24.0
_FROM_LOG = 20.0
"""A spread of durations from which on a linear axis would hide the short ones."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A stretch of the picture's height."""

    top: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height


def timeline(report: RunReport, *, width: float, look: str) -> str:
    """The figure, for a width in pixels; `look` is its class."""
    narrow = width < 600
    left, right = (44.0, 6.0) if narrow else (76.0, 14.0)
    top = 30.0
    scatter = Panel(top, SCATTER)
    rug = Panel(scatter.bottom + 8, RUG)
    bars = Panel(rug.bottom + 22, BARS)
    lanes = Panel(bars.bottom + 24, LANE * len(WITNESSES))
    height = lanes.bottom + 34
    drawing = Drawing(width, height, f"Requests around run {report.run.id}, and what each witness saw")
    origin = _origin(report.run)
    axis = Scale((report.begin_ns - origin) / 1e9, (report.end_ns - origin) / 1e9, left, width - right)
    _regions(drawing, report, axis, Panel(top, lanes.bottom - top))
    _scatter(drawing, report, axis, scatter)
    _rug(drawing, report, axis, rug)
    _bars(drawing, report, axis, bars)
    _witnesses(drawing, report, axis, lanes)
    _time_axis(drawing, axis, lanes.bottom, "s from the injection" if report.run.t_inject else "s from the request")
    return drawing.svg(look)


def _origin(run: Run) -> int:
    return run.t_inject if run.t_inject is not None else run.t_requested


def _at(report: RunReport, ns: int) -> float:
    return (ns - _origin(report.run)) / 1e9


def acting(run: Run) -> tuple[int, int] | None:
    """From when to when the fault acted; None for a fault of an instant, or one that never did."""
    if run.t_inject is None:
        return None
    ends = [t for t in (run.t_effect_ended, run.t_reverted) if t is not None]
    return (run.t_inject, min(ends)) if ends and min(ends) > run.t_inject else None


def _regions(drawing: Drawing, report: RunReport, axis: Scale, panel: Panel) -> None:
    run = report.run
    client = run.witness("client")
    stretches = [(s.start_ns, s.end_ns) for s in client.stretches] if client is not None else []
    for begin, end in stretches:
        x, x2 = axis(_at(report, begin)), axis(_at(report, end))
        drawing.rect(x, panel.top, x2 - x, panel.height, "hurt", f"users hurt, {seconds((end - begin) / 1e9)}")
    for hole in report.holes:
        x, x2 = axis(_at(report, hole.start_ns)), axis(_at(report, hole.end_ns or report.end_ns))
        drawing.rect(x, panel.top, x2 - x, panel.height, "hole", f"no data: {hole.probe} sent nothing, {hole.reason}")
    _phases(drawing, report, axis, panel)


def _phases(drawing: Drawing, report: RunReport, axis: Scale, panel: Panel) -> None:
    """A strip above everything, and an upright line at each edge that matters."""
    run = report.run
    edges = [report.begin_ns, run.t_inject, (acting(run) or (None, None))[1], report.end_ns]
    words = ["before", "the fault acts", "after it"] if edges[2] is not None else ["before", "", "after it"]
    looks = ["phase0", "phase1", "phase2"]
    known = [e for e in edges if e is not None]
    names = [(w, k) for w, k in zip(words, looks, strict=True) if w] if run.t_inject is not None else [("", "phase0")]
    for (word, look), begin, end in zip(names, known, known[1:], strict=False):
        x, x2 = axis(_at(report, begin)), axis(_at(report, end))
        drawing.rect(x, panel.top - 20, x2 - x, 15, look, f"{word}, {seconds((end - begin) / 1e9)}")
        if x2 - x > 7 * len(word):
            drawing.text((x + x2) / 2, panel.top - 8.5, word, "small", "middle")
    for name, ns in _instants(run):
        x = axis(_at(report, ns))
        drawing.line(x, panel.top - 5, x, panel.bottom, f"at {name}", f"{name} {after(ns, _origin(run))}")


def _instants(run: Run) -> Iterator[tuple[str, int]]:
    client = run.witness("client")
    found = {
        "injected": run.t_inject,
        "effect": run.t_effect,
        "reverted": run.t_reverted,
        "recovered": client.t_recovered if client is not None else None,
    }
    yield from ((name, ns) for name, ns in found.items() if ns is not None)


def _scatter(drawing: Drawing, report: RunReport, axis: Scale, panel: Panel) -> None:
    points = report.points
    lives = [max(life, 100) / 1e6 for life in points.life_us]
    shortest, longest = min(lives, default=0.1), max(lives, default=1.0)
    log = longest / shortest > _FROM_LOG
    low = shortest / 1.3 if log else 0.0
    height = Scale(low, longest * (1.3 if log else 1.05), panel.bottom, panel.top, log)
    _value_axis(drawing, height, axis, "latency")
    base = _at(report, points.base_ns)
    places: dict[Outcome, list[tuple[float, float]]] = {outcome: [] for outcome in OUTCOMES}
    for start, life, code in zip(points.start_us, lives, points.outcome, strict=True):
        places[OUTCOMES[code]].append((axis(base + start / 1e6), height(life)))
    drawing.path(dots(places[Outcome.GOOD]), "good dot")
    drawing.path(marks("lost", places[Outcome.LOST]), "lost mark", "lost: nobody saw how they ended")
    if report.bad_total > len(report.bad):
        for outcome in (Outcome.SLOW, Outcome.FAILED, Outcome.TRUNCATED):
            drawing.path(cloud(places[outcome]), f"{outcome.value} cloud")
        return
    for i, bad in enumerate(report.bad):
        life = max((bad.end_ns - bad.start_ns) / 1e9, 1e-4)
        where = mark(bad.outcome, axis(_at(report, bad.start_ns)), height(life))
        drawing.path(where, f"{bad.outcome} mark", _told(bad, report), f"b{i}")


def _told(bad: BadRequest, report: RunReport) -> str:
    lasted = short_seconds((bad.end_ns - bad.start_ns) / 1e9)
    return f"{bad.outcome} {bad.error} at {after(bad.start_ns, _origin(report.run))}, {lasted}"


def _rug(drawing: Drawing, report: RunReport, axis: Scale, panel: Panel) -> None:
    """Every request that was not good, as a tick at its start: none hides behind another one's height."""
    points = report.points
    base = _at(report, points.base_ns)
    drawing.rect(axis.first, panel.top, axis.last - axis.first, panel.height, "lane")
    drawing.text(axis.first - 6, panel.top + 15, "bad", "", "end")
    for outcome in (Outcome.LOST, Outcome.SLOW, Outcome.TRUNCATED, Outcome.FAILED):
        code = OUTCOMES.index(outcome)
        xs = [axis(base + s / 1e6) for s, o in zip(points.start_us, points.outcome, strict=True) if o == code]
        drawing.path(ticks_down(xs, panel.top + 2, panel.height - 4), f"{outcome.value} tick")


def _bars(drawing: Drawing, report: RunReport, axis: Scale, panel: Panel) -> None:
    width = report.bucket_seconds
    most = max((b.good + b.slow + b.failed + b.lost for b in report.buckets), default=1) / width or 1.0
    height = Scale(0.0, most * 1.05, panel.bottom, panel.top)
    _value_axis(drawing, height, axis, "sent/s", rows=3)
    for bucket in report.buckets:
        begin = _at(report, bucket.start_ns)
        x, x2 = axis(begin), axis(begin + width)
        y, told = panel.bottom, f"{begin:+.0f} s: {bucket.good} good, {bucket.slow} slow, {bucket.failed} failed"
        for kind, n in (
            ("failed", bucket.failed),
            ("slow", bucket.slow),
            ("lost", bucket.lost),
            ("good", bucket.good),
        ):
            if n:
                up = panel.bottom - height(n / width)
                drawing.rect(x + 0.3, y - up, x2 - x - 0.6, up, f"{kind} bar", told)
                y -= up


def _witnesses(drawing: Drawing, report: RunReport, axis: Scale, panel: Panel) -> None:
    for i, name in enumerate(WITNESSES):
        y = panel.top + i * LANE
        drawing.rect(axis.first, y + 2, axis.last - axis.first, LANE - 4, "lane")
        drawing.text(axis.first - 6, y + 16, name, "", "end")
        witness = report.run.witness(name)
        if witness is None or witness.status == "absent":
            drawing.text(axis.first + 6, y + 16, "absent", "small faint")
            continue
        _window(drawing, report, axis, witness, y)


def _window(drawing: Drawing, report: RunReport, axis: Scale, witness: WitnessReport, y: float) -> None:
    words = f"{witness.witness}: " + (witness.verdict.value if witness.verdict else witness.status)
    if witness.t_impact is None:
        drawing.text(axis.first + 6, y + 16, "no impact" if witness.status == "ok" else witness.status, "small faint")
        return
    end = witness.t_recovered or report.end_ns
    x, x2 = axis(_at(report, witness.t_impact)), axis(_at(report, end))
    told = f"{words}, error window {seconds(witness.error_window_seconds, at_least=witness.censored)}, {witness.resolution.text}"
    drawing.rect(x, y + 5, x2 - x, LANE - 10, f"window {witness.witness}", told)
    for begin, stop in _stretches(witness, end):
        a, b = axis(_at(report, begin)), axis(_at(report, stop))
        drawing.rect(a, y + 5, b - a, LANE - 10, f"stretch {witness.witness}", told)
    for instant, sharp in (
        (witness.t_impact, witness.resolution.at_impact_seconds),
        (end, witness.resolution.at_recovery_seconds),
    ):
        if sharp:
            at = _at(report, instant)
            drawing.line(axis(at - sharp), y + LANE / 2, axis(at), y + LANE / 2, "sharp", f"resolution {sharp:.2f} s")


def _stretches(witness: WitnessReport, end: int) -> Sequence[tuple[int, int]]:
    return [(s.start_ns, s.end_ns) for s in witness.stretches] or [(witness.t_impact or end, end)]


def _value_axis(drawing: Drawing, scale: Scale, axis: Scale, name: str, rows: int = 5) -> None:
    for value in scale.ticks(rows):
        y = scale(value)
        drawing.line(axis.first, y, axis.last, y, "grid")
        drawing.text(axis.first - 6, y + 4, short_seconds(value) if name == "latency" else f"{value:g}", "small", "end")
    drawing.text(axis.first + 4, scale.last + 11, name, "small faint")


def _time_axis(drawing: Drawing, axis: Scale, y: float, name: str) -> None:
    for value in axis.ticks(round((axis.last - axis.first) / 70)):
        x = axis(value)
        drawing.line(x, y, x, y + 4, "axis")
        drawing.text(x, y + 16, f"{value:+g}" if value else "0", "small", "middle")
    drawing.line(axis.first, y, axis.last, y, "axis")
    drawing.text(axis.last, y + 30, name, "small faint", "end")
