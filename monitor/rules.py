"""What a configuration says that the Prometheus rules need to know."""

from __future__ import annotations

from datetime import date, timedelta

from dashboards.rules.facts import Facts, Schedule
from monitor.catalogue import catalogue
from monitor.config.settings import CronTiming, IntervalTiming, ScheduleSpec, Settings
from monitor.schedule.cron import Cron

RUNBOOKS = "docs/runbooks"
_LEAP_YEAR = date(2028, 1, 1)
"""Cron expressions may name February 29; over a leap year every day comes."""


def facts_of(settings: Settings, *, scrape_seconds: float = 15.0, runbooks: str = RUNBOOKS) -> Facts:
    """The facts of a deployment. `scrape_seconds` is how often Prometheus asks our own /metrics."""
    entries = catalogue(settings.faults)
    limits = {name: entry.objectives.limits() for name, entry in entries.items()}
    return Facts(
        deployment=settings.deployment.name,
        good_ratio=settings.slo.good_ratio,
        period_seconds=settings.slo.period_hours * 3600,
        request_rate=sum(probe.request_rate for probe in settings.probes),
        request_timeout_seconds=max(probe.request_timeout_seconds for probe in settings.probes),
        probes=tuple(probe.name for probe in settings.probes),
        limits={name: found for name, found in limits.items() if found},
        controls=tuple(name for name, entry in entries.items() if entry.fault.kind == "none"),
        schedules=tuple(_schedule(one) for one in settings.schedules if one.enabled),
        sources=(*(["prometheus"] if settings.prometheus else []), *(["otlp"] if settings.traces else [])),
        horizon_seconds=settings.run.horizon_seconds,
        max_bad_ratio=settings.guard.steady_state.max_bad_ratio,
        scrape_seconds=scrape_seconds,
        runbooks=runbooks.rstrip("/"),
    )


def _schedule(spec: ScheduleSpec) -> Schedule:
    breaking = firings_per_day(spec) * (1 - spec.control_share)
    return Schedule(spec.name, spec.faults, breaking, spec.missed_after_seconds)


def firings_per_day(spec: ScheduleSpec) -> float:
    """The mean over a year."""
    timing = spec.timing
    if isinstance(timing, IntervalTiming):
        return 86_400 / timing.every_seconds
    if isinstance(timing, CronTiming):
        cron = Cron.parse(timing.cron)
        days = [_LEAP_YEAR + timedelta(days=number) for number in range(366)]
        return cron.per_day * sum(cron.matches(day) for day in days) / len(days)
    return timing.random_per_day * len(set(timing.days)) / 7
