"""What reports are made from, and by which settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from monitor.measure.columns import Columns
from monitor.model import Incident, Run
from monitor.report.model import Hole
from monitor.store.history import Minute
from probes.record import Gap, Record, SegmentClosed

STRETCH_NS = 3600 * 10**9
GOOD_RATIO = 0.99
"""Promised share of good requests where no other is configured."""


class Source(Protocol):
    """The part of the store that reports read; `monitor.store.store.Store` is one."""

    def run(self, run_id_or_prefix: str) -> Run | None: ...

    def runs(
        self,
        *,
        limit: int = 50,
        offset: int = 0,
        fault: str | None = None,
        verdict: str | None = None,
        since_ns: int | None = None,
    ) -> tuple[list[Run], int]: ...

    def columns(self, start_ns: int, end_ns: int) -> Columns: ...

    def records(
        self, start_ns: int, end_ns: int, *, probe: str | None = None, limit: int | None = None, bad_only: bool = False
    ) -> list[Record]: ...

    def gaps(self, start_ns: int, end_ns: int) -> list[Gap]: ...

    def segments(self, since_ns: int) -> list[SegmentClosed]: ...

    def incidents(self, limit: int = 50) -> list[Incident]: ...

    def minutes(self, start_ns: int, end_ns: int) -> list[Minute]: ...

    def folded_until(self) -> int | None: ...

    def oldest_ns(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Making:
    """By what a report is made."""

    deployment: str
    version: str
    now_ns: int
    baseline_seconds: float
    good_ratio: float = GOOD_RATIO


def read_columns(source: Source, begin_ns: int, end_ns: int) -> Columns:
    """Requests whose life touches [begin, end), read stretch by stretch: rows of a database are large, arrays are not."""
    parts = [source.columns(begin_ns, min(begin_ns + STRETCH_NS, end_ns))]
    for low in range(begin_ns + STRETCH_NS, end_ns, STRETCH_NS):
        high = min(low + STRETCH_NS, end_ns)
        parts.append(source.columns(low, high).started(low, high))
    return parts[0] if len(parts) == 1 else Columns.concat(parts)


def some(count: int, what: str, plural: str = "s") -> str:
    """`1 gap`, `2 gaps`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}{plural}"


def utc(ns: int) -> str:
    """An instant as text, in UTC to the second."""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def holes_of(gaps: Sequence[Gap]) -> tuple[Hole, ...]:
    """Gaps of probes, for a report."""
    return tuple(Hole(probe=g.probe, start_ns=g.start_ns, end_ns=g.end_ns, reason=g.reason) for g in gaps)


def folded_line(until_ns: int) -> str:
    """What is to be said where a report reaches back to folded requests."""
    return (
        f"good requests from before {utc(until_ns)} are folded into counts a minute (store.keep_records_hours): "
        "no single one of them is here, and no quantile has them; bad requests are all kept"
    )
