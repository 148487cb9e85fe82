"""Burn-rate windows that fit the period of the objective.

The usual pairs (1 h and 5 min, 6 h and 30 min, 1 d and 2 h, 4 d and 6 h, of 28 days) are scaled with the period.
Scaled down to a soak of hours they would be shorter than a few scrapes, where a rate says nothing, so windows
have a floor, and the factor shrinks as the window grows: the share of the budget that is burnt when an alert
fires stays what it was. Sources: Google's SRE workbook, chapter 5; the scaling is that of Pyrra.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

MIN_REQUESTS = 30
"""With fewer requests in the long window nothing is said: one failure of ten is no 10 %."""
HIGHEST_THRESHOLD = 0.9
"""A generous objective times a large factor would ask for more than 100 % errors, and never fire."""
_MINUTE = 60

Severity = Literal["page", "ticket"]
_USUAL: tuple[tuple[float, float, Severity], ...] = (
    (1 / 672, 14.0, "page"),
    (1 / 112, 7.0, "page"),
    (1 / 28, 2.0, "ticket"),
    (1 / 7, 1.0, "ticket"),
)
"""Long window as a share of the period, factor, severity."""


@dataclass(frozen=True)
class Window:
    """Both windows must burn at `factor` times the even rate. Seconds, in whole minutes."""

    long_seconds: int
    short_seconds: int
    factor: float
    severity: Severity

    def threshold(self, good_ratio: float) -> float:
        """The error ratio above which it fires."""
        return min(self.factor * (1 - good_ratio), HIGHEST_THRESHOLD)


def burn_windows(period_seconds: float, rate_seconds: float, request_rate: float) -> tuple[Window, ...]:
    """Windows from short to long; those that the floor makes equal are one.

    `rate_seconds` is the window of the recorded rates that are averaged, `request_rate` is per second.
    """
    made: list[Window] = []
    for share, factor, severity in _USUAL:
        floor = max(5 * rate_seconds, MIN_REQUESTS / request_rate)
        long = _minutes(max(share * period_seconds, floor))
        if made and long <= made[-1].long_seconds:
            continue
        short = _minutes(max(long / 12, 2 * rate_seconds))
        burnt = factor * share
        made.append(Window(long, short, max(1.0, burnt * period_seconds / long), severity))
    return tuple(made)


def _minutes(seconds: float) -> int:
    return ceil(round(seconds / _MINUTE, 6)) * _MINUTE


def duration(seconds: float) -> str:
    """A Prometheus duration, such as 1h30m."""
    left = round(seconds)
    parts = []
    for size, letter in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts) or "0s"
