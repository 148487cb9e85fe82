"""Makes the requests of a run whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from monitor.measure.client import Progress, RunTimes, measure_client, progress
from monitor.measure.columns import Columns
from monitor.model import WitnessReport
from probes.record import ErrorClass, Gap, InFlight, Outcome, Record

S = 1_000_000_000
MS = 1_000_000
INJECT = 1_700_000_000 * S
INTERVAL = 100 * MS
LATENCY = 50 * MS


@dataclass(frozen=True)
class Judge:
    """The settings that measuring needs."""

    baseline_seconds: float = 30.0
    hold_seconds: float = 10.0
    hold_requests: int = 10


def at(seconds: float) -> int:
    """An instant relative to the injection."""
    return INJECT + round(seconds * S)


def rec(
    start: int,
    outcome: Outcome = Outcome.GOOD,
    *,
    probe: str = "p",
    latency: int = LATENCY,
    number: int = 0,
    expected: int | None = 32,
    output: int | None = None,
) -> Record:
    """One request; a bad one has an error class of its kind."""
    error = {
        Outcome.GOOD: ErrorClass.NONE,
        Outcome.SLOW: ErrorClass.SLOW_GAP,
        Outcome.FAILED: ErrorClass.HTTP_500,
        Outcome.TRUNCATED: ErrorClass.STREAM_ERROR,
        Outcome.LOST: ErrorClass.LOST,
    }[outcome]
    if outcome in {Outcome.GOOD, Outcome.SLOW} and output is None:
        output = 32
    return Record(
        probe=probe,
        segment=0,
        session_num=number,
        request_id=f"{number:032x}",
        start_ns=start,
        end_ns=start + latency,
        outcome=outcome,
        error=error,
        output_tokens=output,
        expected_tokens=expected,
    )


def load(
    begin: float,
    end: float,
    outcome: Callable[[float], Outcome] = lambda _seconds: Outcome.GOOD,
    *,
    probe: str = "p",
    interval: int = INTERVAL,
    latency: int = LATENCY,
) -> list[Record]:
    """Requests at a fixed interval from `begin` (seconds from the injection) up to `end`."""
    count = round((end - begin) * S) // interval
    starts = [at(begin) + i * interval for i in range(count)]
    return [rec(s, outcome((s - INJECT) / S), probe=probe, latency=latency, number=i) for i, s in enumerate(starts)]


def outage(begin: float, end: float, kind: Outcome = Outcome.FAILED) -> Callable[[float], Outcome]:
    """Every request that starts in [begin, end) ends badly."""
    return lambda t: kind if begin <= t < end else Outcome.GOOD


def times(
    until: float,
    *,
    effect: float | None = 0.0,
    acting: float | None = None,
    reverted: float | None = None,
    ended: bool = True,
) -> RunTimes:
    """A run that is observed until `until` seconds after the injection."""
    return RunTimes(
        t_inject=INJECT,
        t_effect=None if effect is None else at(effect),
        t_acting_until=None if acting is None else at(acting),
        t_reverted=None if reverted is None else at(reverted),
        observed_until=at(until),
        horizon_ended=ended,
    )


def measure(
    records: Sequence[Record],
    run: RunTimes,
    *,
    in_flight: Sequence[InFlight] = (),
    gaps: Sequence[Gap] = (),
    judge: Judge = Judge(),
    intervals: dict[str, int] | None = None,
    overdue: int = 5 * S,
) -> list[WitnessReport]:
    """The client witness's reports."""
    intervals = _intervals(records) if intervals is None else intervals
    return measure_client(
        Columns.of(records),
        times=run,
        in_flight=in_flight,
        gaps=gaps,
        intervals_ns=intervals,
        overdue_ns=dict.fromkeys(intervals, overdue),
        settings=judge,
    )


def look(
    records: Sequence[Record],
    run: RunTimes,
    *,
    in_flight: Sequence[InFlight] = (),
    judge: Judge = Judge(),
    overdue: int = 5 * S,
) -> Progress:
    """What the run would be told while it waits."""
    seen = [r for r in records if r.end_ns <= run.observed_until]
    flying = [
        InFlight(r.probe, r.segment, r.session_num, r.request_id, r.start_ns)
        for r in records
        if r.start_ns < run.observed_until < r.end_ns
    ]
    intervals = _intervals(records)
    return progress(
        Columns.of(seen),
        times=replace(run, horizon_ended=False),
        in_flight=[*flying, *in_flight],
        gaps=[],
        intervals_ns=intervals,
        overdue_ns=dict.fromkeys(intervals, overdue),
        settings=judge,
    )


def _intervals(records: Sequence[Record]) -> dict[str, int]:
    starts: dict[str, list[int]] = {}
    for record in records:
        starts.setdefault(record.probe, []).append(record.start_ns)
    return {name: min((b - a for a, b in pairwise(sorted(s)) if b > a), default=INTERVAL) for name, s in starts.items()}
