"""Witnesses that agree, that differ, and why."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.measure.compare import Reason, compare
from monitor.model import Comparison, Resolution, Verdict, WitnessReport

T = 1_700_000_000_000_000_000
SHARP = Resolution(at_impact_seconds=0.1, at_recovery_seconds=0.1)
COARSE = Resolution(at_impact_seconds=1.0, at_recovery_seconds=1.0)


def report(witness: str, window: tuple[float, float] | None = None, **more: Any) -> WitnessReport:
    figures: dict[str, Any] = {
        "witness": witness,
        "status": "ok",
        "verdict": Verdict.RECOVERED if window else Verdict.NO_IMPACT,
        "failed_requests": 0,
        "resolution": SHARP if witness == "client" else COARSE,
    }
    if window:
        figures |= {
            "t_impact": T + round(window[0] * 1e9),
            "t_recovered": T + round(window[1] * 1e9),
            "error_window_seconds": window[1] - window[0],
            "bad_seconds": window[1] - window[0],
        }
    return WitnessReport.model_validate(figures | more)


def of(figure: str, *reports: WitnessReport) -> Comparison:
    return next(c for c in compare(reports) if c.figure == figure)


def test_quiet_witnesses_agree() -> None:
    found = compare([report("client"), report("server")])
    assert {c.status for c in found} == {"agree"}


@pytest.mark.parametrize(
    ("shift", "status"), [(0.0, "agree"), (1.0, "agree"), (1.1, "agree"), (1.2, "disagree"), (-1.2, "disagree")]
)
def test_edges_may_differ_by_the_sum_of_both_resolutions(shift: float, status: str) -> None:
    found = of(
        "window" if status == "agree" else "recovered", report("client", (0, 5)), report("server", (0, 5 + shift))
    )
    assert found.status == status


def test_a_disagreement_says_which_edge_by_how_much() -> None:
    found = of("impact", report("client", (0, 30)), report("server", (12.0, 30)))
    assert found.difference == pytest.approx(12.0)
    assert found.unit == "s"
    assert "allow 1.10 s" in found.text
    assert found.reason == Reason.UNKNOWN


def test_a_censored_edge_is_not_compared() -> None:
    client = report("client", (0, 30), t_recovered=None, censored=True)
    assert of("window", client, report("server", (0, 12))).status == "agree"


@pytest.mark.parametrize(
    ("client", "server", "reason"),
    [
        ({"failed_requests": 20, "errors": {"connection_refused": 15, "http_503": 5}}, 0, Reason.NEVER_COUNTED),
        (
            {"failed_requests": 20, "truncated_requests": 12, "errors": {"stream_error": 12, "http_500": 8}},
            8,
            Reason.CUT_COUNTED_AS_SUCCESS,
        ),
        ({"failed_requests": 20, "errors": {"http_500": 20}}, 3, Reason.UNKNOWN),
        ({"failed_requests": 3, "errors": {"http_500": 3}}, 20, Reason.UNKNOWN),
    ],
)
def test_failed_requests_that_differ_have_a_reason(client: dict[str, Any], server: int, reason: Reason) -> None:
    found = of("failed_requests", report("client", (0, 5), **client), report("server", (0, 5), failed_requests=server))
    assert found.status == "disagree"
    assert found.reason == reason
    assert found.difference == abs(client["failed_requests"] - server)


def test_two_requests_at_the_edges_are_no_disagreement() -> None:
    client = report("client", (0, 5), failed_requests=20)
    assert of("failed_requests", client, report("server", (0, 5), failed_requests=18)).status == "agree"
    assert of("failed_requests", client, report("server", (0, 5), failed_requests=17)).status == "disagree"


@pytest.mark.parametrize(
    ("client", "status", "reason"),
    [
        (report("client", (0, 0.8), failed_requests=5, errors={"http_500": 5}), "agree", ""),
        (report("client", (0, 1.8), failed_requests=5, errors={"http_500": 5}), "disagree", Reason.TOO_COARSE),
        (report("client", (0, 8), failed_requests=0, slow_requests=9), "disagree", Reason.SLOW_IS_NO_ERROR),
        (
            report("client", (0, 8), failed_requests=9, errors={"connection_refused": 9}),
            "disagree",
            Reason.NEVER_COUNTED,
        ),
        (report("client", (0, 8), failed_requests=9, truncated_requests=9), "disagree", Reason.CUT_COUNTED_AS_SUCCESS),
        (report("client", (0, 8), failed_requests=9, errors={"http_500": 9}), "disagree", Reason.UNKNOWN),
    ],
)
def test_harm_that_the_server_did_not_see(client: WitnessReport, status: str, reason: str) -> None:
    found = of("window", client, report("server"))
    assert (found.status, found.reason) == (status, reason)


def test_lost_spans_explain_what_the_traces_miss() -> None:
    client = report("client", (0, 5), failed_requests=20, errors={"http_500": 20})
    trace = report("trace", (0, 5), failed_requests=5, lost_requests=15)
    assert of("failed_requests", client, trace).reason == Reason.SPANS_LOST


def test_an_inconclusive_witness_is_not_compared_and_says_why() -> None:
    server = report("server", status="inconclusive", reason="not scraped for 3 s")
    [found] = compare([report("client", (0, 5)), server])
    assert found.status == "not_compared"
    assert "not scraped for 3 s" in found.text


def test_reports_of_single_probes_are_left_out() -> None:
    parts = [report("client"), report("client", probe="chat"), report("server")]
    assert {(c.a, c.b) for c in compare(parts)} == {("client", "server")}
