"""What the server's metrics say beside errors: how much of what, and the peaks. Pure.

Only raw samples. A figure without any series is None and named in `absent`: never happened and not exported
look the same to Prometheus, and neither is a zero that somebody counted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.config.settings import PrometheusSpec
from monitor.measure.columns import Int64
from monitor.measure.increments import HOLE_INTERVALS, Floats, grid_of, increments
from monitor.measure.presets import Counter, Preset
from monitor.measure.prometheus import Series
from monitor.measure.server_workers import workers_of
from monitor.measure.times import SECOND, RunTimes, nanoseconds
from monitor.model import ServerFigures, WitnessReport

COUNTERS = ("migrations", "cancellations", "rejections", "preemptions")
PEAKS = {"queue": "queue_peak", "in_flight": "in_flight_peak", "kv_cache": "kv_cache_peak"}
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Samples:
    """All that was fetched, with the good scrapes of each target."""

    series: Sequence[Series]
    grids: dict[tuple[str, str], Int64]

    @classmethod
    def of(cls, series: Sequence[Series], up: Sequence[Series]) -> Samples:
        targets = {s.target for s in series}
        return cls(
            series,
            {t: grid_of([s for s in series if s.target == t], [u for u in up if u.target == t]) for t in targets},
        )

    def named(self, names: Sequence[str]) -> list[Series]:
        """The series of the first name that any target has: a frontend and its engines count the same things."""
        for name in names:
            found = [s for s in self.series if s.name == name and len(s.times)]
            if found:
                return found
        return []

    def counter(self, counter: Counter) -> list[Series]:
        """The series that count."""
        found = self.named(counter.names)
        return [s for s in found if not counter.label or s.labels.get(counter.label) == counter.value]

    def steps(self, series: Series) -> tuple[Int64, Int64, Floats]:
        """Begins and ends of the intervals of its target, and what it counted in each."""
        grid = self.grids[series.target]
        return grid[:-1], grid[1:], increments(series, grid)[0]


def with_figures(
    report: WitnessReport,
    series: Sequence[Series],
    up: Sequence[Series],
    *,
    begin: int,
    times: RunTimes,
    spec: PrometheusSpec,
    preset: Preset,
) -> WitnessReport:
    """The report with its figures; `begin` is the begin of the baseline."""
    samples, beside = Samples.of(series, up), preset.beside
    span = (times.t_inject, times.observed_until)
    during = (report.t_impact, report.t_recovered or times.observed_until) if report.t_impact is not None else span
    hole = nanoseconds(HOLE_INTERVALS * spec.scrape_interval_seconds)
    tokens = samples.counter(beside.tokens)
    split = {name: _split(samples, getattr(beside, name), span) for name in COUNTERS}
    totals = {name: None if found is None else sum(found.values()) for name, found in split.items()}
    refused = {k: n for k, n in report.errors.items() if re.fullmatch(preset.finished.rejected, k)}
    if totals["rejections"] is None and refused:
        totals["rejections"] = sum(refused.values())
    fronts = {s.target for s in series if s.name in preset.finished.names} if beside.apart else set()
    living = [s for s in samples.named(beside.workers) if s.target not in fronts]
    workers = workers_of(living, up, beside.worker_id, span=span, hole=hole)
    figures = ServerFigures(
        **totals,
        migrations_by={k: n for k, n in (split["migrations"] or {}).items() if k and n},
        rejections_by=refused,
        queue_peak=_peak_of_sum(samples.named(beside.queue), span, hole),
        in_flight_peak=_peak_of_sum(samples.named(beside.in_flight), span, hole),
        kv_cache_peak=_peak(samples.named(beside.kv_cache), span),
        tokens_per_second_before=_rate(samples, tokens, (begin, times.t_inject)),
        tokens_per_second_during=_rate(samples, tokens, during),
        workers_before=workers.before,
        workers_after=workers.after,
        worker_events=workers.events,
    )
    return report.model_copy(update={"figures": figures.model_copy(update={"absent": tuple(_absent(figures, preset))})})


def _absent(figures: ServerFigures, preset: Preset) -> Iterator[str]:
    beside = preset.beside
    for name in COUNTERS:
        if getattr(beside, name).names and getattr(figures, name) is None:
            yield name
    for source, name in PEAKS.items():
        if getattr(beside, source) and getattr(figures, name) is None:
            yield name
    if beside.tokens.names and figures.tokens_per_second_before is figures.tokens_per_second_during is None:
        yield "tokens_per_second"
    if beside.workers and figures.workers_before is None:
        yield "workers"


def _split(samples: Samples, counter: Counter, span: Span) -> dict[str, int] | None:
    """How much was counted in the intervals that end in the span, by the counter's label; None without any."""
    found: dict[str, float] = defaultdict(float)
    for one in samples.counter(counter):
        _, ends, counted = samples.steps(one)
        chosen = _within(ends, span)
        if chosen.any():
            found[one.labels.get(counter.split, "") if counter.split else ""] += float(counted[chosen].sum())
    return {k: round(v) for k, v in sorted(found.items())} or None


def _rate(samples: Samples, series: Sequence[Series], span: Span) -> float | None:
    """Per second of the time that was covered, all targets together; None when none was."""
    rates = []
    for one in series:
        begins, ends, counted = samples.steps(one)
        chosen = _within(ends, span)
        covered = int((ends - begins)[chosen].sum())
        if covered:
            rates.append(float(counted[chosen].sum()) * SECOND / covered)
    return sum(rates) if rates else None


def _peak(series: Sequence[Series], span: Span) -> float | None:
    values = [s.values[_within(s.times, span)] for s in series]
    found = np.concatenate(values) if values else np.empty(0)
    return float(found.max()) if len(found) else None


def _peak_of_sum(series: Sequence[Series], span: Span, hole: int) -> float | None:
    """Largest sum of what all series said last; one that has been silent for a hole says nothing any more."""
    instants = np.unique(np.concatenate([s.times for s in series] or [np.empty(0, np.int64)]))
    instants = instants[_within(instants, span)]
    if not len(instants):
        return None
    total = np.zeros(len(instants))
    for one in series:
        at = np.searchsorted(one.times, instants, side="right") - 1
        last = np.maximum(at, 0)
        fresh = (at >= 0) & (instants - one.times[last] <= hole)
        total += np.where(fresh, one.values[last], 0.0)
    return float(total.max())


def _within(instants: Int64, span: Span) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return (instants > span[0]) & (instants <= span[1])
