"""When a schedule fires and what it runs: pure functions of the schedule and the time that is asked about.

Whoever asks, whenever, in whatever process, gets the same plan: nothing is remembered between two
questions, so a restart shifts nothing and `aftershock schedules` can print what will happen.

- interval: at whole multiples of the interval since 1970 (UTC).
- cron: by APScheduler's CronTrigger in the schedule's time zone. When clocks go forward, a time of day that
  does not exist comes one hour later by the new clock, once. When clocks go back, a time of day that exists
  twice is taken the first time only, except where the hour field begins with `*`, which counts hours.
- random: for each local day a sorted draw from that day's window, seeded by schedule, date and seed; drawn
  so that two firings are never closer than the least gap. The window is measured in real time: a day with a
  clock change has a shorter or longer one, and fewer firings if that many do not fit.

Control runs: the n-th firing is one when the fractional part of `n * golden ratio + offset` is below the
share (a Weyl sequence, in whole numbers of 2**64). The count of control runs then stays within a few of
`n * share` for any n, they are spread evenly, and, the ratio being irrational, they keep step with no hour
of the day and no day of the week.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from monitor.config.settings import CronTiming, IntervalTiming, RandomTiming, ScheduleSpec
from monitor.schedule.cron import Cron, minute_of_day

CONTROL = "none"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.date()
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_GOLDEN = 0x9E3779B97F4A7C15
_WHOLE = 1 << 64
_DAYS_AHEAD = 9 * 366
"""29 February can be eight years away."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One planned firing. `at` is UTC; `seed` is for the run's own random choices."""

    schedule: str
    at: datetime
    fault: str
    seed: int


@dataclass(frozen=True, slots=True)
class Slot:
    """An instant with its number in the sequence of a schedule's firings."""

    at: datetime
    number: int


class Timing(Protocol):
    """Where firings lie in time."""

    def after(self, instant: datetime) -> Iterator[Slot]:
        """Slots strictly after an instant, in order; may end."""
        ...


class Interval:
    """Multiples of an interval since 1970."""

    def __init__(self, spec: IntervalTiming) -> None:
        self._step = timedelta(seconds=spec.every_seconds)

    def after(self, instant: datetime) -> Iterator[Slot]:
        number = (instant - _EPOCH) // self._step + 1
        while True:
            yield Slot(_EPOCH + number * self._step, number)
            number += 1


class CronTimes:
    """The instants of a cron expression in a time zone."""

    def __init__(self, spec: CronTiming, zone: ZoneInfo) -> None:
        self._zone = zone
        self._cron = Cron.parse(spec.cron)
        self._trigger = CronTrigger(**self._cron.fields(), timezone=zone)
        self._of_day = lru_cache(maxsize=4)(self._instants_of)
        self._counted = (_EPOCH_DAY, 0)

    def after(self, instant: datetime) -> Iterator[Slot]:
        day = instant.astimezone(self._zone).date()
        for _ in range(_DAYS_AHEAD):
            if self._cron.matches(day):
                base = self._days_before(day) * self._cron.per_day
                for index, at in enumerate(self._of_day(day)):
                    if at > instant:
                        yield Slot(at, base + index)
            day += timedelta(days=1)

    def _instants_of(self, day: date) -> list[datetime]:
        end = _midnight(day + timedelta(days=1), self._zone)
        found: list[datetime] = []
        at = self._trigger.get_next_fire_time(None, _midnight(day, self._zone))
        while at is not None and at.astimezone(UTC) < end:
            utc = at.astimezone(UTC)
            # Seen through UTC: an instant in the hour that a clock change skips has a wall time an hour later.
            if self._cron.every_hour or utc.astimezone(self._zone).fold == 0:
                found.append(utc)
            at = self._trigger.get_next_fire_time(None, utc + timedelta(microseconds=1))
        return found

    def _days_before(self, day: date) -> int:
        """How many days from 1970 up to this one match; counted on from the last answer."""
        known, count = self._counted if self._counted[0] <= day else (_EPOCH_DAY, 0)
        while known < day:
            count += self._cron.matches(known)
            known += timedelta(days=1)
        self._counted = (known, count)
        return count


class RandomTimes:
    """Seeded random instants in a daily window."""

    def __init__(self, spec: RandomTiming, zone: ZoneInfo, seed: str) -> None:
        self._spec = spec
        self._zone = zone
        self._seed = seed
        self._weekdays = frozenset(_WEEKDAYS.index(day) for day in spec.days)
        self._window = tuple(minute_of_day(text) for text in spec.between)

    def after(self, instant: datetime) -> Iterator[Slot]:
        day = instant.astimezone(self._zone).date()
        for _ in range(_DAYS_AHEAD):
            if day.weekday() in self._weekdays:
                base = self._days_before(day) * self._spec.random_per_day
                for index, at in enumerate(self._instants_of(day)):
                    if at > instant:
                        yield Slot(at, base + index)
            day += timedelta(days=1)

    def _instants_of(self, day: date) -> list[datetime]:
        start, end = (_at_minute(day, minute, self._zone) for minute in self._window)
        length = int((end - start).total_seconds())
        gap = self._spec.min_gap_seconds
        count = self._spec.random_per_day
        if gap > 0:
            count = min(count, int(length / gap) + 1)
        if length <= 0 or count < 1:
            return []
        rng = random.Random(f"{self._seed}:{day.isoformat()}")  # noqa: S311 - a plan that can be printed, not a secret
        free = length - gap * (count - 1)
        draws = sorted(rng.uniform(0.0, free) for _ in range(count))
        # Milliseconds, so that a printed plan shows what will happen.
        return [start + timedelta(milliseconds=round(1000 * (draw + gap * index))) for index, draw in enumerate(draws)]

    def _days_before(self, day: date) -> int:
        weeks, rest = divmod((day - _EPOCH_DAY).days, 7)
        in_part = sum((_EPOCH_DAY.weekday() + i) % 7 in self._weekdays for i in range(rest))
        return weeks * len(self._weekdays) + in_part


class Planner:
    """The plan of one schedule. Raises ValueError (`CronError`, `ZoneInfoNotFoundError`) for a spec that cannot be planned."""

    def __init__(self, spec: ScheduleSpec) -> None:
        self.spec = spec
        self._key = f"{spec.seed}:{spec.name}"
        self._timing = _timing_of(spec, self._key)
        self._offset = _hash64(f"{self._key}:control")
        self._threshold = round(spec.control_share * _WHOLE)

    def after(self, instant: datetime) -> Iterator[Firing]:
        """Firings strictly after an instant (aware), in order. Endless, but for expressions that come no more."""
        return (self._firing(slot) for slot in self._timing.after(instant))

    def next_after(self, instant: datetime) -> Firing | None:
        """The first firing strictly after an instant."""
        return next(self.after(instant), None)

    def plan(self, instant: datetime, count: int) -> list[Firing]:
        """The next `count` firings after an instant."""
        return list(islice(self.after(instant), count))

    def _firing(self, slot: Slot) -> Firing:
        rng = random.Random(f"{self._key}:{slot.at.isoformat()}")  # noqa: S311 - reproducible choice
        fault, seed = rng.choice(self.spec.faults), rng.randrange(2**31)
        if self._is_control(slot.number):
            fault = CONTROL
        return Firing(self.spec.name, slot.at, fault, seed)

    def _is_control(self, number: int) -> bool:
        return (number * _GOLDEN + self._offset) % _WHOLE < self._threshold


def _timing_of(spec: ScheduleSpec, key: str) -> Timing:
    zone = ZoneInfo(spec.timezone)
    match spec.timing:
        case IntervalTiming():
            return Interval(spec.timing)
        case CronTiming():
            return CronTimes(spec.timing, zone)
        case RandomTiming():
            return RandomTimes(spec.timing, zone, key)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _at_minute(day: date, minute: int, zone: ZoneInfo) -> datetime:
    days, rest = divmod(minute, 24 * 60)
    wall = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), zone)
    return wall.astimezone(UTC)


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
