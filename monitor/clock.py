"""The one clock of the service.

Every window is computed on a clock that cannot step: the kernel's monotonic clock (shared by all
processes of the machine), shown as UTC through an anchor that is taken once. A step of the system
clock is then something to note on a run, not something that bends its figures.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time for everything that has to be tested without waiting."""

    def now_ns(self) -> int:
        """UTC nanoseconds on the anchored clock."""
        ...

    def from_monotonic(self, monotonic_ns: int) -> int:
        """UTC nanoseconds of a reading of CLOCK_MONOTONIC, from any process of this boot."""
        ...

    def step_ns(self) -> int:
        """How far the system clock has moved away from the anchored one (positive: system is ahead)."""
        ...

    def re_anchor(self) -> None:
        """Take the system clock's word again; only between runs."""
        ...


class SystemClock:
    """The anchored clock of a running service."""

    def __init__(self) -> None:
        self._anchor_ns = 0
        self.re_anchor()

    def now_ns(self) -> int:
        return self.from_monotonic(time.monotonic_ns())

    def from_monotonic(self, monotonic_ns: int) -> int:
        return self._anchor_ns + monotonic_ns

    def step_ns(self) -> int:
        return time.time_ns() - self.now_ns()

    def re_anchor(self) -> None:
        self._anchor_ns = time.time_ns() - time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._offset_ns = now_ns
        self.system_step_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def from_monotonic(self, monotonic_ns: int) -> int:
        return self._offset_ns + monotonic_ns

    def step_ns(self) -> int:
        return self.system_step_ns

    def re_anchor(self) -> None:
        self._now_ns += self.system_step_ns
        self.system_step_ns = 0

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now_ns += round(seconds * 1e9)
