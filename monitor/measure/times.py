"""The instants of a run, as the witnesses need them, and the settings that they judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RunTimes:
    """UTC nanoseconds on one clock, the one that the measured data carries."""

    t_inject: int
    """The last instant before the fault could act."""
    t_effect: int | None
    """When verification saw the effect."""
    t_acting_until: int | None
    """When the effect ended: by the revert or earlier. None while it acts, and for faults that act in an instant."""
    t_reverted: int | None
    observed_until: int
    """Nothing after this instant is known."""
    horizon_ended: bool
    """The observation is over: what has not recovered by now is reported as not recovered."""

    @property
    def effect(self) -> int:
        """When the effect began, as well as it is known."""
        return self.t_effect if self.t_effect is not None else self.t_inject

    @property
    def fault_end(self) -> int:
        """The last thing that the fault is known to have done; harm may come later."""
        known = (self.t_inject, self.t_effect, self.t_acting_until, self.t_reverted)
        return min(max(t for t in known if t is not None), max(self.observed_until, self.t_inject))


class Judging(Protocol):
    """The part of the run settings that measuring needs (`monitor.config.settings.RunSpec` has it)."""

    @property
    def baseline_seconds(self) -> float: ...

    @property
    def hold_seconds(self) -> float: ...

    @property
    def hold_requests(self) -> int: ...


def seconds(nanoseconds: int) -> float:
    """Seconds, to the nanosecond."""
    return nanoseconds / SECOND


def nanoseconds(value: float) -> int:
    """Nanoseconds, rounded."""
    return round(value * SECOND)
