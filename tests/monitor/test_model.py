"""Figures of a run that are made from its instants."""

from __future__ import annotations

from monitor.model import Recovery, Run, Verdict, WitnessReport
from tests.support.records import SECOND, T0
from tests.support.records import run as make_run

CLIENT = WitnessReport(
    witness="client",
    status="ok",
    verdict=Verdict.RECOVERED,
    t_first_good=T0 + 4 * SECOND,
    t_recovered=T0 + 6 * SECOND,
)


def test_ready_first_success_and_baseline_are_three_figures() -> None:
    run = make_run(
        t_inject=T0, t_effect=T0 + SECOND, t_replaced=T0 + 2 * SECOND, t_ready=T0 + 3 * SECOND, witnesses=(CLIENT,)
    )
    assert run.recovery == Recovery(
        replaced_seconds=1.0, ready_seconds=2.0, first_success_seconds=3.0, baseline_seconds=5.0
    )


def test_what_did_not_happen_has_no_figure() -> None:
    run = make_run(t_inject=T0, witnesses=(CLIENT.model_copy(update={"t_recovered": None, "censored": True}),))
    assert run.recovery == Recovery(first_success_seconds=4.0), "from the injection, for no effect was seen"
    assert make_run().recovery is None


def test_the_figures_are_in_the_api_and_do_not_hinder_reading_back() -> None:
    run = make_run(t_inject=T0, t_effect=T0, t_ready=T0 + SECOND)
    body = run.model_dump(mode="json")
    assert body["recovery"]["ready_seconds"] == 1.0
    assert Run.model_validate(body) == run
    assert Run.model_validate_json(run.model_dump_json()) == run
