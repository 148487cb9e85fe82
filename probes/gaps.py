"""Stretches without a request start. Pure: fed with instants, answers with gaps."""

from __future__ import annotations

from dataclasses import dataclass

from probes.record import Gap


def gap_limit_ns(interval_ns: int) -> int:
    """Start to start beyond this is a gap: 2.5 intervals, and never less than an interval and 0.75 s.

    The fixed part keeps a scheduler hiccup of a busy machine from being called a hole in the measurement.
    """
    return max(interval_ns * 5 // 2, interval_ns + 750_000_000)


@dataclass(slots=True)
class GapWatch:
    """Follows the starts of one probe, over all its aiperf processes. Instants are monotonic: no clock that may be set."""

    probe: str
    interval_ns: int
    last_start_ns: int | None = None
    gap: Gap | None = None

    @property
    def limit_ns(self) -> int:
        return gap_limit_ns(self.interval_ns)

    def started(self, at_ns: int, reason: str) -> Gap | None:
        """A request was started; the gap that it closes, if it closes one."""
        last, self.last_start_ns = self.last_start_ns, max(at_ns, self.last_start_ns or at_ns)
        if self.gap is not None:
            closed = Gap(self.probe, self.gap.start_ns, max(at_ns, self.gap.start_ns), reason or self.gap.reason)
            self.gap = None
            return closed
        if last is not None and at_ns - last > self.limit_ns:
            return Gap(self.probe, last, at_ns, reason or UNKNOWN)
        return None

    def look(self, now_ns: int, reason: str) -> Gap | None:
        """The gap that has just opened, if one has. Ask only after all starts up to `now_ns` were told."""
        last = self.last_start_ns
        if self.gap is not None or last is None or now_ns - last <= self.limit_ns:
            return None
        self.gap = Gap(self.probe, last, None, reason or UNKNOWN)
        return self.gap

    def never_started(self, since_ns: int, reason: str) -> Gap | None:
        """A gap from the very beginning: the load could not be started at all."""
        if self.gap is not None or self.last_start_ns is not None:
            return None
        self.gap = Gap(self.probe, since_ns, None, reason)
        return self.gap

    def up(self, now_ns: int) -> bool:
        """Whether a request was started within the limit."""
        return self.last_start_ns is not None and now_ns - self.last_start_ns <= self.limit_ns


UNKNOWN = "aiperf started no request"
