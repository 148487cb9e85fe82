"""Is the deployment whole now? Missing data is never good news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    WHOLE = "whole"
    HURT = "hurt"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProbeLook:
    """A probe's last moments: requests that ended in the window, and those that hang."""

    name: str
    up: bool
    reason: str
    """Why it is not up."""
    window_seconds: float
    requests: int
    bad: int
    overdue: int


def judge(
    probes: Sequence[ProbeLook], *, incident: str | None, store_trouble: str | None, max_bad_ratio: float
) -> tuple[State, str]:
    """What can be seen to hurt hurts, whatever else is unknown; only then does a probe that is blind count."""
    hurt = [text for text in (_hurt(one, max_bad_ratio) for one in probes) if text]
    if hurt:
        return State.HURT, "; ".join(hurt)
    blind = [text for text in map(_blind, probes) if text] or ([] if probes else ["no probe is configured"])
    if blind:
        return State.UNKNOWN, "; ".join(blind)
    if incident is not None:
        return State.HURT, f"an incident is not over yet: {incident}"
    if store_trouble is not None:
        return State.UNKNOWN, f"results cannot be stored: {store_trouble}"
    return State.WHOLE, _fine(probes)


def _hurt(probe: ProbeLook, max_bad_ratio: float) -> str | None:
    words = []
    if probe.bad > max_bad_ratio * probe.requests:
        words.append(f"{probe.bad} of {probe.requests} requests were bad in the last {probe.window_seconds:g} s")
    if probe.overdue:
        words.append(f"{probe.overdue} get no answer")
    return f"probe {probe.name}: {', '.join(words)}" if words else None


def _blind(probe: ProbeLook) -> str | None:
    if not probe.up:
        return f"probe {probe.name} is not sending: {probe.reason}"
    if not probe.requests:
        return f"probe {probe.name}: no request ended in the last {probe.window_seconds:g} s"
    return None


def _fine(probes: Sequence[ProbeLook]) -> str:
    return "; ".join(f"probe {one.name}: {one.bad} of {one.requests} requests bad" for one in probes)


class WholeWatch:
    """Remembers since when it has been so."""

    def __init__(self) -> None:
        self._state = State.UNKNOWN
        self._since_ns: int | None = None
        self._reason = "nothing was measured yet"

    def step(self, now_ns: int, state: State, reason: str) -> None:
        """What it is now."""
        if state is not self._state or self._since_ns is None:
            self._state, self._since_ns = state, now_ns
        self._reason = reason

    def as_data(self) -> dict[str, Any]:
        """`whole` of the status."""
        return {"state": self._state, "since_ns": self._since_ns, "reason": self._reason}
