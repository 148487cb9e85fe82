"""The trace witness: what the deployment's own spans say about the probes' requests. Pure.

Words and rules, with their reasons
- A request's trace is found by the request's own id. Only requests whose trace was asked for (sampled) take part.
- The client's word decides whether a request went well: spans cannot know what arrived, and a migration that saved
  a request leaves an error status. The trace says when it was served, and how and where it ended.
- Begin and end of a request are those of the frontend's span; without it, those of what is there. Windows are then
  found as for the client (`monitor.measure.client`), from the requests that left a trace and from no others: a
  request that was refused at the door leaves none.
- Lost: the client has the request, the traces have nothing, and it was not refused at the door. The newest requests
  without a trace are not lost but late: spans are sent in batches. The observation then ends where traces do.
- Migrated: routed more often than the usual good request (once, or twice where prefill is apart). Retried: of these,
  sent elsewhere before an answer had begun. Attempts, which Dynamo's counter counts, may also fail.
- Spans with impossible clocks are counted and move no window. A clock that is off as a whole is put right, and said.
- Inconclusive: nothing received, too small a baseline, too many good requests without a trace, or no harm seen
  while failed requests left no trace. What was seen is reported all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from monitor.measure.baseline import TOO_BAD, baseline_of
from monitor.measure.columns import Columns
from monitor.measure.report import ProbeView, report
from monitor.measure.times import SECOND, Judging, RunTimes, seconds
from monitor.measure.trace_facts import Trace
from monitor.measure.trace_report import Traced, explained
from monitor.measure.windows import find_window, see
from monitor.model import Verdict, WitnessReport
from monitor.trace.span import Span, trace_id_of
from probes.plugin.trace import sampled
from probes.record import BAD, Outcome, Record

LATE_NS = 15 * SECOND
"""Requests that ended this long before the end of the observation, or longer, have had time to leave a trace."""
LOST_SHARE = 0.05
"""At this share of good requests without a trace the traces are no witness."""
SKEW_NS = SECOND // 2
"""Beyond this the deployment's clock is not ours; the way to the frontend takes less."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of the receiver."""

    received: int
    """Spans since it was started, of whatever trace."""
    hint: str
    """What to look at when nothing comes."""


@dataclass(frozen=True, slots=True)
class _Judge:
    """The run's settings with another hold time."""

    baseline_seconds: float
    hold_seconds: float
    hold_requests: int


def measure_trace(
    records: Sequence[Record],
    traces: Mapping[bytes, Sequence[Span]],
    *,
    times: RunTimes,
    intervals_ns: Mapping[str, int],
    ratios: Mapping[str, float],
    settings: Judging,
    source: Source,
    clock_step_ns: int = 0,
) -> WitnessReport:
    """The trace witness's report.

    `records` must reach back to the begin of the baseline. Spans carry the system clock, which is `clock_step_ns`
    ahead of the clock of the records and times.
    """
    if not any(ratios.get(name, 1.0) > 0 for name in intervals_ns):
        return WitnessReport(witness="trace", status="absent", reason="trace_sample_ratio is 0 for every probe")
    asked = sorted(
        (Traced(r, _trace_of(r, traces)) for r in records if _asked(r, ratios)), key=lambda s: s.record.end_ns
    )
    if not source.received:
        return _nothing(f"no span was received; {source.hint}")
    if not any(s.trace for s in asked):
        text = f"{source.received} spans were received, but none of the traces of the {len(asked)} requests"
        return _nothing(f"{text}: does the deployment keep the traceparent that it is sent, and sample all?")
    skew = _skew(asked, clock_step_ns)
    late, covered = _late(asked, times)
    served = {id(s): _as_served(s, clock_step_ns + skew) for s in asked if s.trace is not None}
    seen_times = replace(times, observed_until=covered)
    # The run ended when the client's hold did; what the frontend dates lies later, by at most SKEW_NS.
    lag = seconds(times.observed_until - covered + SKEW_NS)
    judge = _Judge(settings.baseline_seconds, max(0.0, settings.hold_seconds - lag), settings.hold_requests)
    run = [s for s in asked if _touches(s.record, times) and id(s) not in late]
    views = [
        _view(
            name,
            [s for s in asked if s.record.probe == name],
            served=served,
            run=run,
            interval_ns=round(intervals_ns[name] / ratios.get(name, 1.0)),
            times=seen_times,
            settings=judge,
        )
        for name in sorted(intervals_ns)
        if ratios.get(name, 1.0) > 0
    ]
    base = report(views, seen_times, judge)
    notes = [n for n in base.notes if "tokens_lost" not in n]
    if late:
        notes.append(f"the last {len(late)} requests have no whole trace yet: spans come in batches")
    if skew:
        notes.append(f"the deployment's clock is {seconds(skew):+.2f} s off; its spans were moved by that")
    base = base.model_copy(update={"notes": tuple(notes)})
    return explained(base, run, asked=asked, interval_ns=max(v.interval_ns for v in views))


# --- requests and their traces ----------------------------------------------------------------------


def _asked(record: Record, ratios: Mapping[str, float]) -> bool:
    """Whether there should be a trace; of a lost request nobody knows whether it went well."""
    ratio = ratios.get(record.probe, 1.0)
    if record.outcome is Outcome.LOST or trace_id_of(record.request_id) is None:
        return False
    return sampled(UUID(record.request_id), ratio)


def _trace_of(record: Record, traces: Mapping[bytes, Sequence[Span]]) -> Trace | None:
    trace_id = trace_id_of(record.request_id)
    spans = traces.get(trace_id) if trace_id is not None else None
    return Trace.of(trace_id, spans) if trace_id is not None and spans else None


def _touches(record: Record, times: RunTimes) -> bool:
    return record.end_ns >= times.t_inject and record.start_ns < times.observed_until


def _late(asked: Sequence[Traced], times: RunTimes) -> tuple[set[int], int]:
    """The newest requests, none of which has a whole trace yet, and up to when the others tell.

    `asked` is in order of end. Whole means: with the frontend's span, which workers' spans may overtake.
    """
    late: set[int] = set()
    covered = times.observed_until
    for one in reversed(asked):
        whole = one.trace is not None and one.trace.root is not None
        if whole or one.record.end_ns < times.observed_until - LATE_NS:
            break
        if not one.refused:
            late.add(id(one))
            covered = min(covered, one.record.start_ns)
    return late, max(covered, times.t_inject)


def _skew(asked: Sequence[Traced], clock_step_ns: int) -> int:
    """How far the frontend's clock is ahead of ours; 0 when that is what the way to it may take."""
    roots = [(s.trace.root, s.record) for s in asked if s.trace is not None and s.good]
    steps = [
        root.start_ns - clock_step_ns - record.start_ns
        for root, record in roots
        if root is not None and not root.odd_clock
    ]
    skew = int(np.median(steps)) if steps else 0
    return skew if abs(skew) > SKEW_NS else 0


def _as_served(seen: Traced, ahead_ns: int) -> Record | None:
    """The request at the instants of its trace; None when they cannot be true."""
    life = seen.trace.life if seen.trace is not None else None
    if life is None:
        return None
    begin, end = life
    # How many tokens came over is known to the client alone.
    return replace(
        seen.record, start_ns=begin - ahead_ns, end_ns=end - ahead_ns, output_tokens=None, expected_tokens=None
    )


# --- windows ----------------------------------------------------------------------------------------


def _view(
    name: str,
    asked: Sequence[Traced],
    *,
    served: Mapping[int, Record | None],
    run: Sequence[Traced],
    interval_ns: int,
    times: RunTimes,
    settings: Judging,
) -> ProbeView:
    rows = Columns.of([r for s in asked if (r := served.get(id(s))) is not None])
    baseline = baseline_of(rows, times.t_inject, settings)
    seen = see(rows, [], times=times, baseline=baseline, overdue_ns=None)
    window = find_window(seen, times=times, settings=settings)
    mine = [s for s in run if s.record.probe == name]
    missing = [*_weak_baseline(baseline.requests, baseline.bad, settings), *_untraced(mine, hurt=window.hurt)]
    if not window.hurt and not window.held:
        missing.append("too few traced requests after the fault")
    return ProbeView(name, rows, seen, window, baseline, tuple(missing), interval_ns)


def _weak_baseline(requests: int, bad: int, settings: Judging) -> Iterator[str]:
    if requests < settings.hold_requests:
        yield f"only {requests} traced requests in the {settings.baseline_seconds:g} s before the fault"
    elif bad >= TOO_BAD * requests:
        yield f"{bad} of {requests} traced requests were bad before the fault"


def _untraced(run: Sequence[Traced], *, hurt: bool) -> Iterator[str]:
    good = [s for s in run if s.good]
    lost = sum(s.trace is None for s in good)
    if lost and lost >= LOST_SHARE * len(good):
        yield f"{lost} of {len(good)} good requests left no trace: does the deployment sample, or lose, its spans?"
    bad = sum(s.trace is None for s in run if s.record.outcome in BAD)
    if bad and not hurt:
        yield f"{bad} bad requests left no trace, so no harm seen says nothing"


def _nothing(reason: str) -> WitnessReport:
    return WitnessReport(witness="trace", status="inconclusive", verdict=Verdict.INCONCLUSIVE, reason=reason)
