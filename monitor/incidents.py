"""Incidents: error windows with no run active. A pure state machine, stepped about once a second.

An incident opens when the deployment hurts its users by itself:
- at least 3 bad or overdue requests in the window (5 s) and more than 20 % of it bad, or
- 3 bad requests in a row with no good one between, however slow the probe is (so that a deployment
  that is down is an incident for a probe of one request a minute too).
It closes when, from a good request on, every window was at most 5 % bad for the hold time; its end is
where that quiet began. Silence (no requests at all) neither opens nor closes anything.

While a run is active nothing opens or closes, and for 15 s after a run nothing opens: the harm of a
run that was aborted belongs to that run.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.model import Incident

OPEN_BAD = 3
OPEN_RATIO = 0.20
CLOSE_RATIO = 0.05
HOLD_NS = 10 * 10**9
AFTER_RUN_NS = 15 * 10**9


@dataclass(frozen=True, slots=True)
class RecentStats:
    """Requests that ended in a window. LOST ones are in `lost` only: what nobody saw is neither good nor bad."""

    window_seconds: float = 0.0
    requests: int = 0
    """Good, slow, failed and truncated."""
    bad: int = 0
    failed: int = 0
    """Failed and truncated."""
    lost: int = 0
    first_bad_ns: int | None = None
    """Start of the oldest bad request."""
    last_bad_ns: int | None = None
    """End of the newest bad request."""
    first_error: str = ""
    """Error class of the oldest bad request, with its message."""
    bad_total: int = 0
    """Bad requests since the service began, so that longer stretches can be counted."""

    @property
    def rate(self) -> float:
        """Requests ended per second."""
        return self.requests / self.window_seconds if self.window_seconds else 0.0

    @property
    def good(self) -> int:
        return self.requests - self.bad


class IncidentWatch:
    """Says when an incident opens and closes.

    The caller stores what `step` returns and hands the stored version back through `current`; until it
    does, `step` returns the change again, so that a store that refuses for a while loses no incident.
    """

    def __init__(self, current: Incident | None = None, *, hold_ns: int = HOLD_NS) -> None:
        self._current = current if current is not None and current.end_ns is None else None
        self._unsaved = False
        self._hold_ns = hold_ns
        self._bad_before = 0
        self._streak = 0
        self._streak_bad_ns: int | None = None
        self._quiet_since: int | None = None
        self._run_seen_ns: int | None = None
        self.opened = 0
        """Incidents opened since the service began."""

    @property
    def current(self) -> Incident | None:
        """The newest incident, open or closed; None when there was none."""
        return self._current

    @current.setter
    def current(self, stored: Incident | None) -> None:
        self._current = stored
        self._unsaved = False

    def step(self, now_ns: int, stats: RecentStats, *, overdue: int = 0, run_active: bool = False) -> Incident | None:
        """The incident that has opened or closed (or is not stored yet); None when nothing changed."""
        bad = stats.bad + overdue
        judged = stats.requests + overdue
        self._count_streak(stats)
        if run_active:
            self._run_seen_ns = now_ns
            self._quiet_since = None
        elif self._is_open:
            self._watch_quiet(now_ns, stats, bad, judged)
        elif self._may_open(now_ns) and self._is_bad(bad, judged):
            self._open(now_ns, stats, bad)
        return self._current if self._unsaved else None

    @property
    def _is_open(self) -> bool:
        return self._current is not None and self._current.end_ns is None

    def _may_open(self, now_ns: int) -> bool:
        return self._run_seen_ns is None or now_ns - self._run_seen_ns >= AFTER_RUN_NS

    def _is_bad(self, bad: int, judged: int) -> bool:
        return (bad >= OPEN_BAD and bad > OPEN_RATIO * judged) or self._streak >= OPEN_BAD

    def _count_streak(self, stats: RecentStats) -> None:
        """Bad requests seen one after the other, for probes so slow that a window holds one request."""
        if stats.good:
            self._streak = 0
        elif stats.last_bad_ns is not None and stats.last_bad_ns != self._streak_bad_ns:
            self._streak += 1
        self._streak_bad_ns = stats.last_bad_ns or self._streak_bad_ns

    def _open(self, now_ns: int, stats: RecentStats, bad: int) -> None:
        start = stats.first_bad_ns if stats.first_bad_ns is not None else now_ns
        error = stats.first_error or "requests hang"
        self._bad_before = stats.bad_total - stats.bad
        self._current = Incident(start_ns=start, bad_requests=bad, first_error=error)
        self._unsaved = True
        self._quiet_since = None
        self.opened += 1

    def _watch_quiet(self, now_ns: int, stats: RecentStats, bad: int, judged: int) -> None:
        if bad > CLOSE_RATIO * judged:
            self._quiet_since = None
            return
        if self._quiet_since is None:
            self._quiet_since = now_ns if stats.good else None
        if self._quiet_since is None or now_ns - self._quiet_since < self._hold_ns or self._current is None:
            return
        total = max(self._current.bad_requests, stats.bad_total - self._bad_before)
        self._current = self._current.model_copy(update={"end_ns": self._quiet_since, "bad_requests": total})
        self._unsaved = True
        self._streak = 0
