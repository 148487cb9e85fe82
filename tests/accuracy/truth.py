"""The truth of each outage, and how far the witness was from it. Pure.

Who was harmed is the server's word: what it did to each request id. A request whose id never reached the server, of those
that the client sent, was refused (or lost on its way into a listener that was being closed), and belongs to the outage of
its time. Whether the client called it failed plays no part.
Edges: the instants at which the outage began and ceased to act. The witness is told neither; it is told `t_inject`, which
lies up to 0.02 s before the begin.
An outage touched a probe when it harmed at least one of its requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.model import Verdict, WitnessReport
from probes.record import BAD, FAILURES, ErrorClass, Outcome, Record
from tests.accuracy.lane import SECOND, Ran
from tests.accuracy.plan import KIND
from tests.accuracy.server import Met, Struck
from tests.support.scripted_server import Mode

NEAR_NS = SECOND
"""A request that never arrived was started at most so long before or after the outage."""
EDGE_SLACK_SECONDS = 0.05
UNSEEN_BY_AIPERF = frozenset({Mode.ERROR_FRAME, Mode.NO_DONE, Mode.NO_FINISH})


@dataclass(frozen=True, slots=True)
class Harm:
    """Request ids that each outage harmed, by its number; `unexplained` ones belong to none."""

    failed: Mapping[int, frozenset[str]]
    slow: Mapping[int, frozenset[str]]
    unexplained: frozenset[str]

    def of_others(self, number: int) -> frozenset[str]:
        """Whom all outages but one harmed."""
        sets = [keys for by_outage in (self.failed, self.slow) for n, keys in by_outage.items() if n != number]
        return frozenset().union(*sets)


@dataclass(frozen=True, slots=True)
class Compared:
    """One outage: the truth, the witness's word, and what others would have said. Seconds from the true begin."""

    number: int
    lane: str
    rate: float
    kind: str
    true_seconds: float
    true_failed: int
    true_slow: int
    verdict: str
    status: str
    reason: str
    resolution: str
    impact_error_seconds: float | None
    recovery_error_seconds: float | None
    measured_seconds: float | None
    counted_failed: int
    counted_slow: int
    same_requests: bool
    """The very same requests, by their ids, were called failed and slow."""
    probe_gap: bool
    """The probe itself told of a gap in the run: it did not see all, and says so."""
    actual_gaps: tuple[float | None, float | None] = (None, None)
    """Seconds between the probe's starts around the two edges, from the report."""
    trace_status: str = "absent"
    trace_verdict: str = ""
    trace_reason: str = ""
    trace_true: tuple[int, int] = (0, 0)
    """Failed requests that left spans, and those that reached the server (or its listener) and left none."""
    trace_counted: tuple[int, int] = (0, 0)
    """The trace witness's word on both."""
    plain_errors: int | None = None
    plain_harmed: int | None = None
    unready_seconds: float = 0.0
    log_gap_seconds: float = 0.0
    alert_seconds: float = 0.0
    late_seconds: float = 0.0
    """How long the machine held up our own loop around the outage."""

    @property
    def touched(self) -> bool:
        return self.true_failed + self.true_slow > 0

    @property
    def gap_seconds(self) -> float:
        """The probe gap that the target is about: the configured one, not what the machine made of it."""
        return 1 / self.rate

    def edge_errors(self) -> tuple[float | None, float | None]:
        """At impact and at recovery, signed, in probe gaps."""
        return _over(self.impact_error_seconds, self.gap_seconds), _over(self.recovery_error_seconds, self.gap_seconds)

    def edges_met(self) -> tuple[bool, bool]:
        """Within one probe gap and 50 ms of the truth."""
        limit = self.gap_seconds + EDGE_SLACK_SECONDS
        errors = (self.impact_error_seconds, self.recovery_error_seconds)
        return errors[0] is not None and abs(errors[0]) <= limit, errors[1] is not None and abs(errors[1]) <= limit

    @property
    def counts_equal(self) -> bool:
        return self.same_requests and (self.counted_failed, self.counted_slow) == (self.true_failed, self.true_slow)

    @property
    def trace_right(self) -> bool:
        """The trace witness counts what left spans, and never says that all was well where harm left none."""
        said_well = self.trace_status == "ok" and self.trace_verdict == Verdict.NO_IMPACT
        return self.trace_counted == self.trace_true and not (said_well and self.touched)

    @property
    def verdict_right(self) -> bool:
        """Of what was not seen in whole (a probe gap) the right verdict is that it is inconclusive."""
        if self.probe_gap:
            return self.verdict == Verdict.INCONCLUSIVE
        return self.verdict == (Verdict.RECOVERED if self.touched else Verdict.NO_IMPACT)


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def harm_of(ids: Mapping[str, int], met: Mapping[str, Met], struck: Sequence[Struck]) -> Harm:
    """What the server did to the given requests, sent at the given (monotonic) instants."""
    failed: dict[int, set[str]] = {s.outage.number: set() for s in struck}
    slow: dict[int, set[str]] = {s.outage.number: set() for s in struck}
    slowing = {s.outage.number for s in struck if s.outage.kind.slow}
    unexplained: set[str] = set()
    for key, at in ids.items():
        one = met.get(key)
        number = one.outage if one else _outage_at(at, struck)
        if one is not None and one.whole:
            if number is not None and number in slowing:
                slow[number].add(key)
        elif number is None:
            unexplained.add(key)
        else:
            failed[number].add(key)
    return Harm(_frozen(failed), _frozen(slow), frozenset(unexplained))


def _outage_at(at: int, struck: Sequence[Struck]) -> int | None:
    near = (s for s in struck if s.begin_ns - NEAR_NS <= at <= s.end_ns + NEAR_NS)
    return next((s.outage.number for s in near if s.outage.kind.cuts), None)


def _frozen(sets: Mapping[int, Iterable[str]]) -> dict[int, frozenset[str]]:
    return {number: frozenset(keys) for number, keys in sets.items()}


def said_by_client(records: Sequence[Record], inject_ns: int, until_ns: int) -> tuple[frozenset[str], frozenset[str]]:
    """Ids that the records call failed and slow, of the requests whose life touches the stretch."""
    inside = [r for r in records if r.start_ns < until_ns and r.end_ns >= inject_ns]
    failed = frozenset(r.request_id for r in inside if r.outcome in FAILURES)
    return failed, frozenset(r.request_id for r in inside if r.outcome is Outcome.SLOW)


def compare(ran: Ran) -> tuple[list[Compared], Harm]:
    """Every outage of a lane, and whom the server harmed."""
    anchor = ran.clock.from_monotonic(0)
    harm = harm_of({r.request_id: r.start_ns - anchor for r in ran.records}, ran.met, ran.struck)
    ends = [*(s.inject_ns for s in ran.struck[1:]), ran.quiet[0] - anchor]
    return [
        _compared(ran, struck, report, harm, next_ns=end)
        for struck, report, end in zip(ran.struck, ran.reports, ends, strict=True)
    ], harm


def _compared(ran: Ran, struck: Struck, report: WitnessReport, harm: Harm, *, next_ns: int) -> Compared:
    number, anchor = struck.outage.number, ran.clock.from_monotonic(0)
    failed, slow = said_by_client(ran.records, struck.inject_ns + anchor, next_ns + anchor)
    others = harm.of_others(number)  # in flight when the next outage struck
    begin, end = struck.begin_ns + anchor, struck.end_ns + anchor
    return Compared(
        number=number,
        lane=ran.plan.name,
        rate=ran.plan.rate,
        kind=struck.outage.kind.name,
        true_seconds=(end - begin) / SECOND,
        true_failed=len(harm.failed[number]),
        true_slow=len(harm.slow[number]),
        verdict=str(report.verdict),
        status=report.status,
        reason=report.reason,
        resolution=report.resolution.text,
        impact_error_seconds=_distance(report.t_impact, begin),
        recovery_error_seconds=_distance(report.t_recovered, end),
        measured_seconds=report.error_window_seconds,
        counted_failed=report.failed_requests or 0,
        counted_slow=report.slow_requests or 0,
        same_requests=failed - others == harm.failed[number] and slow - others == harm.slow[number],
        probe_gap="probe gap" in report.reason or "no request was started" in report.reason,
        actual_gaps=(report.resolution.at_impact_seconds, report.resolution.at_recovery_seconds),
        **_plain(ran, struck),
        **_by_trace(ran, struck, harm.failed[number]),
    )


def _by_trace(ran: Ran, struck: Struck, failed: frozenset[str]) -> dict[str, Any]:
    """What the trace witness should have counted, from the server's word, and what it did."""
    report = next((t for s, t in zip(ran.struck, ran.traces, strict=False) if s is struck), None)
    if report is None:
        return {}
    refused = {r.request_id for r in ran.records if r.error is ErrorClass.CONNECTION_REFUSED}
    traced = {key for key in failed if (met := ran.met.get(key)) is not None and met.traced}
    return {
        "trace_status": report.status,
        "trace_verdict": str(report.verdict),
        "trace_reason": report.reason,
        "trace_true": (len(traced), len(failed - traced - refused)),
        "trace_counted": (report.failed_requests or 0, report.lost_requests or 0),
    }


def _distance(measured: int | None, true: int) -> float | None:
    return None if measured is None else (measured - true) / SECOND


def _plain(ran: Ran, struck: Struck) -> dict[str, int]:
    if not ran.plain:
        return {}
    lines = [p for p in ran.plain if struck.inject_ns - NEAR_NS <= p.start_ns <= struck.end_ns + NEAR_NS]
    harm = harm_of({p.request_id: p.start_ns for p in lines}, ran.met, [struck])
    number = struck.outage.number
    return {
        "plain_errors": sum(p.error for p in lines),
        "plain_harmed": len(harm.failed[number]) + len(harm.slow[number]),
    }


def strays(ran: Ran, harm: Harm) -> list[str]:
    """A line for each request that was called bad though no outage harmed it, or harmed though no outage acted."""
    harmed = frozenset().union(*harm.failed.values(), *harm.slow.values())
    return [
        f"request on {ran.plan.name} at {(r.start_ns - ran.quiet[0]) / SECOND:.3f} s from the first control, "
        f"{(r.end_ns - r.start_ns) / SECOND:.3f} s long: {r.outcome} ({r.error}, {r.message}), by the server {ran.met.get(r.request_id)}"
        for r in ran.records
        if r.start_ns < ran.quiet[1]  # later ones are cancelled when the probe is stopped
        if (r.outcome in BAD and r.request_id not in harmed) or r.request_id in harm.unexplained
    ]


def plain_would_count(kind: str, failed: int) -> int:
    """aiperf 0.13.0's own count by the known rule: a stream that ended in an error frame or lacks its end is a success."""
    return 0 if KIND[kind].behaviour.mode in UNSEEN_BY_AIPERF else failed
