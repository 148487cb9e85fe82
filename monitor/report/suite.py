"""The tables of Dynamo's own fault-tolerance suite, column for column, from records.

The suite averages the percentiles of its clients; here they are those of all requests together. It takes the
time from one log line to the next for the recovery; here it is what users felt, from the effect. It starts the
deployment itself and so knows how long that took: a monitor of a running deployment does not, and says `-`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from monitor.model import Run
from monitor.report.model import Quantiles, RunLine, RunReport, SoakReport, Speed

UNKNOWN = "-"
BEFORE_AFTER = (
    "Failure",
    "Startup",
    "Recovery",
    "Success Before",
    "Failed Before",
    "Success After",
    "Failed After",
    "Latency Before",
    "Latency After",
)
"""After: from the injection to the end of the observation. Latencies are means of good requests, in seconds."""


def line_of(report: RunReport) -> RunLine:
    """A run's line with its before and after."""
    return run_line(report.run, report.before, report.since)


def run_line(run: Run, before: Speed | None, since: Speed | None) -> RunLine:
    """What a table of runs says of one."""
    client = run.witness("client")
    settled = run.t_finished
    return RunLine(
        id=run.id,
        fault=run.fault_name,
        kind=str(run.fault.get("kind", "")),
        requested_ns=run.t_requested,
        inject_ns=run.t_inject,
        end_ns=settled,
        verdict=run.verdict,
        met=run.met,
        reason=run.reason,
        instances=tuple(i.name for i in run.instances),
        evidence=run.evidence.summary if run.evidence else "",
        recovery_seconds=client.recovery_from_effect_seconds if client else None,
        error_window_seconds=client.error_window_seconds if client else None,
        censored=client.censored if client else False,
        requests=client.requests if client else None,
        failed_requests=client.failed_requests if client else None,
        impact_ns=client.t_impact if client else None,
        recovered_ns=client.t_recovered if client else None,
        before=before,
        after=since,
    )


def before_after(lines: Iterable[RunLine]) -> list[list[str]]:
    """Rows of the table by failure; `none` (a control run) is the suite's baseline row."""
    return [_row(line) for line in lines]


def _row(line: RunLine) -> list[str]:
    recovery = UNKNOWN if line.recovery_seconds is None else f"{line.recovery_seconds:.2f}"
    return [
        line.fault,
        UNKNOWN,
        f">= {recovery}" if line.censored and line.recovery_seconds is not None else recovery,
        *_counts(line.before),
        *_counts(line.after),
        _mean(line.before),
        _mean(line.after),
    ]


def _counts(speed: Speed | None) -> list[str]:
    """Success and failures. A slow answer is a success to the suite, which knows no limits."""
    if speed is None:
        return [UNKNOWN, UNKNOWN]
    return [str(speed.good + speed.slow), str(speed.failed)]


def _mean(speed: Speed | None) -> str:
    return UNKNOWN if speed is None or speed.latency is None else f"{speed.latency.mean:.3f}"


def summary(report: RunReport | SoakReport) -> list[tuple[str, str]]:
    """Rows of the suite's summary, in its order."""
    speed = report.whole if isinstance(report, RunReport) else report.speed
    return list(_summary(_named(report), _clients(report), _recovery(report), speed))


def _summary(name: str, clients: int, recovery: str, speed: Speed | None) -> Iterator[tuple[str, str]]:
    yield "Test Directory", name
    yield "Number of Clients", str(clients)
    yield "Startup Time", UNKNOWN
    yield "Recovery Time", recovery
    total = speed.total if speed else None
    succeeded = speed.good + speed.slow if speed else 0
    yield "Total Requests", UNKNOWN if speed is None else str(total)
    yield "Successful Requests", UNKNOWN if speed is None else str(succeeded)
    yield "Failed Requests", UNKNOWN if speed is None else str(speed.failed)
    yield "Success Rate", UNKNOWN if not total else f"{100 * succeeded / total:.2f}%"
    latency = speed.latency if speed else None
    for label, read in (("Mean", "mean"), ("P50", "p50"), ("P90", "p90"), ("P99", "p99")):
        yield f"{label} Latency", _seconds(latency, read)
    yield "TTFT (mean)", _seconds(speed.ttft if speed else None, "mean")
    yield "ITL (mean)", _seconds(speed.inter_token if speed else None, "mean")
    rate = speed.throughput if speed else None
    yield "Total Throughput", UNKNOWN if rate is None else f"{rate:.2f} req/s"
    yield "Avg Client Throughput", UNKNOWN if rate is None or not clients else f"{rate / clients:.2f} req/s"


def _seconds(found: Quantiles | None, read: str) -> str:
    return UNKNOWN if found is None else f"{getattr(found, read):.3f}"


def _named(report: RunReport | SoakReport) -> str:
    if isinstance(report, RunReport):
        return f"{report.deployment}-{report.run.fault_name} (run {report.run.id})"
    return report.deployment


def _clients(report: RunReport | SoakReport) -> int:
    """A probe is what the suite calls a client."""
    return len(report.points.probes) if isinstance(report, RunReport) else report.probes


def _recovery(report: RunReport | SoakReport) -> str:
    if isinstance(report, SoakReport):
        return UNKNOWN
    line = line_of(report)
    return (
        UNKNOWN if line.recovery_seconds is None else f"{'>= ' if line.censored else ''}{line.recovery_seconds:.2f} sec"
    )


def suite_json(report: RunReport | SoakReport) -> dict[str, Any]:
    """Both tables and the faults' instants, under the names of the suite's own JSON."""
    lines = [line_of(report)] if isinstance(report, RunReport) else list(report.runs)
    return {
        "test_name": _named(report),
        "summary": dict(summary(report)),
        "rows": [dict(zip(BEFORE_AFTER, row, strict=True)) for row in before_after(lines)],
        "events": [_event(line) for line in lines if line.inject_ns is not None],
    }


def _event(line: RunLine) -> dict[str, Any]:
    return {
        "name": line.fault,
        "run": line.id,
        "started_at": _iso(line.inject_ns),
        "ended_at": _iso(line.end_ns),
        "started_at_ns": line.inject_ns,
        "ended_at_ns": line.end_ns,
    }


def _iso(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat()
