"""What happened over hours, and what is planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from monitor.live.briefs import brief
from monitor.model import Incident, Run
from probes.record import Gap

HOUR_NS = 3_600 * 10**9
LONGEST_HOURS = 168
MOST_RUNS = 1000
MOST_INCIDENTS = 1000
MOST_GAPS = 1000
MOST_NEXT = 20


class Past(Protocol):
    """The part of the store that a timeline needs."""

    def runs(self, *, limit: int = 50, since_ns: int | None = None) -> tuple[Sequence[Run], int]: ...

    def incidents(self, limit: int = 50) -> Sequence[Incident]: ...

    def gaps(self, start_ns: int, end_ns: int) -> Sequence[Gap]: ...


def timeline(store: Past, schedules: Iterable[Mapping[str, Any]], now_ns: int, hours: float) -> dict[str, Any]:
    """The body of /api/v1/timeline: the newest of each kind where there are very many. Blocks; raises StoreError."""
    since = now_ns - round(hours * HOUR_NS)
    runs, total = store.runs(limit=MOST_RUNS, since_ns=since)
    incidents = [one for one in store.incidents(MOST_INCIDENTS) if one.end_ns is None or one.end_ns > since]
    gaps = sorted(store.gaps(since, now_ns), key=lambda one: one.start_ns)
    return {
        "from_ns": since,
        "to_ns": now_ns,
        "runs": [brief(run) for run in runs],
        "runs_left_out": max(0, total - len(runs)),
        "incidents": [one.model_dump(exclude={"id"}) for one in incidents],
        "gaps": [
            {"probe": one.probe, "start_ns": one.start_ns, "end_ns": one.end_ns, "reason": one.reason}
            for one in gaps[-MOST_GAPS:]
        ],
        "next": _next(schedules),
    }


def _next(schedules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    planned = [
        {"schedule": one["name"], "fault": firing["fault"], "at_ns": firing["at_ns"]}
        for one in schedules
        for firing in one["next"]
    ]
    return sorted(planned, key=lambda one: int(one["at_ns"]))[:MOST_NEXT]
