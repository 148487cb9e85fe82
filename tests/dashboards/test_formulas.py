"""What the first look says, at moments of the played hour at which the truth is known."""

from __future__ import annotations

import pytest

from dashboards import formulas
from dashboards.pictures.filling import with_values
from tests.dashboards.history import INCIDENT, PLAY, SILENT, STEP
from tests.dashboards.world import World


def at(played: World, step: float) -> float:
    return played.since + step * STEP


def values(played: World, expr: str, step: float) -> dict[str, float]:
    found = played.ask(with_values(expr, played.chosen()), at=at(played, step))
    return {",".join(v for k, v in sorted(one["metric"].items())): float(one["value"][1]) for one in found}


@pytest.mark.parametrize(
    ("step", "whole"),
    [
        (20, 1.0),
        (INCIDENT.start + 2, 0.0),
        (INCIDENT.stop + 6, 1.0),
        (PLAY[3].step, 0.0),  # requests hang, and none has failed yet
        (PLAY[3].step + 2, 0.0),
        (SILENT.start + 2, 0.5),  # a probe is silent, the other one is well
        (SILENT.stop + 2, 1.0),
        (0, 0.5),  # one scrape: nothing can be said yet
    ],
)
def test_whole_now(played: World, step: int, whole: float) -> None:
    assert values(played, formulas.whole(), step) == {"demo": whole}


def test_a_monitor_that_is_gone_is_not_whole(played: World) -> None:
    assert values(played, formulas.whole(), -60) == {}


def test_the_last_run_is_the_one_that_finished_last_and_was_not_skipped(played: World) -> None:
    def last(step: int) -> list[tuple[str, str]]:
        found = played.ask(with_values(formulas.last_verdict(), played.chosen()), at=at(played, step))
        return [(one["metric"]["fault"], one["metric"]["verdict"]) for one in found]

    assert last(5) == []
    assert last(50) == [("worker", "recovered")]
    assert last(146) == [("worker", "not_injected")]
    assert last(155) == [("worker", "not_injected")], "a skipped run is no run"
    assert last(220) == [("worker", "not_recovered")]


def test_the_budget_counts_every_bad_request_of_the_week(played: World) -> None:
    (left,) = values(played, formulas.budget_left(), 270).values()
    bad = played.ask(
        'sum(increase(aftershock_probe_requests_total{outcome=~"failed|truncated|slow"}[7d]))', at(played, 270)
    )
    asked = played.ask('sum(increase(aftershock_probe_requests_total{outcome!="lost"}[7d]))', at(played, 270))
    share = float(bad[0]["value"][1]) / float(asked[0]["value"][1])
    assert left == pytest.approx(1 - share / 0.01, rel=1e-6)
    (fresh,) = values(played, formulas.budget_left(), 20).values()
    assert fresh == 1


def test_failures_in_runs_and_outside_add_up(played: World) -> None:
    inside = sum(values(played, formulas.failed_in_faults("7d"), 270).values())
    outside = sum(values(played, formulas.failed_outside("7d"), 270).values())
    everything = played.ask(
        'sum(increase(aftershock_probe_requests_total{outcome=~"failed|truncated"}[7d]))', at(played, 270)
    )
    assert inside + outside == pytest.approx(float(everything[0]["value"][1]), rel=1e-6)
    assert inside > 0
    assert outside > 0, "an incident and runs that ended early"


def test_false_findings_are_a_share_of_the_runs_that_could_tell(played: World) -> None:
    (share,) = values(played, formulas.false_finding_share("7d"), 270).values()
    assert share == pytest.approx(0.5, rel=0.05), "one clean, one that found something, one inconclusive"
    assert values(played, formulas.false_finding_share("7d"), 4) == {}, "no control run is no result"
