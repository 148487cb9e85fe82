"""Mistakes in when a schedule fires."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from monitor.config.problem import Finding, near, shown
from monitor.config.settings import CronTiming, RandomTiming, ScheduleSpec
from monitor.config.yamlfile import Location
from monitor.schedule.cron import EXAMPLE, Cron, CronError, minute_of_day


def timing_findings(schedule: ScheduleSpec, at: Location) -> Iterator[Finding]:
    """Mistakes in the time zone and the timing of the schedule at a location."""
    yield from _zone(schedule, at)
    if isinstance(schedule.timing, CronTiming):
        yield from _cron(schedule.timing, (*at, "timing", "cron"))
    elif isinstance(schedule.timing, RandomTiming):
        yield from _window(schedule.timing, (*at, "timing"))


def _zone(schedule: ScheduleSpec, at: Location) -> Iterator[Finding]:
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        names = sorted(available_timezones())
        hint = near(schedule.timezone, names, most=0)
        right = hint if hint.startswith("did") else "an IANA name such as Europe/Berlin"
        yield Finding((*at, "timezone"), f"{shown(schedule.timezone)} is not a time zone", right)


def _cron(timing: CronTiming, at: Location) -> Iterator[Finding]:
    try:
        Cron.parse(timing.cron)
    except CronError as error:
        yield Finding(at, f"{shown(timing.cron)} is not a cron expression: {error}", f'for example "{EXAMPLE}"')


def _window(timing: RandomTiming, at: Location) -> Iterator[Finding]:
    minutes: list[int] = []
    for index, text in enumerate(timing.between):
        try:
            minutes.append(minute_of_day(text))
        except ValueError as error:
            yield Finding((*at, "between", index), str(error), "HH:MM, from 00:00 to 24:00")
    if len(minutes) < 2:
        return
    if minutes[0] >= minutes[1]:
        right = "write the earlier time first; for a window over midnight use two schedules, one to 24:00 and one from 00:00"
        yield Finding((*at, "between"), f"{timing.between[1]} is not after {timing.between[0]}", right)
        return
    seconds = (minutes[1] - minutes[0]) * 60
    needed = (timing.random_per_day - 1) * timing.min_gap_seconds
    if needed > seconds:
        what = f"{timing.random_per_day} firings at least {timing.min_gap_seconds:g} s apart need {needed:g} s, the window has {seconds:g} s"
        fits = int(seconds / timing.min_gap_seconds) + 1
        right = f"at most {fits}, a longer window or a smaller min_gap_seconds"
        yield Finding((*at, "random_per_day"), what, right, ((*at, "between"), (*at, "min_gap_seconds")))
