"""What reports read: folded minutes, and how far back the store goes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from monitor.measure.columns import OUTCOME_CODE
from monitor.store.records import BAD_CODES, probe_names
from monitor.store.retention import FOLDED_FLAG, MINUTE_NS
from monitor.store.runs import get_flag
from monitor.store.schema import incidents, minutes, records, runs, segments
from probes.record import Outcome


@dataclass(frozen=True, slots=True)
class Minute:
    """Good requests that started in one minute, folded; durations are sums in nanoseconds."""

    minute_ns: int
    probe: str
    good: int
    life_ns: int
    ttft_count: int
    ttft_ns: int


@dataclass(frozen=True, slots=True)
class Count:
    """Requests of a probe that started in one cell of time."""

    at_ns: int
    probe: str
    good: int
    bad: int
    """Slow, failed and truncated."""
    lost: int


def select_counts(connection: Connection, start_ns: int, end_ns: int, step_ns: int) -> list[Count]:
    """Requests that started in [start_ns, end_ns), in cells of `step_ns` from start_ns on; folded ones are not among them."""
    names = probe_names(connection)
    c = records.c
    at = (c.start_ns - (c.start_ns - start_ns) % step_ns).label("at_ns")
    chosen = {
        "good": c.outcome == OUTCOME_CODE[Outcome.GOOD],
        "bad": c.outcome.in_(BAD_CODES),
        "lost": c.outcome == OUTCOME_CODE[Outcome.LOST],
    }
    sums = [func.sum(case((one, 1), else_=0)).label(name) for name, one in chosen.items()]
    query = select(at, c.probe, *sums).where(c.start_ns >= start_ns, c.start_ns < end_ns).group_by(at, c.probe)
    return [
        Count(int(r.at_ns), names[r.probe], int(r.good), int(r.bad), int(r.lost)) for r in connection.execute(query)
    ]


def select_minutes(connection: Connection, start_ns: int, end_ns: int) -> list[Minute]:
    """Minutes that begin in [start_ns, end_ns), the one that holds start_ns included."""
    names = probe_names(connection)
    c = minutes.c
    query = (
        select(c.minute_ns, c.probe, c.good, c.life_ns, c.ttft_count, c.ttft_ns)
        .where(c.minute_ns > start_ns - MINUTE_NS, c.minute_ns < end_ns)
        .order_by(c.minute_ns, c.probe)
    )
    return [
        Minute(r.minute_ns, names[r.probe], r.good, r.life_ns, r.ttft_count, r.ttft_ns)
        for r in connection.execute(query)
    ]


def folded_until(connection: Connection) -> int | None:
    """Good requests that started before this are folded; None when none are."""
    flag = get_flag(connection, FOLDED_FLAG)
    return None if flag is None else int(flag["until_ns"])


def oldest_ns(connection: Connection) -> int | None:
    """The first instant that anything is known of; None for an empty store."""
    columns = (records.c.start_ns, minutes.c.minute_ns, runs.c.t_requested, incidents.c.start_ns, segments.c.started_ns)
    found = [connection.execute(select(func.min(column))).scalar() for column in columns]
    return min((int(f) for f in found if f is not None), default=None)
