"""Limits are judged by what is known, and never met by missing data."""

from __future__ import annotations

from typing import Any

import pytest

from faults.base import Objectives
from monitor.measure.objectives import judge
from monitor.model import Verdict, WitnessReport

LIMITS = Objectives(recovery_seconds=10, error_window_seconds=8, failed_requests=5)


def report(**changes: Any) -> WitnessReport:
    figures: dict[str, Any] = {
        "witness": "client",
        "status": "ok",
        "verdict": Verdict.RECOVERED,
        "recovery_from_effect_seconds": 9.0,
        "error_window_seconds": 8.0,
        "failed_requests": 5,
    }
    return WitnessReport(**(figures | changes))


def met(objectives: Objectives, client: WitnessReport) -> list[bool | None]:
    return [r.met for r in judge(objectives, client)]


def test_only_limits_that_are_set_are_judged() -> None:
    assert judge(Objectives(), report()) == ()
    (only,) = judge(Objectives(failed_requests=0), report())
    assert (only.objective, only.limit, only.value, only.met) == ("failed_requests", 0.0, 5.0, False)


def test_a_limit_is_met_up_to_its_value() -> None:
    assert met(LIMITS, report()) == [True, True, True]
    assert met(LIMITS, report(recovery_from_effect_seconds=10.1)) == [False, True, True]
    assert met(LIMITS, report(failed_requests=6)) == [True, True, False]


def test_no_impact_meets_every_limit() -> None:
    quiet = report(
        verdict=Verdict.NO_IMPACT, recovery_from_effect_seconds=None, error_window_seconds=0.0, failed_requests=0
    )
    zero = Objectives(recovery_seconds=0, error_window_seconds=0, failed_requests=0)
    assert met(zero, quiet) == [True, True, True]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"censored": True, "verdict": Verdict.NOT_RECOVERED}, [None, None, None]),
        (
            {"censored": True, "verdict": Verdict.NOT_RECOVERED, "recovery_from_effect_seconds": 11.0},
            [False, None, None],
        ),
        ({"status": "inconclusive", "verdict": Verdict.INCONCLUSIVE}, [None, None, None]),
        (
            {"status": "inconclusive", "verdict": Verdict.INCONCLUSIVE, "error_window_seconds": 99.0},
            [None, None, None],
        ),
        ({"status": "inconclusive", "verdict": Verdict.INCONCLUSIVE, "failed_requests": 6}, [None, None, False]),
        ({"status": "absent", "verdict": None, "failed_requests": None}, [None, None, None]),
    ],
)
def test_missing_data_never_meets(changes: dict[str, Any], expected: list[bool | None]) -> None:
    assert met(LIMITS, report(**changes)) == expected
