"""Reports from settings and a store; shared by the API of a running service and by the command line without one."""

from __future__ import annotations

from importlib.metadata import version

from monitor.config.settings import Settings
from monitor.model import Run
from monitor.report.model import RunReport, SoakReport
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from monitor.report.source import Making, Source

NOTHING_YET_NS = 3600 * 10**9


def making(settings: Settings, now_ns: int) -> Making:
    """By the service's own settings."""
    return Making(
        deployment=settings.deployment.name,
        version=version("aftershock"),
        now_ns=now_ns,
        baseline_seconds=settings.run.baseline_seconds,
        good_ratio=settings.slo.good_ratio,
    )


def of_run(source: Source, run: Run, settings: Settings, now_ns: int) -> RunReport:
    """Raises StoreError."""
    return run_report(source, run, making(settings, now_ns))


def of_period(
    source: Source,
    settings: Settings,
    now_ns: int,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    fault: str | None = None,
) -> SoakReport:
    """Without `since_ns` from the first thing that the store knows of. Raises StoreError, and ValueError for no period."""
    end = now_ns if until_ns is None else min(until_ns, now_ns)
    begin = since_ns
    if begin is None:
        oldest = source.oldest_ns()
        begin = end - NOTHING_YET_NS if oldest is None else min(oldest, end - 1)
    if begin >= end:
        raise ValueError("the period ends before it begins")
    return soak_report(source, begin, end, making(settings, now_ns), fault=fault)
