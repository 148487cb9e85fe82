"""Each rule refuses on its own, and says what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from faults.base import Instance
from faults.none import NoFault
from monitor.config.settings import GuardSpec
from monitor.run.guard import ProbeView, Rule, Situation, percent_refusal, refusal

FINE = Situation(
    stopped_reason=None,
    shutting_down=False,
    active_run=None,
    stuck_run=None,
    seconds_since_last_run=None,
    seconds_since_clock_step=None,
    has_target=True,
    store_trouble=None,
    probes=[ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=0)],
)
NONE = NoFault(kind="none")


def judge(spec: GuardSpec | None = None, **changes: Any) -> Rule | None:
    found = refusal(NONE, replace(FINE, **changes), spec or GuardSpec(), baseline_seconds=30)
    return found.rule if found else None


def test_a_fine_situation_passes() -> None:
    assert judge() is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"stopped_reason": "night"}, Rule.STOPPED),
        ({"shutting_down": True}, Rule.SHUTDOWN),
        ({"active_run": "r1"}, Rule.BUSY),
        ({"stuck_run": "r1"}, Rule.OPEN_RECEIPT),
        ({"store_trouble": "disk full"}, Rule.STORE),
        ({"lease_trouble": "the lease could not be renewed in time", "store_trouble": "disk full"}, Rule.LEASE),
        ({"seconds_since_last_run": 29.0}, Rule.COOLDOWN),
        ({"seconds_since_clock_step": 3.0}, Rule.CLOCK),
        (
            {"probes": [ProbeView("chat", up=False, reason="aiperf died", window_seconds=10, requests=100, bad=0)]},
            Rule.PROBE,
        ),
        ({"probes": [ProbeView("chat", up=True, reason="", window_seconds=10, requests=9, bad=0)]}, Rule.STEADY_STATE),
        (
            {"probes": [ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=6)]},
            Rule.STEADY_STATE,
        ),
    ],
)
def test_each_rule_refuses(changes: dict[str, Any], rule: Rule) -> None:
    assert judge(**changes) is rule


def test_limits_themselves_pass() -> None:
    assert judge(seconds_since_last_run=30.0) is None
    assert judge(probes=[ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=5)]) is None


def test_the_emergency_stop_comes_before_all_else() -> None:
    assert judge(stopped_reason="night", active_run="r1", store_trouble="full") is Rule.STOPPED


def test_kinds_can_be_limited() -> None:
    assert judge(GuardSpec(allowed_kinds=("process_kill",))) is Rule.KIND


def test_the_reason_names_the_run_that_holds_the_lock() -> None:
    found = refusal(NONE, replace(FINE, active_run="r42"), GuardSpec(), 30)
    assert found is not None
    assert found.holder == "r42"
    assert "r42" in found.reason


def test_percent_counts_instances_of_the_component() -> None:
    picked = (Instance(component="worker", name="worker-0"),)
    assert percent_refusal(picked, {"worker": 2}, GuardSpec(max_percent=50)) is None
    refused = percent_refusal(picked, {"worker": 1}, GuardSpec(max_percent=50))
    assert refused is not None
    assert "100 %" in refused.reason


def test_percent_counts_every_component_by_itself() -> None:
    """What a node fault puts at stake is of several components; the smallest is not hidden among the rest."""
    picked = (Instance(component="worker", name="worker-0"), Instance(component="frontend", name="frontend-0"))
    assert percent_refusal(picked, {"worker": 2, "frontend": 2}, GuardSpec(max_percent=50)) is None
    refused = percent_refusal(picked, {"worker": 4, "frontend": 1}, GuardSpec(max_percent=50))
    assert refused is not None
    assert "1 of 1 instances of frontend are 100 %" in refused.reason
