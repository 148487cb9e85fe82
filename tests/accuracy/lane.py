"""One lane while it runs: a scripted server, a real probe, outages one after the other, then controls.

The witness is asked as a run of the service asks it (`monitor.run.witnesses`): `progress` until it has seen enough, then
`measure_client`, with what is known at that moment and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.clock import SystemClock
from monitor.measure.client import RunTimes, measure_client, progress
from monitor.measure.columns import Columns
from monitor.measure.trace import Source, measure_trace
from monitor.model import WitnessReport
from monitor.trace.receiver import Receiver
from monitor.trace.span import trace_id_of
from probes.probe import Probe
from probes.record import Gap, ProbeEvent, Record
from probes.spec import EndpointSpec
from tests.accuracy.beside import PlainAiperf, PlainLine, Poll, poll_health, read_log
from tests.accuracy.machine import set_share
from tests.accuracy.plan import JUDGE, QUIET_SECONDS, LanePlan
from tests.accuracy.server import Met, Struck, TruthServer
from tests.accuracy.spans import BATCH_SECONDS, SpanSender
from tests.support.load import until
from tests.trace.build import Counted, receiving

SECOND = 1_000_000_000
BASELINE_NS = round(JUDGE.baseline_seconds * SECOND)
ASK_SECONDS = 0.25
HORIZON_SECONDS = 20.0
"""Longest wait for recovery after an outage."""
LATE_SECONDS = 10.0
"""A record arrives so long after an older one's end at most (a request may take its timeout, and 2 s for its line)."""
WOBBLE_EVERY_SECONDS = 12.0


@dataclass(slots=True)
class Ran:
    """All that a lane saw. Everything the server knows is monotonic; the witness's instants are the clock's."""

    plan: LanePlan
    clock: SystemClock
    records: list[Record] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    reports: list[WitnessReport] = field(default_factory=list)
    traces: list[WitnessReport] = field(default_factory=list)
    """The trace witness's, of the same outages."""
    met: dict[str, Met] = field(default_factory=dict)
    polls: list[Poll] = field(default_factory=list)
    log_lines: list[int] = field(default_factory=list)
    plain: list[PlainLine] = field(default_factory=list)
    quiet: tuple[int, int] = (0, 0)
    """The stretch for controls (clock)."""
    begun_ns: int = 0
    """When the lane was started (clock)."""
    wobbles: list[tuple[int, int]] = field(default_factory=list)
    """Stretches (clock) in which answers came 0.3 s later."""

    def timing(self) -> str:
        """How the time was spent, in one line."""
        first = self.clock.from_monotonic(self.struck[0].inject_ns) if self.struck else self.quiet[0]
        parts = [(b - a) / SECOND for a, b in ((self.begun_ns, first), (first, self.quiet[0]), self.quiet)]
        return f"{self.plan.name}: ready after {parts[0]:.0f} s, {len(self.struck)} outages in {parts[1]:.0f} s, controls for {parts[2]:.0f} s"

    def take(self, event: ProbeEvent) -> None:
        """The probe's sink."""
        if isinstance(event, Record):
            self.records.append(event)
        elif isinstance(event, Gap):
            self.gaps.append(event)

    def since(self, begin_ns: int) -> list[Record]:
        """The requests whose life goes on after an instant."""
        found = []
        for record in reversed(self.records):
            if record.end_ns < begin_ns - LATE_SECONDS * SECOND:
                break
            if record.end_ns >= begin_ns:
                found.append(record)
        return found


class Lane:
    """See the module."""

    def __init__(self, plan: LanePlan, folder: Path) -> None:
        self.ran = Ran(plan, SystemClock())
        self._plan = plan
        self._spec = plan.spec
        self._folder = folder
        self._log = folder / "server.jsonl"
        folder.mkdir(parents=True)
        self._receiver: Receiver | None = None
        self._random = random.Random(plan.name)  # noqa: S311 - when to wobble, not a secret

    async def run(self, end_monotonic: float) -> Ran:
        """All outages, whatever they take, and controls up to the given instant."""
        self.ran.begun_ns = self.ran.clock.now_ns()
        async with receiving(Counted()) as self._receiver:
            spans = SpanSender(f"http://127.0.0.1:{self._receiver.http_port}")
            self._server = TruthServer(self._log, spans)
            spans.start()
            try:
                return await self._run(end_monotonic)
            finally:
                await spans.stop()

    async def _run(self, end_monotonic: float) -> Ran:
        async with self._server, self._loaded() as probe:
            for outage in self._plan.outages:
                struck = await self._server.strike(outage, self._plan.rate)
                self.ran.struck.append(struck)
                self.ran.reports.append(await self._measured(probe, struck))
                self.ran.traces.append(await self._traced(struck))
                await asyncio.sleep(struck.end_ns / SECOND + QUIET_SECONDS - time.monotonic())
            await self._controls(end_monotonic)
        self._server.close_log()
        self.ran.met = self._server.met
        self.ran.log_lines = read_log(self._log)
        return self.ran

    @contextlib.asynccontextmanager
    async def _loaded(self) -> AsyncIterator[Probe]:
        """The probe and what runs beside it, warm: a whole baseline is behind us."""
        endpoint = EndpointSpec(url=self._server.url, model="scripted")
        clock = self.ran.clock
        probe = Probe(
            self._spec, endpoint, self._folder / "probe", from_monotonic=clock.from_monotonic, sink=self._take
        )
        plain = PlainAiperf(self._spec, self._server.url, self._folder / "plain") if self._plan.plain else None
        polls = asyncio.create_task(poll_health(self._server.port, self.ran.polls))
        try:
            await probe.start()
            if plain is not None:
                await plain.start()
            ours = [*probe.state().pids, *(plain.pids if plain else [])]
            set_share(ours)
            await until(lambda: probe.state().up, f"{self._plan.name}: the probe is up")
            set_share(ours)  # the probe has given its process the usual share with the first request
            await asyncio.sleep(JUDGE.baseline_seconds + 3.0)
            yield probe
        finally:
            polls.cancel()
            await asyncio.gather(probe.stop(), *([plain.stop()] if plain else []))
            if plain is not None:
                anchor = clock.from_monotonic(0)
                self.ran.plain = plain.lines(lambda wall: wall - anchor)

    async def _measured(self, probe: Probe, struck: Struck) -> WitnessReport:
        latest = time.monotonic() + HORIZON_SECONDS
        while time.monotonic() < latest:
            if progress(**self._seen(probe, struck, ended=False)).settled:
                break
            await asyncio.sleep(ASK_SECONDS)
        return measure_client(**self._seen(probe, struck, ended=True))[0]

    def _take(self, event: ProbeEvent) -> None:
        self.ran.take(event)
        if isinstance(event, Record) and self._receiver is not None:
            self._receiver.know(event.request_id)

    async def _traced(self, struck: Struck) -> WitnessReport:
        """As a run does it: after the client, when late spans have had their time."""
        assert self._receiver is not None
        now = self.ran.clock.now_ns()
        await asyncio.sleep(2 * BATCH_SECONDS)
        times = self._times(struck, now, ended=True)
        records = [r for r in self.ran.since(times.t_inject - BASELINE_NS) if r.start_ns < now]
        asked = [i for r in records if (i := trace_id_of(r.request_id)) is not None]
        return measure_trace(
            records,
            self._receiver.traces(asked),
            times=times,
            intervals_ns={self._spec.name: self._spec.interval_ns},
            ratios={self._spec.name: 1.0},
            settings=JUDGE,
            source=Source(self._receiver.received, ""),
            clock_step_ns=self.ran.clock.step_ns(),
        )

    def _times(self, struck: Struck, now: int, *, ended: bool) -> RunTimes:
        clock = self.ran.clock
        return RunTimes(
            t_inject=clock.from_monotonic(struck.inject_ns),
            t_effect=clock.from_monotonic(struck.begin_ns),
            t_acting_until=clock.from_monotonic(struck.end_ns),
            t_reverted=clock.from_monotonic(struck.end_ns),
            observed_until=now,
            horizon_ended=ended,
        )

    def _seen(self, probe: Probe, struck: Struck, *, ended: bool) -> dict[str, Any]:
        in_flight, now = probe.state().in_flight, self.ran.clock.now_ns()
        times = self._times(struck, now, ended=ended)
        return {
            "columns": Columns.of(self.ran.since(times.t_inject - BASELINE_NS)),
            "times": times,
            "in_flight": in_flight,
            "gaps": self.ran.gaps,
            "intervals_ns": {self._spec.name: self._spec.interval_ns},
            "overdue_ns": {self._spec.name: round(self._spec.overdue_seconds * SECOND)},
            "settings": JUDGE,
        }

    async def _controls(self, end_monotonic: float) -> None:
        """Nothing is broken; now and then every answer is 0.3 s slower for a few seconds."""
        clock = self.ran.clock
        begin = clock.now_ns()
        while (left := end_monotonic - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self._random.uniform(0.5, 1.0) * WOBBLE_EVERY_SECONDS))
            if end_monotonic - time.monotonic() < 6.0:
                continue
            start = self._server.wobble(on=True)
            await asyncio.sleep(self._random.uniform(1.0, 4.0))
            stop = self._server.wobble(on=False)
            self.ran.wobbles.append((clock.from_monotonic(start), clock.from_monotonic(stop)))
        self.ran.quiet = (begin, clock.now_ns())
        await asyncio.sleep(1.0)  # what was in flight ends
