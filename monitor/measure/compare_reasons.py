"""Why two witnesses differ: a closed list, each reason with a condition on the figures. Pure.

The first reason whose condition holds is named, else `unknown`. A reason says what is likely: the figures of two
reports cannot prove more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import combinations

from monitor.model import WitnessReport
from probes.record import ErrorClass

EDGE_REQUESTS = 2
SHARE = 0.1
"""Requests that only one witness counts are more than chance from this share on."""
NOT_COUNTED_BY_SERVER = (
    ErrorClass.CONNECTION_REFUSED,
    ErrorClass.CONNECTION_RESET,
    ErrorClass.CONNECTION_OTHER,
    ErrorClass.SERVER_DISCONNECTED,
    ErrorClass.HTTP_400,
    ErrorClass.HTTP_404,
    ErrorClass.HTTP_503,
)
"""What Dynamo's frontend 1.4.2 does not count in requests_total, or cannot because the request never reached it."""
CALLERS = (
    ErrorClass.TIMEOUT,
    ErrorClass.CANCELLED,
    ErrorClass.HTTP_401,
    ErrorClass.HTTP_403,
    ErrorClass.HTTP_429,
    ErrorClass.HTTP_4XX,
)
"""What servers count as cancelled or as the caller's mistake."""
NOT_AT_THE_DOOR = (ErrorClass.CONNECTION_REFUSED,)
"""What leaves no span, for nothing saw it."""


class Reason(StrEnum):
    """Why two witnesses may differ."""

    CUT_COUNTED_AS_SUCCESS = "a stream cut short is counted as a success"
    NEVER_COUNTED = "requests were refused before the server counts them"
    CALLERS_DOING = "requests that the client gave up, or got wrong, are no errors to the server"
    SLOW_IS_NO_ERROR = "slow answers hurt users and are no errors to the server"
    TOO_COARSE = "the outage is shorter than this witness can see"
    SPANS_LOST = "spans were lost with the process"
    NOT_TRACED = "only a share of the requests is traced"
    KEYED_BY_END = "the server dates a request by its end, the others by its start"
    OTHER_TRAFFIC = "the server answers others than the probes too"
    UNKNOWN = "unknown"


def sight(report: WitnessReport) -> float:
    """The shortest harm (seconds) that it cannot miss; for probes the time between two requests."""
    edges = [report.resolution.at_impact_seconds, report.resolution.at_recovery_seconds]
    known = [e for e in edges if e is not None]
    if known:
        return max(known)
    rate = report.baseline_rate if report.witness != "server" else None
    return 1 / rate if rate else 0.0


def failed_reason(more: WitnessReport, less: WitnessReport, difference: int, client: WitnessReport | None) -> Reason:
    """Why one counts so many more failed requests than the other."""
    if more.witness == "server":
        others = _others(more, client)
        if less.witness == "trace" and difference <= (less.lost_requests or 0) + EDGE_REQUESTS:
            return Reason.SPANS_LOST
        return Reason.OTHER_TRAFFIC if others and difference <= others + EDGE_REQUESTS else Reason.UNKNOWN
    if less.witness == "trace":
        return _untraced_reason(more, less, difference)
    parts = _uncounted_parts(more, client)
    return _explaining(parts, difference)


def _explaining(parts: Mapping[Reason, int], difference: int) -> Reason:
    """The part that is the difference, else the largest of those that are it together."""
    told = {reason: number for reason, number in parts.items() if number > 0}
    for size in range(1, len(told) + 1):
        for chosen in combinations(told, size):
            if abs(difference - sum(told[r] for r in chosen)) <= EDGE_REQUESTS:
                return max(chosen, key=lambda r: told[r])
    return Reason.UNKNOWN


def _uncounted_parts(more: WitnessReport, client: WitnessReport | None) -> dict[Reason, int]:
    """What a server may miss. Only the client knows the errors; of a trace it is known what was cut."""
    errors = (client if client is not None else more).errors
    return {
        Reason.NEVER_COUNTED: _count(errors, NOT_COUNTED_BY_SERVER),
        Reason.CUT_COUNTED_AS_SUCCESS: more.truncated_requests or 0,
        Reason.CALLERS_DOING: _count(errors, CALLERS),
    }


def _untraced_reason(more: WitnessReport, trace: WitnessReport, difference: int) -> Reason:
    refused, lost = _count(more.errors, NOT_AT_THE_DOOR), trace.lost_requests or 0
    if refused and abs(difference - refused) <= EDGE_REQUESTS:
        return Reason.NEVER_COUNTED
    if lost and difference <= lost + EDGE_REQUESTS:
        return Reason.SPANS_LOST
    if refused + lost and difference <= refused + lost + EDGE_REQUESTS:
        return Reason.NEVER_COUNTED if refused > lost else Reason.SPANS_LOST
    untold = _unsampled(more, trace)
    return Reason.NOT_TRACED if untold and difference <= refused + lost + untold + EDGE_REQUESTS else Reason.UNKNOWN


def edge_reason(a: WitnessReport, b: WitnessReport, edge: str, later: float, client: WitnessReport | None) -> Reason:
    """Why b puts an edge of the window so many seconds later than a (earlier, when negative)."""
    if "server" not in {a.witness, b.witness}:
        return next(_trace_reasons(a, b), Reason.UNKNOWN)
    server, other = (a, b) if a.witness == "server" else (b, a)
    later = later if server is b else -later
    # An impact that is seen later, or a recovery that is seen earlier, is harm that the server did not see.
    missed = later > 0 if edge == "impact" else later < 0
    if missed and other.slow_requests:
        return Reason.SLOW_IS_NO_ERROR
    who = client if client is not None else other
    longest = max(
        who.longest_bad_seconds or 0.0, who.during_latency_seconds or 0.0, who.baseline_latency_seconds or 0.0
    )
    # The scrape after the end of the last request, which began that long ago.
    if 0 < later <= longest + sight(server) + sight(other):
        return Reason.KEYED_BY_END
    if missed:
        parts = _uncounted_parts(other, client)
        largest = max(parts, key=lambda r: parts[r])
        return largest if parts[largest] else Reason.UNKNOWN
    return Reason.OTHER_TRAFFIC if _others(server, client) else Reason.UNKNOWN


def _trace_reasons(a: WitnessReport, b: WitnessReport) -> Iterator[Reason]:
    client, trace = (a, b) if b.witness == "trace" else (b, a)
    refused, lost = _count(client.errors, NOT_AT_THE_DOOR), trace.lost_requests or 0
    if refused or lost:
        yield Reason.NEVER_COUNTED if refused > lost else Reason.SPANS_LOST
    if _unsampled(client, trace):
        yield Reason.NOT_TRACED


def unseen_reason(saw: WitnessReport, blind: WitnessReport, length: float, client: WitnessReport | None) -> Reason:
    """Why one saw harm and the other none."""
    reason = Reason.UNKNOWN
    if saw.witness == "server":
        reason = Reason.OTHER_TRAFFIC if _others(saw, client) else Reason.UNKNOWN
    elif blind.witness == "trace":
        reason = next(_trace_reasons(saw, blind), Reason.UNKNOWN)
    elif saw.failed_requests == 0 and saw.slow_requests:
        reason = Reason.SLOW_IS_NO_ERROR
    elif saw.failed_requests:
        reason = _explaining(_uncounted_parts(saw, client), saw.failed_requests)
    if reason is Reason.UNKNOWN and length <= 2 * sight(blind):
        return Reason.TOO_COARSE
    return reason


def _count(errors: Mapping[str, int], classes: tuple[ErrorClass, ...]) -> int:
    return sum(errors.get(e.value, 0) for e in classes)


def _others(server: WitnessReport, client: WitnessReport | None) -> int:
    """Requests that the server finished and no probe sent; 0 where the probes' own explain what it counts."""
    if client is None or client.requests is None or server.requests is None:
        return 0
    others = server.requests - client.requests
    return others if others > EDGE_REQUESTS + SHARE * client.requests else 0


def _unsampled(client: WitnessReport, trace: WitnessReport) -> int:
    """Requests that nobody asked a trace of; 0 where all but a few of the last have one."""
    if client.requests is None or trace.requests is None:
        return 0
    refused = _count(client.errors, NOT_AT_THE_DOOR)
    untold = client.requests - trace.requests - (trace.lost_requests or 0) - refused
    return untold if untold > EDGE_REQUESTS + SHARE * client.requests else 0
