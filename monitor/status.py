"""The service at a glance, as data."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.service import Service
    from probes.probe import Probe

RECENT_SECONDS = 10.0


def status_of(service: Service) -> dict[str, Any]:
    """The body of /api/v1/status."""
    engine = service.engine
    active = engine.active.life.run if engine.active and engine.active.life else None
    healthy, trouble = service.ingest.healthy
    incident = service.watch.current
    return {
        "version": version("aftershock"),
        "deployment": service.settings.deployment.name,
        "leader": service.lead.identity if service.lead is not None else None,
        "stopped": engine.stopped.model_dump() if engine.stopped else None,
        "active_run": active.model_dump(mode="json") if active else None,
        "probes": [probe_status(service, p) for p in service.probes],
        "incident": incident.model_dump() if incident and incident.end_ns is None else None,
        "incidents_total": service.figures.incidents,
        "incidents": service.figures.incident_status(service.clock.now_ns()),
        "control_runs": service.figures.control_status(),
        "schedules": [{"name": n, "next_ns": at} for n, at in service.scheduler.next_by_schedule().items()],
        "sources": service.clockwork.sources,
        "store": {"ok": healthy, "reason": trouble},
        "clock_step_seconds": service.clock.step_ns() / 1e9,
        **service.view.glance(),
    }


def probe_status(service: Service, probe: Probe) -> dict[str, Any]:
    """One probe at a glance."""
    state = probe.state()
    stats = service.ingest.recent_stats(RECENT_SECONDS, service.clock.now_ns(), probe.spec.name)
    return {
        "name": probe.spec.name,
        "up": state.up,
        "request_rate": probe.spec.request_rate,
        "segment": state.segment,
        "last_start_ns": state.last_start_ns,
        "in_flight": len(state.in_flight),
        "overdue": len(state.overdue),
        "sent": state.sent,
        "recorded": state.recorded,
        "lost": state.lost,
        "recent": {
            "window_seconds": RECENT_SECONDS,
            "requests": stats.requests,
            "bad": stats.bad,
            "failed": stats.failed,
            "rate": round(stats.requests / RECENT_SECONDS, 2),
        },
    }
