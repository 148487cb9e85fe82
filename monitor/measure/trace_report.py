"""What traces tell of a run beyond its windows: figures and remarks. Definitions: `monitor.measure.trace`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from monitor.measure.times import seconds
from monitor.measure.trace_facts import Instances, Trace, died, usual_routes
from monitor.model import WitnessReport
from probes.record import FAILURES, ErrorClass, Outcome, Record

FAILED_TRACES = 50


@dataclass(frozen=True, slots=True)
class Traced:
    """A request as the client has it, with its trace if it left one."""

    record: Record
    trace: Trace | None

    @property
    def good(self) -> bool:
        return self.record.outcome is Outcome.GOOD

    @property
    def failed(self) -> bool:
        return self.record.outcome in FAILURES

    @property
    def refused(self) -> bool:
        """Nothing in the deployment can have seen it."""
        return self.record.error is ErrorClass.CONNECTION_REFUSED


def explained(
    base: WitnessReport, run: Sequence[Traced], *, asked: Sequence[Traced], interval_ns: int
) -> WitnessReport:
    """The report of windows with what the traces tell beyond them.

    `run` are the requests of the run, `asked` those before it too: an instance that is killed is known from these.
    """
    traced = [(s, s.trace) for s in run if s.trace is not None]
    instances = Instances.of(s.trace for s in asked if s.trace is not None)
    usual = usual_routes(s.trace for s in asked if s.good and s.trace is not None)
    migrated = [s for s, t in traced if len(t.routes) > usual]
    deaths = [died(t, instances, usual) for s, t in traced if s.failed]
    places = Counter(place.value for place, _ in deaths)
    where = Counter(instances.name(instance) for _, instance in deaths if instance)
    text = f"\u00b1{seconds(interval_ns):.2g} s (starts of requests; the spans' clock is finer)"
    failed = sorted((s for s, _ in traced if s.failed), key=lambda s: s.record.start_ns)
    return base.model_copy(
        update={
            "witness": "trace",
            "reason": _reason(base, len(failed), len(traced)),
            "requests": len(traced),
            "failed_requests": len(failed),
            "truncated_requests": sum(s.record.outcome is Outcome.TRUNCATED for s, _ in traced),
            "slow_requests": sum(s.record.outcome is Outcome.SLOW for s, _ in traced),
            "lost_requests": sum(s.trace is None and not s.refused for s in run),
            "tokens_lost": None,
            "errors": {},
            "migrated_requests": len(migrated),
            "retried_requests": sum(t.tried_again for _, t in traced),
            "cancelled_requests": sum(t.cancelled for _, t in traced),
            "died_in": dict(sorted(places.items())),
            "died_on": dict(where.most_common()),
            "failed_traces": tuple(UUID(s.record.request_id).hex for s in failed[:FAILED_TRACES]),
            "resolution": base.resolution.model_copy(update={"text": text}),
            "notes": (*base.notes, *_remarks(run, traced, migrated)),
        }
    )


def _reason(base: WitnessReport, failed: int, traced: int) -> str:
    if base.status != "ok":
        return base.reason
    if base.t_impact is None:
        return f"none of {traced} traced requests was hurt by it"
    outcome = base.reason.partition("; ")[2]
    return f"{failed} of {traced} traced requests failed; {outcome}"


def _remarks(
    run: Sequence[Traced], traced: Sequence[tuple[Traced, Trace]], migrated: Sequence[Traced]
) -> Iterator[str]:
    refused = sum(s.trace is None and s.refused for s in run)
    if refused:
        yield f"{refused} refused connections left no trace, for nothing in the deployment saw them"
    attempts = sum(t.attempts for _, t in traced)
    if attempts:
        saved = sum(not s.failed for s in migrated)
        yield f"{attempts} attempts to go on elsewhere; {saved} of {len(migrated)} migrated requests were answered in full"
    marked = sum(not s.failed and t.has_error_status for s, t in traced)
    if marked:
        yield f"{marked} requests carry an error status though the client got the whole answer; they count as answered"
    unaware = sum(s.failed and t.called_success for s, t in traced)
    if unaware:
        yield f"{unaware} requests that failed for the client are a success to the server"
    orphans = sum(t.root is None for _, t in traced)
    if orphans:
        yield f"{orphans} traces lack the frontend's span: it went with the frontend"
    odd = sum(any(s.odd_clock for s in t.spans) for _, t in traced)
    if odd:
        yield f"{odd} traces have spans whose clock cannot be true; these move no window"
