"""The witnesses of a service, gathered for a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from monitor.clock import Clock
from monitor.measure.client import Progress, RunTimes, measure_client, progress
from monitor.measure.columns import Columns
from monitor.measure.server import ServerWitness
from monitor.model import WitnessReport
from monitor.settings import RunSpec
from monitor.store.errors import StoreError
from probes.record import Gap, InFlight, Record
from probes.spec import ProbeSpec


class RecordSource(Protocol):
    """Where finished requests are found: the ingest."""

    def recent(self, seconds: float, now_ns: int) -> Sequence[Record]: ...

    async def columns(self, begin_ns: int, end_ns: int) -> Columns: ...


@dataclass(slots=True)
class ServiceWitnesses:
    """Client, server and trace witness of one deployment."""

    specs: tuple[ProbeSpec, ...]
    run_spec: RunSpec
    clock: Clock
    records: RecordSource
    in_flight: Callable[[], list[InFlight]]
    gaps: Callable[[int], list[Gap]]
    """Gaps that end after the given instant or are still open."""
    server: ServerWitness | None

    async def progress(self, times: RunTimes) -> Progress:
        """See `monitor.measure.client.progress`."""
        return await asyncio.to_thread(partial(progress, **await self._observed(times)))

    async def measure(self, times: RunTimes) -> tuple[WitnessReport, ...]:
        """Reports of all witnesses: client (all probes, then each), server, trace."""
        client = asyncio.to_thread(partial(measure_client, **await self._observed(times)))
        reports, server = await asyncio.gather(client, self._ask_server(times))
        trace = WitnessReport(witness="trace", status="absent", reason="no trace receiver in this version")
        return (*reports, server, trace)

    async def _observed(self, times: RunTimes) -> dict[str, Any]:
        """What was seen since the baseline began, as arguments of the client witness."""
        begin = times.t_inject - round(self.run_spec.baseline_seconds * 1e9)
        in_flight, gaps = self.in_flight(), self.gaps(begin)
        now = self.clock.now_ns()
        try:
            columns = await self.records.columns(begin, now)
        except StoreError:  # a store in trouble must not take the client's figures away
            columns = Columns.of(self.records.recent((now - begin) / 1e9, now))
        return {
            "columns": columns,
            "times": times,
            "in_flight": in_flight,
            "gaps": gaps,
            "intervals_ns": {s.name: s.interval_ns for s in self.specs},
            "overdue_ns": {s.name: round(s.overdue_seconds * 1e9) for s in self.specs},
            "settings": self.run_spec,
        }

    async def _ask_server(self, times: RunTimes) -> WitnessReport:
        if self.server is None:
            return WitnessReport(witness="server", status="absent", reason="no prometheus is configured")
        return await self.server.measure(_on_system_clock(times, self.clock.step_ns()))


def _on_system_clock(times: RunTimes, step_ns: int) -> RunTimes:
    """Prometheus stamps samples with the system clock; ours may differ from it by a step."""

    def moved(instant: int | None) -> int | None:
        return None if instant is None else instant + step_ns

    return RunTimes(
        t_inject=times.t_inject + step_ns,
        t_effect=moved(times.t_effect),
        t_acting_until=moved(times.t_acting_until),
        t_reverted=moved(times.t_reverted),
        observed_until=times.observed_until + step_ns,
        horizon_ended=times.horizon_ended,
    )
