"""Do the witnesses agree? Pure: reports in, comparisons out. A disagreement is shown with its figures, never averaged away.

Rules
- Only conclusive reports (`status` ok) are compared; else the comparison says why not.
- Windows agree when each edge of one lies within the sum of both resolutions of the other's edge, or when neither saw
  an impact. A window that one witness saw and the other did not agrees only if it is shorter than the other can see.
- Failed requests agree when they differ by no more than EDGE_REQUESTS: requests that were in flight when the observation
  began or ended are counted by one and not yet by the other.
- The likely reason comes from a closed list, each with a condition on the figures; the first that explains the
  difference is named, else `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations

from monitor.model import Comparison, WitnessReport
from probes.record import ErrorClass

EDGE_REQUESTS = 2
NOT_COUNTED_BY_SERVER = (
    ErrorClass.CONNECTION_REFUSED,
    ErrorClass.CONNECTION_RESET,
    ErrorClass.CONNECTION_OTHER,
    ErrorClass.SERVER_DISCONNECTED,
    ErrorClass.TIMEOUT,
    ErrorClass.HTTP_400,
    ErrorClass.HTTP_404,
    ErrorClass.HTTP_503,
)
"""What Dynamo's frontend 1.4.2 does not count in requests_total, or cannot because the request never reached it."""


class Reason(StrEnum):
    """Why two witnesses may differ."""

    CUT_COUNTED_AS_SUCCESS = "a stream cut short is counted as a success"
    NEVER_COUNTED = "requests were refused before the server counts them"
    SLOW_IS_NO_ERROR = "slow answers hurt users and are no errors to the server"
    TOO_COARSE = "the outage is shorter than this witness can see"
    SPANS_LOST = "spans were lost with the process"
    KEYED_BY_END = "the client dates a request by its start, the server by its end"
    UNKNOWN = "unknown"


def compare(reports: Sequence[WitnessReport]) -> tuple[Comparison, ...]:
    """Every pair of witnesses (all probes together), in the order client, server, trace."""
    whole = [r for r in reports if r.probe is None]
    return tuple(c for a, b in combinations(whole, 2) for c in _pair(a, b))


def _pair(a: WitnessReport, b: WitnessReport) -> list[Comparison]:
    silent = [r for r in (a, b) if r.status != "ok"]
    if silent:
        why = "; ".join(f"{r.witness} is {r.status}: {r.reason}" for r in silent)
        return [Comparison(a=a.witness, b=b.witness, figure="all", status="not_compared", text=why)]
    return [_window(a, b), *_failed(a, b)]


def _window(a: WitnessReport, b: WitnessReport) -> Comparison:
    known = (a.t_impact is None, b.t_impact is None)
    if all(known):
        return _agrees(a, b, "window", "neither saw an impact")
    if any(known):
        return _one_saw(a, b)
    differences = {
        "impact": _edge(a.t_impact, b.t_impact, a.resolution.at_impact_seconds, b.resolution.at_impact_seconds),
        "recovered": _edge(
            a.t_recovered, b.t_recovered, a.resolution.at_recovery_seconds, b.resolution.at_recovery_seconds
        ),
    }
    beyond = {name: found for name, found in differences.items() if found is not None and found[0] > found[1]}
    if not beyond:
        return _agrees(a, b, "window", "edges lie within the sum of both resolutions")
    name, (difference, allowed) = max(beyond.items(), key=lambda item: item[1][0] - item[1][1])
    reason = _window_reason(a, b, difference)
    text = f"{name} differs by {difference:.2f} s, both resolutions allow {allowed:.2f} s"
    return _disagrees((a, b), name, difference, reason, text)


def _edge(a: int | None, b: int | None, ra: float | None, rb: float | None) -> tuple[float, float] | None:
    """(difference, allowed) in seconds; None when one of them is censored."""
    if a is None or b is None:
        return None
    return abs(a - b) / 1e9, (ra or 0.0) + (rb or 0.0)


def _one_saw(a: WitnessReport, b: WitnessReport) -> Comparison:
    saw, blind = (b, a) if a.t_impact is None else (a, b)
    length = saw.bad_seconds if saw.bad_seconds is not None else saw.error_window_seconds or 0.0
    sees = max(blind.resolution.at_impact_seconds or 0.0, blind.resolution.at_recovery_seconds or 0.0)
    text = f"{saw.witness} saw {length:.2f} s of harm, {blind.witness} saw none"
    if length <= sees:
        return _agrees(a, b, "window", f"{text}, which is shorter than it can see ({sees:.2f} s)")
    reason = Reason.UNKNOWN
    if saw.witness == "client" and saw.failed_requests == 0 and saw.slow_requests:
        reason = Reason.SLOW_IS_NO_ERROR
    elif saw.witness == "client" and _uncounted(saw) == (saw.failed_requests or 0) > 0:
        reason = Reason.NEVER_COUNTED
    elif saw.witness == "client" and (saw.truncated_requests or 0) == (saw.failed_requests or 0) > 0:
        reason = Reason.CUT_COUNTED_AS_SUCCESS
    elif length <= 2 * sees:
        reason = Reason.TOO_COARSE
    return _disagrees((a, b), "window", length, reason, text)


def _window_reason(a: WitnessReport, b: WitnessReport, difference: float) -> Reason:
    client = next((r for r in (a, b) if r.witness == "client"), None)
    if client is None:
        return Reason.UNKNOWN
    if client.slow_requests:
        return Reason.SLOW_IS_NO_ERROR
    longest = max(client.baseline_latency_seconds or 0.0, client.during_latency_seconds or 0.0)
    if difference <= longest + (client.resolution.at_impact_seconds or 0.0) + 1.0:
        return Reason.KEYED_BY_END
    return Reason.NEVER_COUNTED if _uncounted(client) else Reason.UNKNOWN


def _failed(a: WitnessReport, b: WitnessReport) -> list[Comparison]:
    if a.failed_requests is None or b.failed_requests is None:
        return []
    difference = a.failed_requests - b.failed_requests
    text = f"{a.witness} {a.failed_requests}, {b.witness} {b.failed_requests}"
    if abs(difference) <= EDGE_REQUESTS:
        return [_agrees(a, b, "failed_requests", text)]
    reason = Reason.UNKNOWN
    if a.witness == "client" and difference > 0:
        uncounted, cut = _uncounted(a), a.truncated_requests or 0
        if b.witness == "trace" and difference <= (b.lost_requests or 0) + EDGE_REQUESTS:
            reason = Reason.SPANS_LOST
        elif abs(difference - uncounted) <= EDGE_REQUESTS:
            reason = Reason.NEVER_COUNTED
        elif abs(difference - cut) <= EDGE_REQUESTS:
            reason = Reason.CUT_COUNTED_AS_SUCCESS
    return [_disagrees((a, b), "failed_requests", float(abs(difference)), reason, text)]


def _uncounted(client: WitnessReport) -> int:
    return sum(client.errors.get(e.value, 0) for e in NOT_COUNTED_BY_SERVER)


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
