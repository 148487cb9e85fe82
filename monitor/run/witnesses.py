"""The witnesses of a service, gathered for a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from monitor.clock import Clock
from monitor.config.settings import RunSpec
from monitor.measure.client import Progress, RunTimes, measure_client, progress
from monitor.measure.columns import Columns
from monitor.measure.server import ServerWitness
from monitor.measure.trace import Source, measure_trace
from monitor.model import WitnessReport
from monitor.store.errors import StoreError
from monitor.trace.span import Span, trace_id_of
from probes.record import Gap, InFlight, Record
from probes.spec import ProbeSpec

LOOK_SECONDS = 0.25
NEWEST = 20
"""Once the last so many requests have traces, the rest has them, or never will."""


class RecordSource(Protocol):
    """Where finished requests are found: the ingest."""

    def recent(self, seconds: float, now_ns: int) -> Sequence[Record]: ...

    async def columns(self, begin_ns: int, end_ns: int) -> Columns: ...

    async def requests(self, begin_ns: int, end_ns: int) -> list[Record]: ...


class TraceSource(Protocol):
    """Where spans are found: the OTLP receiver."""

    @property
    def received(self) -> int: ...

    @property
    def hint(self) -> str: ...

    @property
    def span_delay_seconds(self) -> float: ...

    def traces(self, trace_ids: Iterable[bytes]) -> dict[bytes, tuple[Span, ...]]: ...


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
    traces: TraceSource | None = None
    in_hurry: bool = False
    """The service is about to end: late spans are not waited for."""

    async def progress(self, times: RunTimes) -> Progress:
        """See `monitor.measure.client.progress`."""
        return await asyncio.to_thread(partial(progress, **await self._observed(times)))

    async def measure(self, times: RunTimes) -> tuple[WitnessReport, ...]:
        """Reports of all witnesses: client (all probes, then each), server, trace."""
        client = asyncio.to_thread(partial(measure_client, **await self._observed(times)))
        reports, server, trace = await asyncio.gather(client, self._ask_server(times), self._ask_traces(times))
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

    async def _ask_traces(self, times: RunTimes) -> WitnessReport:
        source = self.traces
        if source is None:
            return WitnessReport(witness="trace", status="absent", reason="no traces section is configured")
        records = await self._requests(times)
        found = await self._spans(source, records)
        work = partial(
            measure_trace,
            records,
            found,
            times=times,
            intervals_ns={s.name: s.interval_ns for s in self.specs},
            ratios={s.name: s.trace_sample_ratio for s in self.specs},
            settings=self.run_spec,
            source=Source(source.received, source.hint),
            clock_step_ns=self.clock.step_ns(),
        )
        return await asyncio.to_thread(work)

    async def _requests(self, times: RunTimes) -> Sequence[Record]:
        begin = times.t_inject - round(self.run_spec.baseline_seconds * 1e9)
        try:
            return await self.records.requests(begin, times.observed_until)
        except StoreError:
            now = self.clock.now_ns()
            return self.records.recent((now - begin) / 1e9, now)

    async def _spans(self, source: TraceSource, records: Sequence[Record]) -> dict[bytes, tuple[Span, ...]]:
        """Spans of the requests; waits a little for those that are still on their way."""
        wanted = [i for r in records if (i := trace_id_of(r.request_id)) is not None]
        newest = [i for r in records[-NEWEST:] if (i := trace_id_of(r.request_id)) is not None]
        deadline = time.monotonic() + source.span_delay_seconds
        while source.received and not self.in_hurry and time.monotonic() < deadline:
            if source.traces(newest).keys() >= set(newest):
                break
            await asyncio.sleep(LOOK_SECONDS)
        return source.traces(wanted)


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
