"""Do the witnesses agree? Pure: reports in, comparisons out. A disagreement is shown with its figures, never averaged away.

Rules
- Only conclusive reports (`status` ok) are compared; else the comparison says why not.
- Windows agree when each edge of one lies within the sum of both resolutions of the other's edge, or when neither saw
  an impact. A window that one witness saw and the other did not agrees only if it is shorter than the other can see.
- A witness that saw no recovery knows a lower bound: it contradicts one that saw it earlier, and none that saw it later.
- Failed requests agree when they differ by no more than EDGE_REQUESTS: requests that were in flight when the observation
  began or ended are counted by one and not yet by the other.
- The likely reason comes from a closed list (`monitor.measure.compare_reasons`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from monitor.measure.compare_reasons import EDGE_REQUESTS, Reason, edge_reason, failed_reason, sight, unseen_reason
from monitor.model import Comparison, WitnessReport

STATUSES = ("disagree", "agree", "not_compared")
PAIRS = ("client_server", "client_trace", "server_trace")


def compare(reports: Sequence[WitnessReport]) -> tuple[Comparison, ...]:
    """Every pair of witnesses (all probes together), in the order client, server, trace."""
    whole = [r for r in reports if r.probe is None]
    client = next((r for r in whole if r.witness == "client"), None)
    return tuple(c for a, b in combinations(whole, 2) for c in _pair(a, b, client))


def by_pair(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """For each pair of witnesses, such as client_server: disagree if they do so in one figure, agree if in none."""
    found: dict[str, set[str]] = {}
    for one in comparisons:
        found.setdefault(f"{one.a}_{one.b}", set()).add(one.status)
    return {pair: next(s for s in STATUSES if s in said) for pair, said in found.items()}


def _pair(a: WitnessReport, b: WitnessReport, client: WitnessReport | None) -> list[Comparison]:
    silent = [r for r in (a, b) if r.status != "ok"]
    if silent:
        why = "; ".join(f"{r.witness} is {r.status}: {r.reason}" for r in silent)
        return [Comparison(a=a.witness, b=b.witness, figure="all", status="not_compared", text=why)]
    return [_window(a, b, client), *_failed(a, b, client)]


def _window(a: WitnessReport, b: WitnessReport, client: WitnessReport | None) -> Comparison:
    known = (a.t_impact is None, b.t_impact is None)
    if all(known):
        return _agrees(a, b, "window", "neither saw an impact")
    if any(known):
        return _one_saw(a, b, client)
    # (b minus a, allowed), in seconds
    differences = {
        "impact": _apart(a.t_impact, b.t_impact, a.resolution.at_impact_seconds, b.resolution.at_impact_seconds),
        "recovered": _recovered(a, b),
    }
    beyond = {name: found for name, found in differences.items() if found is not None and abs(found[0]) > found[1]}
    if not beyond:
        return _agrees(a, b, "window", "edges lie within the sum of both resolutions")
    name, (later, allowed) = max(beyond.items(), key=lambda item: abs(item[1][0]) - item[1][1])
    least = "at least " if name == "recovered" and (a.censored or b.censored) else ""
    text = f"{name} differs by {least}{abs(later):.2f} s, both resolutions allow {allowed:.2f} s"
    return _disagrees((a, b), name, abs(later), edge_reason(a, b, name, later, client), text)


def _apart(a: int | None, b: int | None, ra: float | None, rb: float | None) -> tuple[float, float] | None:
    """How much later b is, and how much is allowed; None when one of them is not known."""
    if a is None or b is None:
        return None
    return (b - a) / 1e9, (ra or 0.0) + (rb or 0.0)


def _recovered(a: WitnessReport, b: WitnessReport) -> tuple[float, float] | None:
    ends = _end(a), _end(b)
    found = _apart(*ends, a.resolution.at_recovery_seconds, b.resolution.at_recovery_seconds)
    if found is None or (a.censored and b.censored):
        return None
    # a lower bound below what the other saw contradicts nothing
    if (a.censored and found[0] >= 0) or (b.censored and found[0] <= 0):
        return None
    return found


def _end(report: WitnessReport) -> int | None:
    """When it saw the recovery, or up to when it saw none."""
    if not report.censored:
        return report.t_recovered
    if report.t_impact is None or report.error_window_seconds is None:
        return None
    return report.t_impact + round(report.error_window_seconds * 1e9)


def _one_saw(a: WitnessReport, b: WitnessReport, client: WitnessReport | None) -> Comparison:
    saw, blind = (b, a) if a.t_impact is None else (a, b)
    length = saw.bad_seconds if saw.bad_seconds is not None else saw.error_window_seconds or 0.0
    sees = sight(blind)
    text = f"{saw.witness} saw {length:.2f} s of harm, {blind.witness} saw none"
    if length <= sees:
        return _agrees(a, b, "window", f"{text}, which is shorter than it can see ({sees:.2f} s)")
    return _disagrees((a, b), "window", length, unseen_reason(saw, blind, length, client), text)


def _failed(a: WitnessReport, b: WitnessReport, client: WitnessReport | None) -> list[Comparison]:
    if a.failed_requests is None or b.failed_requests is None:
        return []
    difference = a.failed_requests - b.failed_requests
    text = f"{a.witness} {a.failed_requests}, {b.witness} {b.failed_requests}"
    if abs(difference) <= EDGE_REQUESTS:
        return [_agrees(a, b, "failed_requests", text)]
    more, less = (a, b) if difference > 0 else (b, a)
    reason = failed_reason(more, less, abs(difference), client)
    return [_disagrees((a, b), "failed_requests", float(abs(difference)), reason, text)]


def _agrees(a: WitnessReport, b: WitnessReport, figure: str, text: str) -> Comparison:
    return Comparison(a=a.witness, b=b.witness, figure=figure, status="agree", text=text)


def _disagrees(
    pair: tuple[WitnessReport, WitnessReport], figure: str, difference: float, reason: Reason, text: str
) -> Comparison:
    return Comparison(
        a=pair[0].witness,
        b=pair[1].witness,
        figure=figure,
        status="disagree",
        difference=difference,
        unit="requests" if figure == "failed_requests" else "s",
        reason=reason.value,
        text=text,
    )
