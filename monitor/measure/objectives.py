"""Did the run stay within its limits, by the client witness's word."""

from __future__ import annotations

from faults.base import Objectives
from monitor.model import ObjectiveResult, Verdict, WitnessReport


def judge(objectives: Objectives, client: WitnessReport) -> tuple[ObjectiveResult, ...]:
    """One result for each limit that is set.

    Only a conclusive, uncensored figure can be `met`. A lower bound beyond its limit is missed, and else
    cannot be judged (None): censored durations are lower bounds, and failed requests always are, for
    missing data can only hide some. Durations of an inconclusive report are no bound at all, since a probe
    gap can make a window look too long as well. `no_impact` has a recovery and a window of zero.
    """
    conclusive = client.status == "ok" and client.verdict is not Verdict.INCONCLUSIVE
    exact = conclusive and not client.censored
    recovery = 0.0 if client.verdict is Verdict.NO_IMPACT else client.recovery_from_effect_seconds
    judged = (
        _judge("recovery_seconds", objectives.recovery_seconds, recovery, exact=exact, bound=conclusive),
        _judge(
            "error_window_seconds",
            objectives.error_window_seconds,
            client.error_window_seconds,
            exact=exact,
            bound=conclusive,
        ),
        _judge("failed_requests", objectives.failed_requests, client.failed_requests, exact=exact, bound=True),
    )
    return tuple(result for result in judged if result is not None)


def _judge(name: str, limit: float | None, value: float | None, *, exact: bool, bound: bool) -> ObjectiveResult | None:
    if limit is None:
        return None
    met: bool | None = None
    if value is not None and value > limit and bound:
        met = False
    elif value is not None and value <= limit and exact:
        met = True
    figure = None if value is None else float(value)
    return ObjectiveResult(objective=name, limit=float(limit), value=figure, met=met)
