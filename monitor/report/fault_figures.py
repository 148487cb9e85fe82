"""What all runs of a fault say together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from monitor.model import Verdict
from monitor.report.model import FaultFigures, RunLine
from monitor.report.statistics import spread, trend

MEASURED = frozenset({Verdict.NO_IMPACT, Verdict.RECOVERED, Verdict.NOT_RECOVERED})
"""Verdicts that stand on enough data."""
DAY_NS = 86_400 * 10**9


def fault_figures(lines: Sequence[RunLine]) -> tuple[FaultFigures, ...]:
    """By name of the fault."""
    return tuple(_of(name, [r for r in lines if r.fault == name]) for name in sorted({r.fault for r in lines}))


def harmed(lines: Sequence[RunLine]) -> list[RunLine]:
    """Runs with a recovery to speak of: measured, and with impact."""
    return [r for r in lines if r.verdict in MEASURED and r.impact_ns is not None and r.recovery_seconds is not None]


def _of(name: str, lines: Sequence[RunLine]) -> FaultFigures:
    hurt = harmed(lines)
    ended = [r for r in hurt if not r.censored]
    origin = min((r.requested_ns for r in lines), default=0)
    slowest = max(hurt, key=lambda r: (r.censored, r.recovery_seconds or 0.0), default=None)
    return FaultFigures(
        fault=name,
        runs=len(lines),
        verdicts=dict(Counter(r.verdict.value if r.verdict else "running" for r in lines)),
        met=sum(r.met is True for r in lines),
        missed=sum(r.met is False for r in lines),
        recovery=spread(
            [r.recovery_seconds for r in ended if r.recovery_seconds is not None],
            [r.recovery_seconds for r in hurt if r.censored and r.recovery_seconds is not None],
        ),
        error_window=spread(
            [r.error_window_seconds for r in ended if r.error_window_seconds is not None],
            [r.error_window_seconds for r in hurt if r.censored and r.error_window_seconds is not None],
        ),
        failed_requests=spread(
            [float(r.failed_requests) for r in lines if r.verdict in MEASURED and r.failed_requests is not None]
        ),
        trend=trend(
            [(r.requested_ns - origin) / DAY_NS for r in ended],
            [r.recovery_seconds for r in ended if r.recovery_seconds is not None],
        ),
        worst=slowest.id if slowest is not None else "",
    )
