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


def unhealed(witness: str, begin: float, watched: float, **more: Any) -> WitnessReport:
    return report(witness, (begin, watched), t_recovered=None, censored=True, **more)


def test_who_saw_no_recovery_contradicts_who_saw_one_earlier() -> None:
    found = of("recovered", unhealed("client", 0, 30), report("server", (0, 12)))
    assert found.difference == pytest.approx(18.0)
    assert "at least 18.00 s" in found.text


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (unhealed("client", 0, 5), report("server", (0, 12))),
        (report("client", (0, 12)), unhealed("server", 0, 5)),
        (unhealed("client", 0, 30), unhealed("server", 0, 12)),
        (unhealed("client", 0, 12.5), report("server", (0, 12))),
    ],
)
def test_a_lower_bound_contradicts_nothing_above_it(a: WitnessReport, b: WitnessReport) -> None:
    assert of("window", a, b).status == "agree"


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


CUT = {"failed_requests": 9, "truncated_requests": 9}
REFUSED = {"failed_requests": 9, "errors": {"connection_refused": 9}}
TIMEOUTS = {"failed_requests": 9, "errors": {"timeout": 9}}
PLAIN = {"failed_requests": 9, "errors": {"http_500": 9}}

FAILED: list[tuple[WitnessReport, WitnessReport, Reason]] = [
    # each reason where it is one, and beside it what differs in the one thing that it asks for
    (report("client", (0, 5), **REFUSED), report("server", (0, 5)), Reason.NEVER_COUNTED),
    (report("client", (0, 5), **PLAIN), report("server", (0, 5)), Reason.UNKNOWN),
    (report("client", (0, 5), **CUT), report("server", (0, 5)), Reason.CUT_COUNTED_AS_SUCCESS),
    (report("client", (0, 5), failed_requests=9, truncated_requests=4), report("server", (0, 5)), Reason.UNKNOWN),
    (report("client", (0, 5), **TIMEOUTS), report("server", (0, 5)), Reason.CALLERS_DOING),
    (
        report("server", (0, 5), failed_requests=9),
        report("client", (0, 5), **CUT | {"failed_requests": 0}),
        Reason.UNKNOWN,
    ),
    (
        report("client", (0, 5), failed_requests=1, requests=100),
        report("server", (0, 5), failed_requests=60, requests=900),
        Reason.OTHER_TRAFFIC,
    ),
    (
        report("client", (0, 5), failed_requests=1, requests=100),
        report("server", (0, 5), failed_requests=60, requests=104),
        Reason.UNKNOWN,
    ),
    (report("client", (0, 5), **PLAIN), report("trace", (0, 5), lost_requests=9), Reason.SPANS_LOST),
    (report("client", (0, 5), **PLAIN), report("trace", (0, 5), lost_requests=3), Reason.UNKNOWN),
    (report("client", (0, 5), **REFUSED), report("trace", (0, 5), lost_requests=3), Reason.NEVER_COUNTED),
    (
        report("client", (0, 5), requests=100, **PLAIN),
        report("trace", (0, 5), requests=25, failed_requests=2),
        Reason.NOT_TRACED,
    ),
    (
        report("client", (0, 5), requests=100, **PLAIN),
        report("trace", (0, 5), requests=99, failed_requests=2),
        Reason.UNKNOWN,
    ),
    (report("server", (0, 5), failed_requests=9), report("trace", (0, 5), lost_requests=9), Reason.SPANS_LOST),
    (report("server", (0, 5), failed_requests=9), report("trace", (0, 5), lost_requests=1), Reason.UNKNOWN),
    (report("server", (0, 5)), report("trace", (0, 5), **CUT), Reason.CUT_COUNTED_AS_SUCCESS),
]


@pytest.mark.parametrize(("a", "b", "reason"), FAILED)
def test_why_failed_requests_differ(a: WitnessReport, b: WitnessReport, reason: Reason) -> None:
    assert of("failed_requests", a, b).reason == reason


EDGES: list[tuple[str, WitnessReport, WitnessReport, Reason]] = [
    ("impact", report("client", (0, 20), slow_requests=4), report("server", (9, 20)), Reason.SLOW_IS_NO_ERROR),
    ("impact", report("client", (0, 20)), report("server", (9, 20)), Reason.UNKNOWN),
    ("recovered", report("client", (0, 11), slow_requests=4), report("server", (0, 20)), Reason.UNKNOWN),
    ("impact", report("client", (0, 9), longest_bad_seconds=5.0), report("server", (5, 9)), Reason.KEYED_BY_END),
    ("impact", report("client", (0, 9), longest_bad_seconds=1.0), report("server", (5, 9)), Reason.UNKNOWN),
    ("impact", report("client", (5, 9), longest_bad_seconds=5.0), report("server", (0, 9)), Reason.UNKNOWN),
    ("recovered", report("client", (0, 20), **REFUSED), report("server", (0, 9)), Reason.NEVER_COUNTED),
    ("recovered", report("client", (0, 20), **PLAIN), report("server", (0, 9)), Reason.UNKNOWN),
    ("recovered", report("client", (0, 20), **TIMEOUTS), report("server", (0, 9)), Reason.CALLERS_DOING),
    ("recovered", report("client", (0, 20), **CUT), report("server", (0, 9)), Reason.CUT_COUNTED_AS_SUCCESS),
    ("recovered", report("client", (0, 9), requests=50), report("server", (0, 20), requests=500), Reason.OTHER_TRAFFIC),
    ("recovered", report("client", (0, 9), requests=50), report("server", (0, 20), requests=52), Reason.UNKNOWN),
    ("recovered", report("client", (0, 9)), report("trace", (0, 4), lost_requests=7), Reason.SPANS_LOST),
    ("recovered", report("client", (0, 9), **REFUSED), report("trace", (0, 4)), Reason.NEVER_COUNTED),
    ("recovered", report("client", (0, 9), requests=90), report("trace", (0, 4), requests=9), Reason.NOT_TRACED),
    ("recovered", report("client", (0, 9), slow_requests=5), report("trace", (0, 4)), Reason.UNKNOWN),
    ("impact", report("server", (5, 9)), report("trace", (0, 9), slow_requests=5), Reason.SLOW_IS_NO_ERROR),
]


@pytest.mark.parametrize(("edge", "a", "b", "reason"), EDGES)
def test_why_edges_differ(edge: str, a: WitnessReport, b: WitnessReport, reason: Reason) -> None:
    assert of(edge, a, b).reason == reason


UNSEEN: list[tuple[WitnessReport, WitnessReport, Reason]] = [
    (report("client"), report("server", (0, 8), requests=900, failed_requests=1), Reason.UNKNOWN),
    (
        report("client", requests=80),
        report("server", (0, 8), requests=900, failed_requests=1),
        Reason.OTHER_TRAFFIC,
    ),
    (report("client", (0, 8), **TIMEOUTS), report("server"), Reason.CALLERS_DOING),
    (report("client", (0, 8), requests=90, **PLAIN), report("trace", requests=9), Reason.NOT_TRACED),
    (report("client", (0, 8), requests=90, **PLAIN), report("trace", requests=81), Reason.UNKNOWN),
    (report("client", (0, 8), slow_requests=5), report("trace"), Reason.UNKNOWN),
    (report("client", (0, 8), **PLAIN), report("trace", lost_requests=9), Reason.SPANS_LOST),
]


@pytest.mark.parametrize(("a", "b", "reason"), UNSEEN)
def test_why_only_one_saw_harm(a: WitnessReport, b: WitnessReport, reason: Reason) -> None:
    assert of("window", a, b).reason == reason


def test_every_reason_appears_above_and_is_missing_where_its_condition_is() -> None:
    named = {row[-1] for row in (*FAILED, *EDGES, *UNSEEN)} | {Reason.TOO_COARSE}
    assert named == set(Reason)


def test_a_probe_without_a_window_sees_as_sharply_as_it_sends() -> None:
    """A report without an impact has no edges whose resolution could be told; the rate of the probe has."""
    quiet = report("client", resolution=Resolution(), baseline_rate=0.5)
    assert of("window", quiet, report("server", (0, 1.9))).status == "agree"
    assert of("window", quiet, report("server", (0, 3.0))).reason == Reason.TOO_COARSE
    assert of("window", quiet, report("server", (0, 4.1))).reason == Reason.UNKNOWN


# --- the faults that it is for, with figures as they were measured on real Dynamo --------------------


def test_prefill_kill() -> None:
    """500 until the lease ends, then 503 "not ready" that nobody counts, until the worker is back."""
    client = report("client", (0.7, 24), failed_requests=230, errors={"http_500": 94, "http_503": 136})
    server = report("server", (0.5, 10.5), failed_requests=94)
    assert of("failed_requests", client, server).reason == Reason.NEVER_COUNTED
    assert of("recovered", client, server).reason == Reason.NEVER_COUNTED


def test_a_stall_without_migration() -> None:
    """The first request that fails began at once and ended after the 5 s of the request plane's patience."""
    client = report(
        "client",
        (0, 9),
        failed_requests=5,
        errors={"http_500": 5},
        longest_bad_seconds=5.05,
        during_latency_seconds=1.3,
    )
    server = report("server", (4.6, 9.2), failed_requests=5)
    assert of("impact", client, server).reason == Reason.KEYED_BY_END
    assert of("failed_requests", client, server).status == "agree"


def test_a_stall_with_migration_hurts_and_fails_nothing() -> None:
    client = report("client", (0, 10), failed_requests=0, slow_requests=10, errors={"slow_gap": 10})
    assert of("window", client, report("server")).reason == Reason.SLOW_IS_NO_ERROR


def test_frontend_kill() -> None:
    """Its own spans go with it: what it had in flight is lost, or left orphans, and refused connections leave none."""
    errors = {"connection_refused": 20, "stream_cut": 8, "http_404": 4}
    client = report("client", (0, 3.3), failed_requests=32, truncated_requests=8, requests=160, errors=errors)
    orphans = report("trace", (0, 3.3), failed_requests=8, lost_requests=4, requests=136)
    assert of("failed_requests", client, orphans).reason == Reason.NEVER_COUNTED
    assert of("window", client, orphans).status == "agree"
    server = report("server", status="inconclusive", reason="was not scraped for 3 s")
    assert compare([client, server])[0].status == "not_compared"


def test_etcd_outage_that_heals_by_nothing() -> None:
    """500, hangs that end in timeouts, 503, then nobody listens; the server's last word is its last 500."""
    errors = {"http_500": 25, "timeout": 10, "http_503": 40, "connection_refused": 300}
    client = unhealed("client", 6.9, 120, failed_requests=375, errors=errors)
    server = unhealed("server", 6.5, 9.5, failed_requests=25)
    assert of("window", client, server).status == "agree", "both say that it was never whole again"
    assert of("failed_requests", client, server).reason == Reason.NEVER_COUNTED


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
