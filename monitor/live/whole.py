"""Is the deployment whole now? Missing data is never good news."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from monitor.run.guard import ProbeView


class State(StrEnum):
    WHOLE = "whole"
    HURT = "hurt"
    UNKNOWN = "unknown"


def judge(
    probes: Sequence[ProbeView], *, incident: str | None, store_trouble: str | None, max_bad_ratio: float
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


def _hurt(probe: ProbeView, max_bad_ratio: float) -> str | None:
    words = []
    if probe.bad > max_bad_ratio * probe.requests:
        words.append(f"{probe.bad} of {probe.requests} requests were bad in the last {probe.window_seconds:g} s")
    if probe.overdue:
        words.append(f"{probe.overdue} get no answer")
    return f"probe {probe.name}: {', '.join(words)}" if words else None


def _blind(probe: ProbeView) -> str | None:
    if not probe.up:
        return f"probe {probe.name} is not sending: {probe.reason}"
    if not probe.requests:
        return f"probe {probe.name}: no request ended in the last {probe.window_seconds:g} s"
    return None


def _fine(probes: Sequence[ProbeView]) -> str:
    return "; ".join(f"probe {one.name}: {one.bad} of {one.requests} requests bad" for one in probes)


STALE_SECONDS = 10.0
"""A judgement that was not renewed for this long is none any more."""


class WholeWatch:
    """Remembers since when it has been so."""

    def __init__(self) -> None:
        self._state = State.UNKNOWN
        self._since_ns: int | None = None
        self._judged_ns = 0
        self._reason = "nothing was measured yet"

    def step(self, now_ns: int, state: State, reason: str) -> None:
        """What it is now."""
        if state is not self._state or self._since_ns is None:
            self._state, self._since_ns = state, now_ns
        self._reason, self._judged_ns = reason, now_ns

    def as_data(self, now_ns: int) -> dict[str, Any]:
        """`whole` of the status."""
        age = (now_ns - self._judged_ns) / 1e9
        if self._since_ns is not None and age > STALE_SECONDS:
            reason = f"nobody has looked for {age:.0f} s; until then: {self._state}"
            return {"state": State.UNKNOWN, "since_ns": self._judged_ns, "reason": reason}
        return {"state": self._state, "since_ns": self._since_ns, "reason": self._reason}
