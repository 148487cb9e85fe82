"""A run in a line: what lists and timelines show."""

from __future__ import annotations

from typing import Any

from monitor.model import Run


def brief(run: Run) -> dict[str, Any]:
    """Instants in UTC nanoseconds; figures are the client's. `met` is None where nothing was judged."""
    client = run.witness("client")
    judged = [one.met for one in run.objective_results if one.met is not None]
    return {
        "id": run.id,
        "fault_name": run.fault_name,
        "kind": run.fault.get("kind"),
        "verdict": run.verdict,
        "phase": run.phase,
        "reason": run.reason,
        "requested_by": run.requested_by,
        "t_requested": run.t_requested,
        "t_inject": run.t_inject,
        "t_effect": run.t_effect,
        "t_impact": client.t_impact if client else None,
        "t_recovered": client.t_recovered if client else None,
        "t_reverted": run.t_reverted,
        "t_finished": run.t_finished,
        "instances": [one.name for one in run.instances],
        "failed_requests": client.failed_requests if client else None,
        "error_window_seconds": client.error_window_seconds if client else None,
        "recovery_seconds": client.recovery_from_effect_seconds if client else None,
        "met": all(judged) if judged else None,
        "receipt_open": run.receipt_open,
        "evidence": run.evidence.summary if run.evidence else None,
    }
