"""How long the run in progress may still take: an upper bound, and what it waits for."""

from __future__ import annotations

from typing import Any

from faults.base import Fault
from monitor.config.settings import RunSpec
from monitor.model import Phase, Run

MEASURE_SECONDS = 60.0
"""Longest that the witnesses are asked after the horizon."""
REVERT_ATTEMPTS = 3
_VERIFY_SECONDS = 60.0


def active(run: Run, fault: Fault, spec: RunSpec) -> dict[str, Any]:
    """The run in progress as the page shows it."""
    last = run.transitions[-1] if run.transitions else None
    seconds, why = _longest(run, fault, spec)
    since = last.at_ns if last else run.t_requested
    return {
        "id": run.id,
        "fault_name": run.fault_name,
        "phase": run.phase,
        "doing": run.phase.doing,
        "phase_since_ns": since,
        "instances": [one.name for one in run.instances],
        "requested_by": run.requested_by,
        "phases": [{"phase": one.phase, "at_ns": one.at_ns} for one in run.transitions],
        "ends_by_ns": None if seconds is None else _anchor(run, since) + round(seconds * 1e9),
        "ends_because": why,
    }


def _anchor(run: Run, since_ns: int) -> int:
    """The instant that the bound counts from."""
    if run.phase is Phase.EFFECTIVE and run.t_effect is not None:
        return run.t_effect
    return since_ns


def _longest(run: Run, fault: Fault, spec: RunSpec) -> tuple[float | None, str]:
    """Seconds that are left at most when the phase is entered; None where nobody can know."""
    after = spec.horizon_seconds + MEASURE_SECONDS
    lasts = fault.duration_seconds_or_zero
    acting = lasts + REVERT_ATTEMPTS * spec.revert_timeout_seconds
    verify = float(getattr(fault, "verify_timeout_seconds", _VERIFY_SECONDS))
    verify += float(getattr(fault, "replace_timeout_seconds", 0.0))
    users = f"then at most {spec.horizon_seconds:g} s until users are well"
    well = f"users being well for {spec.hold_seconds:g} s; given up {spec.horizon_seconds:g} s after the fault"
    proof = verify + acting + after, f"proof that it took effect, at most {verify:g} s, {users}"
    held = f"the fault's end after {lasts:g} s, {users}" if lasts else f"the revert, {users}"
    known: dict[Phase, tuple[float | None, str]] = {
        Phase.PLANNED: proof,
        Phase.INJECTED: proof,
        Phase.EFFECTIVE: (acting + after, held),
        Phase.REVERTED: (after, well),
        Phase.SETTLED: (MEASURE_SECONDS, "the witnesses' answers"),
    }
    return known.get(run.phase, (None, run.phase.doing))
