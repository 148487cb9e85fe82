"""Two periods, or two versions of a deployment, side by side: differences with bootstrap intervals. Pure.

Requests are not independent: what fails, fails in a row. So ratios and latencies are resampled by stretches of
time (the report's buckets), not by request; recoveries are resampled by run. Intervals are 95 % each, so of
twenty figures that did not change one looks as if it had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from monitor.report.fault_figures import MEASURED, harmed
from monitor.report.model import Difference, PeriodComparison, SoakReport
from monitor.report.source import utc
from monitor.report.statistics import Floats, Statistic, bootstrap, means, medians

SEED = 1


def compare_periods(first: SoakReport, second: SoakReport, seed: int = SEED) -> PeriodComparison:
    """The second one is the one that is reported on."""
    differences = tuple(_differences(first, second, seed))
    notes = [
        f"{len(differences)} figures are compared, each with a 95 % interval: about one in twenty differs by chance"
    ]
    if first.begin_ns < second.end_ns and second.begin_ns < first.end_ns and first.deployment == second.deployment:
        notes.append("the periods overlap: what lies in both is on both sides")
    only = {f.fault for f in first.faults} ^ {f.fault for f in second.faults}
    if only:
        notes.append(f"not compared, for only one of the two has runs of them: {', '.join(sorted(only))}")
    notes += [f"missing in the first: {line}" for line in first.missing]
    return PeriodComparison(
        first=named(first), second=named(second), seed=seed, differences=differences, notes=tuple(notes)
    )


def named(report: SoakReport) -> str:
    """Which deployment, measured from when to when."""
    return f"{report.deployment}, {utc(report.begin_ns)} to {utc(report.end_ns)}"


def _differences(first: SoakReport, second: SoakReport, seed: int) -> Iterator[Difference]:
    def told(what: str, unit: str, read: Callable[[SoakReport], Floats], statistic: Statistic) -> Difference:
        found = bootstrap(read(first), read(second), statistic, seed)
        return Difference(what=what, unit=unit, **found._asdict())

    yield told("bad requests, all the time", "%", bad_share, _ratios)
    yield told("latency, median of stretches", "s", latencies, medians)
    for fault in sorted({f.fault for f in first.faults} & {f.fault for f in second.faults} - _controls(second)):
        yield told(f"{fault}: recovery from effect, median", "s", partial(recoveries, fault=fault), medians)
        yield told(f"{fault}: failed requests a run, mean", "", partial(failures, fault=fault), means)


def _controls(report: SoakReport) -> set[str]:
    return {r.fault for r in report.runs if r.kind == "none"}


def bad_share(report: SoakReport) -> Floats:
    """Bad and judged requests of each stretch that had any."""
    rows = [(b.slow + b.failed, b.good + b.slow + b.failed) for b in report.buckets]
    return np.array([r for r in rows if r[1]], np.float64).reshape(-1, 2)


def latencies(report: SoakReport) -> Floats:
    """Median latency of each stretch that had any."""
    return np.array([b.latency_p50 for b in report.buckets if b.latency_p50 is not None], np.float64)


def recoveries(report: SoakReport, fault: str) -> Floats:
    """Of runs with impact; infinite for one that did not recover."""
    runs = harmed([r for r in report.runs if r.fault == fault])
    return np.array([math.inf if r.censored else r.recovery_seconds for r in runs], np.float64)


def failures(report: SoakReport, fault: str) -> Floats:
    """Failed requests of each measured run."""
    runs = [r for r in report.runs if r.fault == fault and r.verdict in MEASURED]
    return np.array([r.failed_requests for r in runs if r.failed_requests is not None], np.float64)


def _ratios(rows: Floats) -> Floats:
    found: Floats = 100 * rows[..., 0].sum(axis=1) / rows[..., 1].sum(axis=1)
    return found
