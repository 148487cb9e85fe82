"""The report of a period: all its runs, and what the probes saw all the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.measure.controls import ControlResult, control_result, upper_bound
from monitor.measure.times import nanoseconds
from monitor.model import Incident, Run, Verdict
from monitor.report.fault_figures import fault_figures
from monitor.report.figures import speed
from monitor.report.model import Controls, Hole, RunLine, SoakReport, Speed
from monitor.report.of_run import bar_width, window_of
from monitor.report.requests import Requests, gather
from monitor.report.source import Making, Source, folded_line, holes_of, some, utc
from monitor.report.suite import run_line
from probes.record import SegmentClosed

SECOND = 10**9
MINUTE_NS = 60 * SECOND
PAGE = 500
MOST_RUNS = 20_000
MOST_INCIDENTS = 10_000
BARS = 300


def soak_report(source: Source, begin_ns: int, end_ns: int, making: Making, *, fault: str | None = None) -> SoakReport:
    """Everything of [begin, end). Raises StoreError. `fault`: only runs of this one; the requests are those of all."""
    runs = list(_runs(source, begin_ns, end_ns, fault))
    found = source.incidents(MOST_INCIDENTS)
    incidents = [i for i in found if i.start_ns < end_ns and (i.end_ns is None or i.end_ns > begin_ns)]
    width = bar_width(begin_ns, end_ns, BARS)
    folded = source.folded_until()
    if folded is not None and folded > begin_ns:
        width = max(width, MINUTE_NS)
    requests = gather(source, begin_ns, end_ns, width)
    holes = holes_of(source.gaps(begin_ns, end_ns))
    segments = [s for s in source.segments(begin_ns) if s.started_ns < end_ns]
    lines = tuple(_line(source, run, making, folded) for run in runs)
    return SoakReport(
        made_ns=making.now_ns,
        version=making.version,
        deployment=making.deployment,
        begin_ns=begin_ns,
        end_ns=end_ns,
        missing=tuple(_missing(runs, requests, folded, holes, segments, begin_ns, end_ns)),
        probes=len(requests.probes),
        speed=requests.speed(),
        buckets=tuple(requests.buckets),
        bucket_seconds=width / SECOND,
        runs=lines,
        faults=fault_figures(lines),
        incidents=tuple(sorted(incidents, key=lambda i: i.start_ns)),
        controls=controls(runs),
        budget=requests.budget(making.good_ratio, _in_runs(runs, making), _in_incidents(incidents, end_ns)),
        errors=requests.errors(),
        holes=holes,
        segments=len(segments),
        lost=sum(s.lost for s in segments),
        unsent=sum(s.unsent for s in segments),
    )


def _runs(source: Source, begin_ns: int, end_ns: int, fault: str | None) -> Iterator[Run]:
    """Oldest first."""
    found: dict[str, Run] = {}  # by id: a run that begins meanwhile moves the pages
    for offset in range(0, MOST_RUNS, PAGE):
        page, total = source.runs(limit=PAGE, offset=offset, fault=fault, since_ns=begin_ns)
        found |= {run.id: run for run in page}
        if offset + PAGE >= total or not page:
            break
    yield from reversed([run for run in found.values() if run.t_requested < end_ns])


def _line(source: Source, run: Run, making: Making, folded: int | None) -> RunLine:
    """With its before and after, where the requests are still there one by one."""
    if run.t_inject is None:
        return run_line(run, None, None)
    begin, end = window_of(run, making)
    if folded is not None and begin < folded:
        return run_line(run, *_remembered(run, begin, end))
    rows = source.columns(begin, end)
    return run_line(run, speed(rows, begin, run.t_inject), speed(rows, run.t_inject, end))


def _remembered(run: Run, begin: int, end: int) -> tuple[Speed | None, Speed | None]:
    """Counts that the client witness left with the run; latencies as means went with the requests."""
    client, inject = run.witness("client"), run.t_inject
    if client is None or inject is None:
        return None, None
    before = since = None
    if client.baseline_requests is not None:
        bad = round(client.baseline_requests * (client.baseline_bad_ratio or 0.0))
        before = Speed(begin_ns=begin, end_ns=inject, good=client.baseline_requests - bad, failed=bad)
    if client.requests is not None:
        failed, slow, lost = client.failed_requests or 0, client.slow_requests or 0, client.lost_requests or 0
        good = max(0, client.requests - failed - slow - lost)
        since = Speed(begin_ns=inject, end_ns=end, good=good, slow=slow, failed=failed, lost=lost)
    return before, since


def controls(runs: Sequence[Run]) -> Controls:
    """Control runs and the upper bound of the rate of false findings."""
    results = [r for r in map(control_result, runs) if r is not None]
    counts = {kind: results.count(kind) for kind in ControlResult if kind in results}
    false, judged = counts.get(ControlResult.FALSE_FINDING, 0), len(results) - counts.get(ControlResult.INCONCLUSIVE, 0)
    return Controls(counts=counts, rate_upper_95=upper_bound(false, judged) if judged else None)


def _in_runs(runs: Sequence[Run], making: Making) -> list[tuple[int, int]]:
    """Where a fault of ours may be to blame. A control run breaks nothing."""
    windows = []
    for run in runs:
        if run.t_inject is not None and run.fault.get("kind") != "none":
            begin, end = window_of(run, making)
            windows.append((begin + nanoseconds(making.baseline_seconds), end))
    return windows


def _in_incidents(incidents: Sequence[Incident], end_ns: int) -> list[tuple[int, int]]:
    return [(i.start_ns, i.end_ns if i.end_ns is not None else end_ns) for i in incidents]


def _missing(
    runs: Sequence[Run],
    requests: Requests,
    folded: int | None,
    holes: Sequence[Hole],
    segments: Sequence[SegmentClosed],
    *period: int,
) -> Iterator[str]:
    begin, end = period
    yield from _ends(requests, begin, end)
    if folded is not None and folded > begin:
        yield folded_line(min(folded, end))
    yield from _holes(holes, end)
    lost, unsent = sum(s.lost for s in segments), sum(s.unsent for s in segments)
    if lost or unsent:
        yield f"{some(lost, 'request')} lost from sight, {unsent} planned and never sent, in {some(len(segments), 'segment')}"
    for verdict in (
        Verdict.INCONCLUSIVE,
        Verdict.NOT_INJECTED,
        Verdict.ABORTED,
        Verdict.SKIPPED,
        Verdict.REVERT_FAILED,
    ):
        ended = [r for r in runs if r.verdict is verdict]
        if ended:
            yield f"{some(len(ended), 'run')} ended as {verdict.value}, the last: {ended[-1].reason or 'no reason given'}"
    for name in ("server", "trace"):
        silent = [r for r in runs if r.t_inject is not None and ((w := r.witness(name)) is None or w.status != "ok")]
        if silent:
            yield f"the {name} witness could not say anything of {len(silent)} of {some(len(runs), 'run')}"
    if not any(control_result(r) for r in runs):
        yield "there is no control run: how often harm is found where none was done is not known"


def _ends(requests: Requests, begin: int, end: int) -> Iterator[str]:
    """Time of which nobody knows anything, without a probe's own word for it: the service was not there."""
    if requests.first_ns is None or requests.last_ns is None:
        yield "the store has no request of this period"
        return
    slack = max(MINUTE_NS, (end - begin) // 50)
    if requests.first_ns > begin + slack:
        yield f"the first request of the period is of {utc(requests.first_ns)}: before it nothing is known"
    if requests.last_ns < end - slack:
        yield f"the last request of the period is of {utc(requests.last_ns)}: after it nothing is known"
    if requests.silent:
        yield f"between them {requests.silent} of {some(len(requests.buckets), 'stretch', 'es')} of the picture have no request"


def _holes(holes: Sequence[Hole], end: int) -> Iterator[str]:
    for probe in sorted({h.probe for h in holes}):
        own = [h for h in holes if h.probe == probe]
        total = sum((h.end_ns if h.end_ns is not None else end) - h.start_ns for h in own) / SECOND
        yield f"probe {probe} sent nothing in {some(len(own), 'gap')} of {total:.0f} s in all, the last: {own[-1].reason}"
