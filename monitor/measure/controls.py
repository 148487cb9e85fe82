"""Control runs: how often harm is found where none was done. Pure."""

from __future__ import annotations

import math
from enum import StrEnum

from monitor.model import Phase, Run, Verdict, WitnessReport

CONFIDENCE = 0.95


class ControlResult(StrEnum):
    """What a control run says of the measurement, or of the deployment: the two cannot be told apart here."""

    CLEAN = "clean"
    FALSE_FINDING = "false_finding"
    INCONCLUSIVE = "inconclusive"


def tells_of_harm(report: WitnessReport) -> bool:
    """In whatever figure, single bad requests included."""
    return finds_impact(report) or bool(report.failed_requests or report.slow_requests)


def finds_impact(report: WitnessReport) -> bool:
    """Harm beyond the baseline: where some requests fail all day, those alone are no finding."""
    return bool(report.t_impact or report.stretches or report.error_window_seconds)


def control_result(run: Run) -> ControlResult | None:
    """None for a run that is no control run, has not ended or never began.

    An impact counts also where the run is inconclusive otherwise: who tells of it has said so.
    """
    if run.fault.get("kind") != "none" or run.phase is not Phase.FINISHED or run.verdict is Verdict.SKIPPED:
        return None
    client = run.witness("client")
    if client is not None and finds_impact(client):
        return ControlResult.FALSE_FINDING
    conclusive = client is not None and client.status == "ok" and run.verdict is Verdict.NO_IMPACT
    return ControlResult.CLEAN if conclusive else ControlResult.INCONCLUSIVE


def upper_bound(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """One-sided Clopper-Pearson upper bound of a rate; for no events it is the rule of three's exact form."""
    if trials == 0 or events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(events, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) for X binomial(n, p), 0 < p < 1."""
    logs = (
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    )
    return sum(math.exp(v) for v in logs)
