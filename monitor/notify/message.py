"""What is said of a run, for each kind of receiver. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from monitor.model import Run, Verdict

FINE = frozenset({Verdict.RECOVERED, Verdict.NO_IMPACT})
RESOLVES_AFTER = timedelta(minutes=30)
"""A run is an event and no state: Alertmanager forgets it after so long."""
_LONGEST = 500
Level = Literal["fine", "missed", "trouble"]


def level_of(run: Run) -> Level:
    """fine; missed: recovered, but beyond an objective; trouble: anything else."""
    if run.verdict not in FINE:
        return "trouble"
    return "missed" if run.met is False else "fine"


def wanted(run: Run, when: Literal["trouble", "all"]) -> bool:
    """Whether somebody asked to be told of it. A skipped run is none."""
    if run.verdict is None or run.verdict is Verdict.SKIPPED:
        return False
    return when == "all" or level_of(run) != "fine"


def headline(run: Run) -> str:
    """One line."""
    missed = [r.objective for r in run.objective_results if r.met is False]
    more = f", missed {', '.join(missed)}" if missed else ""
    return f"{run.deployment}: {run.fault_name} {run.verdict}{more}"


def webhook(run: Run) -> dict[str, Any]:
    """Our own JSON: the figures that decide, and where the rest is."""
    client = run.witness("client")
    return {
        "version": 1,
        "event": "run_finished",
        "level": level_of(run),
        "text": headline(run),
        "deployment": run.deployment,
        "run": run.id,
        "api_path": f"/api/v1/runs/{run.id}",
        "fault": run.fault_name,
        "verdict": run.verdict,
        "reason": run.reason,
        "requested_by": run.requested_by,
        "instances": [one.name for one in run.instances],
        "finished_at": _iso(run.t_finished),
        "objectives": [one.model_dump() for one in run.objective_results],
        "failed_requests": client.failed_requests if client else None,
        "requests": client.requests if client else None,
        "error_window_seconds": client.error_window_seconds if client else None,
        "recovery_from_effect_seconds": client.recovery_from_effect_seconds if client else None,
        "resolution": client.resolution.text if client else "",
    }


def slack(run: Run) -> dict[str, Any]:
    """For an incoming webhook. Names and error texts are data: Slack's three control characters are escaped."""
    sign = {"fine": ":white_check_mark:", "missed": ":warning:", "trouble": ":x:"}[level_of(run)]
    reason = f"\n{_escaped(run.reason[:_LONGEST])}" if run.reason else ""
    return {"text": f"{sign} *{_escaped(headline(run))}*{reason}\n`aftershock runs show {run.id}`"}


def alertmanager(run: Run) -> list[dict[str, Any]]:
    """For POST /api/v2/alerts."""
    began = datetime.fromtimestamp((run.t_finished or run.t_requested) / 1e9, UTC)
    return [
        {
            "labels": {
                "alertname": "AftershockRun",
                "deployment": run.deployment,
                "fault": run.fault_name,
                "verdict": str(run.verdict),
                "severity": "info" if level_of(run) == "fine" else "ticket",
            },
            "annotations": {
                "summary": headline(run),
                "description": run.reason[:_LONGEST],
                "run": run.id,
            },
            "startsAt": began.isoformat(),
            "endsAt": (began + RESOLVES_AFTER).isoformat(),
        }
    ]


BODIES: Mapping[str, Callable[[Run], Any]] = {"webhook": webhook, "slack": slack, "alertmanager": alertmanager}


def _iso(instant: int | None) -> str | None:
    return None if instant is None else datetime.fromtimestamp(instant / 1e9, UTC).isoformat()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
