"""What the rules need to know of a configuration, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Schedule:
    """An enabled schedule. `runs_per_day` counts its firings, whatever they pick."""

    name: str
    faults: tuple[str, ...]
    runs_per_day: float
    missed_after_seconds: float = 60.0


@dataclass(frozen=True)
class Facts:
    """One deployment with its monitor."""

    deployment: str
    good_ratio: float
    """Share of requests that shall be good over the period, faults included."""
    period_seconds: float
    request_rate: float
    """Of all probes together, per second."""
    request_timeout_seconds: float
    """The longest of all probes: that late a request of a fault can still fail."""
    probes: tuple[str, ...]
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Fault -> objective -> limit; only what is set."""
    controls: tuple[str, ...] = ("none",)
    """Faults that inject nothing: errors during them are nobody's plan."""
    schedules: tuple[Schedule, ...] = ()
    sources: tuple[str, ...] = ()
    horizon_seconds: float = 120.0
    """How long a fault without a recovery objective may hurt before people are called."""
    max_bad_ratio: float = 0.05
    """More than that is not a steady state."""
    scrape_seconds: float = 15.0
    """How often Prometheus asks aftershock's /metrics."""
    runbooks: str = "docs/runbooks"
    """Where the runbooks are: an address or a folder, without the last slash."""

    @property
    def rate_seconds(self) -> int:
        """Window of every rate(): four scrapes, and no less than a minute."""
        return max(60, -(-round(4 * self.scrape_seconds) // 60) * 60)

    @property
    def lag_seconds(self) -> int:
        """How late a failure can be counted: its request's timeout, a scrape, and the window of the rate."""
        return round(self.request_timeout_seconds + self.scrape_seconds) + self.rate_seconds
