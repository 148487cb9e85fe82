"""The bound on what is left of a run: there in every phase that has one, and never below what may still come."""

from __future__ import annotations

import pytest

from faults.none import NoFault
from faults.process import ProcessKill, ProcessStall
from monitor.config.settings import RunSpec
from monitor.live.outlook import active
from monitor.model import Phase, Transition
from tests.support.records import SECOND, T0
from tests.support.records import run as make_run

SPEC = RunSpec(horizon_seconds=60, hold_seconds=10)
STALL = ProcessStall(component="worker", duration_seconds=8)


@pytest.mark.parametrize(
    ("phase", "least", "words"),
    [
        (Phase.PLANNED, 68, "proof that it took effect"),
        (Phase.INJECTED, 68, "proof that it took effect"),
        (Phase.EFFECTIVE, 68, "the fault's end after 8 s, then at most 60 s"),
        (Phase.REVERTED, 60, "users being well for 10 s; given up 60 s after the fault"),
        (Phase.SETTLED, 10, "the witnesses' answers"),
    ],
)
def test_a_phase_with_a_bound(phase: Phase, least: float, words: str) -> None:
    run = make_run(1, phase=phase, transitions=(Transition(phase=phase, at_ns=T0),), t_effect=T0)
    told = active(run, STALL, SPEC)
    assert told["ends_by_ns"] >= T0 + least * SECOND
    assert words in told["ends_because"]
    assert told["phase_since_ns"] == T0


@pytest.mark.parametrize("phase", [Phase.REQUESTED, Phase.GUARDED, Phase.RESOLVED])
def test_before_the_receipt_nobody_can_know(phase: Phase) -> None:
    told = active(make_run(1, phase=phase, transitions=(Transition(phase=phase, at_ns=T0),)), NoFault(), SPEC)
    assert told["ends_by_ns"] is None
    assert told["ends_because"] == phase.doing


def test_a_fault_of_an_instant_waits_for_no_deadline() -> None:
    run = make_run(1, phase=Phase.EFFECTIVE, transitions=(Transition(phase=Phase.EFFECTIVE, at_ns=T0),), t_effect=T0)
    assert active(run, ProcessKill(component="worker"), SPEC)["ends_because"].startswith("the revert")
