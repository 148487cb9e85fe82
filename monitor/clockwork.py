"""What a service does by itself, again and again: look, tell, and keep house."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from monitor.run.life import CLOCK_STEP_NS
from monitor.status import probe_status
from monitor.store.errors import StoreError

if TYPE_CHECKING:
    from monitor.service import Service

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
SOURCE_CHECK_SECONDS = 15.0
HOUSEKEEPING_SECONDS = 600.0
INCIDENT_SECONDS = 5.0


class Clockwork:
    """Works on one service until it is stopped; what fails is said and tried again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: list[asyncio.Task[None]] = []
        self._stepped_at: float | None = None
        self.sources: dict[str, dict[str, Any]] = {}
        """Prometheus and the receiver of spans, as they were last seen."""

    def start(self) -> None:
        """On the service's event loop."""
        works: list[tuple[float, Callable[[], Any]]] = [
            (TICK_SECONDS, self._tick),
            (TICK_SECONDS, self._service.view.tick),
            (SOURCE_CHECK_SECONDS, self._check_sources),
            (HOUSEKEEPING_SECONDS, self._keep_house),
        ]
        self._tasks = [asyncio.create_task(self._every(seconds, work)) for seconds, work in works]

    async def stop(self) -> None:
        """Nothing is done any more when it returns."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def seconds_since_clock_step(self) -> float | None:
        """Since the system clock was seen to step; None when it was not."""
        return None if self._stepped_at is None else time.monotonic() - self._stepped_at

    def refresh_gauges(self) -> None:
        """What is true now, for the metrics page."""
        service = self._service
        for probe in service.probes:
            service.metrics.set_probe(probe_status(service, probe))
        service.metrics.set_stopped(service.engine.stopped is not None)
        service.metrics.set_stuck(service.engine.stuck)
        service.metrics.store_pending(service.ingest.pending_records)
        service.metrics.set_next(service.scheduler.next_by_schedule())

    # --- inside -----------------------------------------------------------------------------

    async def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        while True:
            try:
                result = work()
                if asyncio.iscoroutine(result):
                    await result
            except StoreError as error:
                log.warning("%s: %s", work.__name__, error)
            except Exception:
                log.exception("%s failed; it is tried again in %g s", work.__name__, seconds)
            await asyncio.sleep(seconds)

    async def _tick(self) -> None:
        self.refresh_gauges()
        if trouble := self._service.store_trouble():
            self._service.engine.abort_active(f"results cannot be stored: {trouble}")
        self._watch_clock()
        await self._watch_incidents()

    def _watch_clock(self) -> None:
        clock = self._service.clock
        step = clock.step_ns()
        if abs(step) > CLOCK_STEP_NS and self._service.engine.active is None:
            log.warning("the system clock stepped by %+.3f s; taking its word again", step / 1e9)
            clock.re_anchor()
            self._stepped_at = time.monotonic()

    async def _watch_incidents(self) -> None:
        service = self._service
        now = service.clock.now_ns()
        stats = service.ingest.recent_stats(INCIDENT_SECONDS, now)
        overdue = sum(len(p.state().overdue) for p in service.probes)
        change = service.watch.step(now, stats, overdue=overdue, run_active=service.engine.active is not None)
        if change is None:
            return
        service.watch.current = stored = await asyncio.to_thread(service.store.save_incident, change)
        service.figures.take_incident(stored, fresh=change.id is None)
        service.metrics.incident(change)

    async def _check_sources(self) -> None:
        service = self._service
        if service.receiver is not None:
            # Requests that are still in flight have spans already, which must not be forgotten meanwhile.
            for one in service.in_flight():
                service.receiver.know(one.request_id)
            service.receiver.sweep()
            self._tell_source("otlp", *service.receiver.up)
        if service.server is not None:
            self._tell_source("prometheus", *await service.server.up())

    def _tell_source(self, name: str, up: bool, reason: str) -> None:
        self.sources[name] = {"up": up, "reason": reason}
        self._service.metrics.source_up(name, up)

    async def _keep_house(self) -> None:
        service = self._service
        now, keep = service.clock.now_ns(), service.settings.store
        await asyncio.to_thread(service.store.fold, now - round(keep.keep_records_hours * 3600e9))
        await asyncio.to_thread(service.store.forget, now - round(keep.keep_runs_days * 86400e9))
