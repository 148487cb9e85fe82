"""The service: the one place where the parts are wired together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from apscheduler.schedulers.base import SchedulerNotRunningError

from faults.base import Fault, Target
from monitor.catalogue import catalogue
from monitor.clock import SystemClock
from monitor.clockwork import Clockwork
from monitor.config.settings import Settings
from monitor.export.metrics import Metrics
from monitor.export.telemetry import RunTracer
from monitor.figures import ServiceFigures
from monitor.gaps import NEW_LEADER, NOT_RUNNING, GapBook
from monitor.incidents import IncidentWatch
from monitor.ingest import Ingest
from monitor.leader.lead import Lead
from monitor.live.view import View
from monitor.measure.server import ServerWitness
from monitor.model import Phase, Run
from monitor.notify.notifier import Notifier
from monitor.run.engine import Engine
from monitor.run.guard import ProbeView, Refusal, Rule
from monitor.run.life import Parts
from monitor.run.requests import Request, RunRefused
from monitor.run.witnesses import ServiceWitnesses
from monitor.schedule.scheduler import Firing, Scheduler
from monitor.status import status_of
from monitor.store.errors import StoreError
from monitor.store.store import Store
from monitor.trace.receiver import Receiver
from monitor.wiring import make_target, store_url
from probes.probe import Probe
from probes.record import Gap, InFlight, ProbeEvent, Record

log = logging.getLogger(__name__)


class Service:
    """Everything of one deployment. `start`, then `stop`; both on the same event loop."""

    def __init__(self, settings: Settings, lead: Lead | None = None) -> None:
        """`lead` is what a replica leads by; without it this is the only service of its store."""
        self.settings = settings
        self.lead = lead
        self._may_act = lead.may_act if lead is not None else lambda: None
        self.clock = SystemClock()
        self.entries = catalogue(settings.faults)
        self.store = lead.store if lead is not None else Store(store_url(settings))
        self.metrics = Metrics(
            deployment=settings.deployment.name,
            probes=[p.name for p in settings.probes],
            faults={name: _component(entry.fault) for name, entry in self.entries.items()},
            schedules=[s.name for s in settings.schedules],
            sources=[*(["prometheus"] if settings.prometheus else []), *(["otlp"] if settings.traces else [])],
            trace_ratios={p.name: p.trace_sample_ratio for p in settings.probes},
            objectives={name: entry.objectives.limits() for name, entry in self.entries.items()},
            good_ratio=settings.slo.good_ratio,
            receivers=[one.name for one in settings.notify],
        )
        self.tracer = RunTracer()
        self.notifier = Notifier(settings.notify, self.metrics.notified)
        self.ingest = Ingest(self.store, self.metrics, self.clock)
        self.target: Target | None = make_target(settings, self._may_act)
        self.server = self._make_server()
        self.receiver = Receiver(settings.traces, self.metrics) if settings.traces else None
        self.watch = IncidentWatch()
        self.figures = ServiceFigures()
        self.gaps = GapBook()
        self.clockwork = Clockwork(self)
        probe_dir = (settings.probe_dir or settings.data_dir / "probes").absolute()
        self.probes = [
            Probe(
                spec,
                settings.deployment.endpoint,
                probe_dir / spec.name,
                from_monotonic=self.clock.from_monotonic,
                sink=self._take,
            )
            for spec in settings.probes
        ]
        self.witnesses = self._make_witnesses()
        self.engine = self._make_engine()
        self.scheduler = Scheduler(settings.schedules, self._fire, on_skip=self.metrics.schedule_skipped)
        self.view = View(self)

    # --- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Put back what was left, then load, then schedules.

        Raises StoreError when results cannot be kept or another service keeps its own there, OSError when the receiver cannot listen.
        """
        if self.lead is None:
            await asyncio.to_thread(self.store.hold)
        await self.ingest.start()
        self.notifier.start()
        self.watch = IncidentWatch(await asyncio.to_thread(self.store.open_incident))
        controls = [name for name, entry in self.entries.items() if entry.fault.kind == "none"]
        self.figures = await asyncio.to_thread(ServiceFigures.restored, self.store, controls, list(self.entries))
        self.metrics.restore(self.figures)
        left = await self.engine.start()
        for run in left:
            log.warning("run %s of an earlier process: %s", run.id, run.reason)
        await self._take_over_gaps()
        if self.receiver is not None:
            await self.receiver.start()
            log.info("OTLP is received at %s", self.receiver.addresses)
        for probe in self.probes:
            await probe.start()
        self.clockwork.start()
        self.scheduler.start()

    async def stop(self, reason: str) -> None:
        """Revert first, then stop the load, then flush. Bounded."""
        try:
            self.scheduler.stop()
        except SchedulerNotRunningError:
            log.debug("stopped before the scheduler had started")
        self.witnesses.in_hurry = True
        await self.engine.shutdown(reason)
        self.view.hub.close()
        await self.clockwork.stop()
        await asyncio.gather(*(p.stop() for p in self.probes), return_exceptions=True)
        if self.receiver is not None:
            await self.receiver.stop()
        await self.ingest.close()
        if self.target is not None:
            await self.target.close()
        self.metrics.shutdown()
        await self.notifier.stop()
        self.tracer.shutdown()
        self.store.close()

    async def stopped(self, reason: str, seconds: float) -> bool:
        """`stop`, and whether it was done in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.stop(reason)
        except TimeoutError:
            log.error("not stopped within %g s; what is still broken is put back by whoever starts next", seconds)  # noqa: TRY400 - the text says it all
            return False
        return True

    async def abandon(self) -> None:
        """Stop at once and put nothing back: another replica leads, and does so. Bounded."""
        with suppress(SchedulerNotRunningError):
            self.scheduler.stop()
        await self.engine.abandon()
        self.view.hub.close()
        await self.clockwork.stop()
        await asyncio.gather(*(p.stop() for p in self.probes), return_exceptions=True)
        await self.ingest.close()
        self.store.close()

    async def _take_over_gaps(self) -> None:
        names = [p.spec.name for p in self.probes]
        reason = NOT_RUNNING if self.lead is None else NEW_LEADER
        for gap in await asyncio.to_thread(self.gaps.left_by_others, self.store, names, reason):
            self._take(gap)

    # --- face of the HTTP layer -------------------------------------------------------------

    @property
    def reader(self) -> Store:
        return self.store

    @property
    def ready(self) -> tuple[bool, str]:
        """Probes are sending and results can be stored."""
        silent = [p.spec.name for p in self.probes if not p.state().up]
        healthy, trouble = self.ingest.healthy
        if silent:
            return False, f"probes not sending: {', '.join(silent)}"
        return healthy, trouble

    def status(self) -> dict[str, Any]:
        """The body of /api/v1/status."""
        return status_of(self)

    def schedules(self) -> list[dict[str, Any]]:
        """The body of /api/v1/schedules."""
        return self.scheduler.describe()

    def render_metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The Prometheus page."""
        self.clockwork.refresh_gauges()
        return self.metrics.render(accept)

    # --- wiring -----------------------------------------------------------------------------

    def _make_server(self) -> ServerWitness | None:
        spec = self.settings.prometheus
        if spec is None:
            return None
        return ServerWitness(
            spec,
            baseline_seconds=self.settings.run.baseline_seconds,
            on_trouble=lambda kind: self.metrics.source_error("prometheus", kind.value),
        )

    def _make_witnesses(self) -> ServiceWitnesses:
        return ServiceWitnesses(
            specs=self.settings.probes,
            run_spec=self.settings.run,
            clock=self.clock,
            records=self.ingest,
            in_flight=self.in_flight,
            gaps=self.gaps_since,
            server=self.server,
            traces=self.receiver,
        )

    def _make_engine(self) -> Engine:
        settings = self.settings
        parts = Parts(
            clock=self.clock,
            save=self.store.save_run,
            target=self.target,
            witnesses=self.witnesses,
            spec=settings.run,
            state_root=settings.data_dir.absolute() / "runs",
            on_change=self._run_changed,
        )
        return Engine(
            deployment=settings.deployment.name,
            entries=self.entries,
            parts=parts,
            store=self.store,
            guard=settings.guard,
            probe_views=self.probe_views,
            store_trouble=self.store_trouble,
            on_refused=self._run_refused,
            may_act=self._may_act,
            seconds_since_clock_step=self.clockwork.seconds_since_clock_step,
        )

    def _take(self, event: ProbeEvent) -> None:
        if isinstance(event, Gap):
            self.gaps.remember(event)
        elif isinstance(event, Record):
            if self.receiver is not None:
                self.receiver.know(event.request_id)
            for gap in self.gaps.saw(event, self.in_flight):
                self._take(gap)
        self.ingest.take(event)

    def store_trouble(self) -> str | None:
        """Why results cannot be stored; None while they can."""
        healthy, reason = self.ingest.healthy
        return None if healthy else reason

    def _run_changed(self, run: Run) -> None:
        note = run.transitions[-1].note if run.transitions else ""
        verdict = f" {run.verdict}" if run.verdict else ""
        log.info(
            "run %s %s: %s%s%s",
            run.id,
            run.fault_name,
            run.phase,
            verdict,
            f": {note or run.reason}" if note or run.reason else "",
        )
        self.metrics.run_changed(run)
        self.figures.take_run(run)
        self.view.run_changed(run)
        if run.phase is Phase.FINISHED:
            self.tracer.export(run)
            self.notifier.finished(run)

    def _run_refused(self, run: Run, refused: Refusal) -> None:
        log.info("run %s %s refused: %s", run.id, run.fault_name, refused.reason)
        self.metrics.run_changed(run)

    async def _fire(self, firing: Firing) -> str | None:
        """Run what a schedule asks for; a refusal is stored as a skipped run, and its rule is the skip's reason."""
        try:
            await self.engine.submit(
                Request(fault=firing.fault, requested_by=f"schedule:{firing.schedule}", seed=firing.seed)
            )
        except RunRefused as refused:
            return refused.refusal.rule
        except StoreError as error:
            log.error("schedule %s: %s: %s", firing.schedule, firing.fault, error)  # noqa: TRY400 - the text says it all
            return Rule.STORE
        return None

    # --- what others ask --------------------------------------------------------------------

    def in_flight(self) -> list[InFlight]:
        """All requests that were sent and have not ended."""
        return [f for p in self.probes for f in p.state().in_flight]

    def gaps_since(self, since_ns: int) -> list[Gap]:
        """Probe gaps that end after the instant, or are still open."""
        return self.gaps.since(since_ns)

    def probe_views(self) -> list[ProbeView]:
        """What the guard judges the probes by."""
        window = self.settings.guard.steady_state.window_seconds
        return [self.probe_view(probe, window) for probe in self.probes]

    def probe_view(self, probe: Probe, window_seconds: float) -> ProbeView:
        """One probe's last moments."""
        state = probe.state()
        stats = self.ingest.recent_stats(window_seconds, self.clock.now_ns(), probe.spec.name)
        reason = state.gap.reason if state.gap else "no request was started lately"
        return ProbeView(
            probe.spec.name, state.up, reason, window_seconds, stats.requests, stats.bad, len(state.overdue)
        )


def _component(fault: Fault) -> str:
    """The component that a fault's metrics start with: the first that it names."""
    named = getattr(fault, "component", ())
    return str(named[0]) if named else ""
