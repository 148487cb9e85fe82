"""The live view of one service: wires what is looked at to who looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from monitor.live.hub import Hub
from monitor.live.outlook import active
from monitor.live.series import series
from monitor.live.timeline import timeline
from monitor.live.whole import WholeWatch, judge
from monitor.model import Run
from probes.record import Gap, Record

if TYPE_CHECKING:
    from monitor.service import Service

WINDOW_SECONDS = 10.0
WINDOW_REQUESTS = 3
"""A slow probe is judged by a window in which this many requests should end."""


class View:
    """What the status page sees of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._whole = WholeWatch()
        self._begun_ns = service.clock.now_ns()
        self._first_ns: dict[str, int] = {}
        """When each probe was first seen to have sent something."""
        specs = [probe.spec for probe in service.probes]
        longest = max((spec.request_timeout_seconds for spec in specs), default=0.0)
        names = [spec.name for spec in specs]
        self.hub = Hub(self, names, longest_request_seconds=longest, since_ns=self._begun_ns)

    # --- what the service calls -----------------------------------------------------------------

    async def tick(self) -> None:
        """Call about once a second."""
        self.look()
        await self.hub.tick()

    def look(self) -> None:
        """Judge anew whether the deployment is whole."""
        service = self._service
        for probe in service.probes:
            if (started := probe.state().last_start_ns) is not None:
                self._first_ns.setdefault(probe.spec.name, started)
        current = service.watch.current
        healthy, trouble = service.ingest.healthy
        state, reason = judge(
            [
                service.probe_view(one, max(WINDOW_SECONDS, WINDOW_REQUESTS / one.spec.request_rate))
                for one in service.probes
            ],
            incident=current.first_error if current is not None and current.end_ns is None else None,
            store_trouble=None if healthy else trouble,
            max_bad_ratio=service.settings.guard.steady_state.max_bad_ratio,
        )
        self._whole.step(self.now_ns(), state, reason)

    def run_changed(self, run: Run) -> None:
        """A run was created, changed its phase or finished."""
        self.hub.run_changed(run)

    # --- what is looked at ----------------------------------------------------------------------

    def glance(self) -> dict[str, Any]:
        """`whole`, `active` and `now_ns` of the status."""
        engine = self._service.engine
        life = engine.active.life if engine.active else None
        spec = self._service.settings.run
        return {
            "whole": self._whole.as_data(self.now_ns()),
            "active": active(life.run, life.fault, spec) if life else None,
            "now_ns": self.now_ns(),
        }

    def status(self) -> dict[str, Any]:
        return self._service.status()

    def recent(self, seconds: float) -> Sequence[Record]:
        return self._service.ingest.recent(seconds, self.now_ns())

    def gaps_since(self, since_ns: int) -> Sequence[Gap]:
        """What the probes say, and the time before a probe's first request."""
        return [*self._service.gaps_since(since_ns), *self._warming_up()]

    def now_ns(self) -> int:
        return self._service.clock.now_ns()

    async def series(self, seconds: int) -> dict[str, Any]:
        """The body of /api/v1/series. Raises StoreError."""
        service = self._service
        rates = {probe.spec.name: probe.spec.request_rate for probe in service.probes}
        return await series(rates, service.ingest, service.store, self.now_ns(), seconds)

    def timeline(self, hours: float) -> dict[str, Any]:
        """The body of /api/v1/timeline. Blocks; raises StoreError."""
        return timeline(self._service.store, self._service.schedules(), self.now_ns(), hours)

    # --- inside ---------------------------------------------------------------------------------

    def _warming_up(self) -> list[Gap]:
        names = [probe.spec.name for probe in self._service.probes]
        return [Gap(name, self._begun_ns, self._first_ns.get(name), "the probe had not begun") for name in names]
