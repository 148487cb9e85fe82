"""The report of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np

from monitor.measure.columns import Columns
from monitor.measure.times import nanoseconds
from monitor.model import Phase, Run
from monitor.report.figures import bucketed, error_counts, points, speed, speed_of
from monitor.report.model import BadRequest, Hole, RunReport, Speed
from monitor.report.source import Making, Source, folded_line, holes_of, read_columns, some
from probes.record import BAD, Outcome, Record

SECOND = 10**9
PICTURE_BUCKETS = 400
BARS = 120
MOST_BAD = 2000
"""Bad requests that are listed with their texts; the picture and the counts have all."""


def run_report(source: Source, run: Run, making: Making) -> RunReport:
    """Everything that is known of a run. Raises StoreError."""
    begin, end = window_of(run, making)
    touching = read_columns(source, begin, end)
    rows = touching.started(begin, end)
    folded = source.folded_until()
    cut = folded if folded is not None and folded > begin else None
    bad = [r for r in source.records(begin, end, bad_only=True, limit=MOST_BAD) if begin <= r.start_ns]
    holes = holes_of(source.gaps(begin, end))
    width = bar_width(begin, end)
    speeds = _speeds(run, touching, begin, end) if cut is None else {}
    return RunReport(
        made_ns=making.now_ns,
        version=making.version,
        deployment=run.deployment,
        begin_ns=begin,
        end_ns=end,
        missing=tuple(_missing(run, rows, cut, holes)),
        run=run,
        errors=tuple(error_counts(rows, examples(bad))),
        bad=tuple(bad_request(r) for r in bad),
        bad_total=int(np.count_nonzero(rows.has(*BAD))),
        points=points(rows, begin, end, PICTURE_BUCKETS),
        buckets=tuple(bucketed(rows, begin, end, width)),
        bucket_seconds=width / SECOND,
        holes=holes,
        **speeds,
    )


def window_of(run: Run, making: Making) -> tuple[int, int]:
    """From the begin of the baseline to the end of the observation (a run that goes on: until now)."""
    origin = run.t_inject if run.t_inject is not None else run.t_requested
    settled = [t.at_ns for t in run.transitions if t.phase is Phase.SETTLED]
    end = settled[-1] if settled else run.t_finished if run.t_finished is not None else making.now_ns
    return origin - nanoseconds(making.baseline_seconds), max(end, origin + 1)


def bar_width(begin_ns: int, end_ns: int, most: int = BARS) -> int:
    """A round width (ns) so that at most so many bars fill the window."""
    least = (end_ns - begin_ns) / most
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
    days = -(-round(least) // (86_400 * SECOND))
    return next((s * SECOND for s in steps if s * SECOND >= least), days * 86_400 * SECOND)


def examples(bad: Sequence[Record]) -> dict[str, str]:
    """The first message of each class of errors that has one."""
    found: dict[str, str] = {}
    for record in bad:
        if record.message:
            found.setdefault(record.error.value, record.message)
    return found


def bad_request(record: Record) -> BadRequest:
    """A record, for a report."""
    return BadRequest(
        start_ns=record.start_ns,
        end_ns=record.end_ns,
        end_exact=record.end_exact,
        probe=record.probe,
        outcome=record.outcome.value,
        error=record.error.value,
        message=record.message,
        status=record.status,
        trace_id=trace_id(record.request_id),
    )


def trace_id(request_id: str) -> str:
    """The trace id of a request, in hex; empty for an id that is no UUID."""
    try:
        return UUID(request_id).hex
    except ValueError:
        return ""


def _speeds(run: Run, rows: Columns, begin: int, end: int) -> dict[str, Speed | None]:
    """Before and since by the ends of requests, as the suite counts; hurt and whole again by their starts, as windows are.

    One in flight at the injection counts as if it had started there, for it is the fault that met it.
    """
    found: dict[str, Speed | None] = {"whole": speed(rows, begin, end)}
    if run.t_inject is None:
        return found
    client = run.witness("client")
    impact = client.t_impact if client is not None else None
    recovered = client.t_recovered if client is not None else None
    found["before"] = speed(rows, begin, run.t_inject)
    found["since"] = speed(rows, run.t_inject, end)
    met = rows.where(rows.end_ns >= run.t_inject)
    keys = np.maximum(met.start_ns, run.t_inject)
    if impact is not None:
        until = min(recovered if recovered is not None else end, end)
        found["during"] = speed_of(met.where((keys >= impact) & (keys < until)), impact, until)
    whole_again = recovered if impact is not None else run.t_inject
    if whole_again is not None and whole_again < end:
        found["after"] = speed_of(met.where((keys >= whole_again) & (keys < end)), whole_again, end)
    return found


def _missing(run: Run, rows: Columns, cut: int | None, holes: Sequence[Hole]) -> Iterator[str]:
    if run.phase is not Phase.FINISHED:
        yield f"the run has not ended: it is in phase {run.phase.value}"
    if run.t_inject is None:
        yield "nothing was injected, so there is no before and after"
    if cut is not None:
        yield folded_line(cut)
    elif not len(rows):
        yield "the store has no request of this stretch"
    yield from _silent(run)
    lost = int(np.count_nonzero(rows.has(Outcome.LOST)))
    if lost:
        yield f"{some(lost, 'request')} lost: nobody saw how it ended, and it is in no ratio"
    for hole in holes:
        length = "and still" if hole.end_ns is None else f"for {(hole.end_ns - hole.start_ns) / SECOND:.1f} s"
        yield f"probe {hole.probe} sent nothing {length}: {hole.reason}"


def _silent(run: Run) -> Iterator[str]:
    """Witnesses and objectives that say nothing. A run that was never injected had nobody to ask."""
    for name in ("client", "server", "trace") if run.t_inject is not None else ():
        witness = run.witness(name)
        if witness is None:
            yield f"the {name} witness has not spoken"
        elif witness.status != "ok":
            yield f"the {name} witness is {witness.status}: {witness.reason}"
    for result in run.objective_results:
        if result.met is None:
            yield f"objective {result.objective} could not be judged"
