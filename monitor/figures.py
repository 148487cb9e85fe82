"""Figures of the service itself: control runs and incidents, since the oldest that the store still has."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitor.measure.controls import ControlResult, control_result, upper_bound
from monitor.model import Incident, Run, Verdict

PAGE = 200
_REMEMBERED = 1_000
_LOOKED_AT = 20


class History(Protocol):
    """The part of the store that tells of earlier days."""

    def runs(self, *, limit: int = 50, offset: int = 0, fault: str | None = None) -> tuple[Sequence[Run], int]: ...

    def incidents(self, limit: int = 50) -> Sequence[Incident]: ...

    def incident_totals(self) -> tuple[int, int]:
        """How many there were, and the sum of the lengths (ns) of those that ended."""
        ...


@dataclass(slots=True)
class ServiceFigures:
    """Counted on from what the store had at the start."""

    controls: Counter[ControlResult] = field(default_factory=Counter)
    incidents: int = 0
    closed_ns: int = 0
    """Length of all incidents that ended."""
    last: Incident | None = None
    last_runs: list[Run] = field(default_factory=list)
    """The newest run of each fault that was no mere refusal, as it was when the service began."""
    _seen: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    @classmethod
    def restored(cls, history: History, control_faults: Iterable[str], faults: Iterable[str] = ()) -> ServiceFigures:
        """From the store; `control_faults` are the catalogue names that inject nothing. Raises StoreError. Blocks."""
        made = cls(last_runs=[run for fault in faults if (run := _last_run(history, fault)) is not None])
        for fault in control_faults:
            offset, total = 0, 1
            while offset < total:
                found, total = history.runs(limit=PAGE, offset=offset, fault=fault)
                for run in found:
                    made.take_run(run)
                offset += PAGE
        made.incidents, made.closed_ns = history.incident_totals()
        made.last = next(iter(history.incidents(1)), None)
        return made

    def take_run(self, run: Run) -> None:
        """A run changed; a control run is counted once, when it has ended."""
        result = control_result(run)
        if result is not None and run.id not in self._seen:
            self._seen.append(run.id)
            self.controls[result] += 1

    def take_incident(self, incident: Incident, *, fresh: bool) -> None:
        """An incident was stored: for the first time, or closed."""
        self.incidents += fresh
        if incident.end_ns is not None:
            self.closed_ns += max(0, incident.end_ns - incident.start_ns)
        self.last = incident

    def control_status(self) -> dict[str, Any]:
        """Counts, and the upper bound of the rate of false findings, which needs a conclusive run to be known."""
        clean, false = self.controls[ControlResult.CLEAN], self.controls[ControlResult.FALSE_FINDING]
        judged = clean + false
        counts = {result.value: self.controls[result] for result in ControlResult}
        return counts | {"rate_upper_95": round(upper_bound(false, judged), 6) if judged else None}

    def incident_status(self, now_ns: int) -> dict[str, Any]:
        """Count, seconds (an open incident until now) and the last one."""
        last = self.last
        open_ns = now_ns - last.start_ns if last is not None and last.end_ns is None else 0
        return {
            "count": self.incidents,
            "seconds": round((self.closed_ns + max(0, open_ns)) / 1e9, 3),
            "last": last.model_dump() if last is not None else None,
        }


def _last_run(history: History, fault: str) -> Run | None:
    """Looked for among the newest ones only: behind a page of refusals it is old news."""
    found, _ = history.runs(limit=_LOOKED_AT, fault=fault)
    return next((run for run in found if run.verdict not in {None, Verdict.SKIPPED}), None)
