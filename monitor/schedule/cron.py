"""Times of day and five-field cron expressions, checked field by field.

Weekdays are those of crontab (0 and 7 are Sunday) and not APScheduler's, where 0 is Monday.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

EXAMPLE = "*/15 * * * *"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class CronError(ValueError):
    """Why a text is not a cron expression; one clause."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    def parse(self, text: str) -> frozenset[int]:
        found: set[int] = set()
        for part in text.lower().split(","):
            found |= self._part(part)
        return frozenset(found)

    def _part(self, part: str) -> set[int]:
        span, slash, step_text = part.partition("/")
        step = self._step(step_text, part) if slash else 1
        if span == "*":
            return set(range(self.lowest, self.highest + 1, step))
        first_text, dash, last_text = span.partition("-")
        first = self._value(first_text, part)
        # `5/15` means from 5 on, as in every cron that knows steps.
        last = self._value(last_text, part) if dash else (self.highest if slash else first)
        if last < first:
            raise CronError(f"{self.name} {part!r} ends before it begins")
        return set(range(first, last + 1, step))

    def _step(self, text: str, part: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < 1:
            raise CronError(f"{self.name} {part!r} needs a whole number from 1 after the slash")
        return int(text)

    def _value(self, text: str, part: str) -> int:
        if text in self.names:
            return self.names.index(text) + (1 if self.lowest == 1 else 0)
        if not (text.isascii() and text.isdigit()):
            names = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
            raise CronError(f"{self.name} {part!r} is not a number {self.lowest}-{self.highest}{names}")
        if not self.lowest <= int(text) <= self.highest:
            raise CronError(f"{self.name} must be {self.lowest}-{self.highest}")
        return int(text)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 7, WEEKDAYS),
)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression: the values of each field."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday, 6 is Saturday."""
    every_hour: bool
    """The hour field begins with `*`: the expression counts hours rather than names a time of day."""

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Parse `minute hour day month weekday`. Raises `CronError`."""
        parts = text.split()
        if len(parts) != 5:
            raise CronError(f"it has {len(parts)} fields, not the 5 of minute hour day month weekday")
        minutes, hours, days, months, weekdays = (one.parse(part) for one, part in zip(_FIELDS, parts, strict=True))
        if not parts[2].startswith("*") and not parts[4].startswith("*"):
            raise CronError("day of month and weekday are both set, which programs read differently; leave one as *")
        if all(min(days) > _LONGEST_MONTHS[month - 1] for month in months):
            raise CronError("it never comes: no such month has that day")
        return cls(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), parts[1].startswith("*"))

    @property
    def per_day(self) -> int:
        """Firings on a day that matches and that no clock change touches."""
        return len(self.minutes) * len(self.hours)

    def matches(self, day: date) -> bool:
        """Whether it fires on that day at all."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def fields(self) -> dict[str, str]:
        """The fields as APScheduler's CronTrigger takes them."""
        return {
            "minute": _written(self.minutes, 60),
            "hour": _written(self.hours, 24),
            "day": _written(self.days, 31),
            "month": _written(self.months, 12),
            "day_of_week": _written((WEEKDAYS[day] for day in sorted(self.weekdays)), 7),
        }


def _written(values: Iterable[int | str], all_of_them: int) -> str:
    listed = sorted(values, key=str) if all_of_them == 7 else sorted(values, key=int)
    return "*" if len(listed) == all_of_them else ",".join(str(value) for value in listed)


def minute_of_day(text: str) -> int:
    """Minutes from midnight of `HH:MM`, up to 24:00. Raises ValueError."""
    hours, colon, minutes = text.partition(":")
    digits = (hours + minutes).isascii() and (hours + minutes).isdigit()
    if not (colon and digits and len(hours) in {1, 2} and len(minutes) == 2 and int(minutes) < 60):
        raise ValueError(f"{text!r} is not a time of day")
    total = int(hours) * 60 + int(minutes)
    if total > 24 * 60:
        raise ValueError(f"{text!r} is after 24:00")
    return total
