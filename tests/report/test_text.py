"""Markdown, JSON, the suite's tables, and figures as words."""

from __future__ import annotations

import json

import pytest

from faults.base import Instance
from monitor.report.html import words
from monitor.report.markdown import run_markdown, safe, soak_markdown, table
from monitor.report.model import Budget, Estimate, RunReport, SoakReport
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from monitor.report.render import as_json, text
from monitor.report.suite import BEFORE_AFTER, before_after, line_of, summary
from monitor.store.store import Store
from tests.report.build import making, not_recovered, one_run
from tests.report.test_html import EVIL
from tests.support.records import SECOND, T0


def test_the_suites_summary_row_by_row(one: RunReport) -> None:
    found = dict(summary(one))
    assert list(found) == [
        "Test Directory",
        "Number of Clients",
        "Startup Time",
        "Recovery Time",
        "Total Requests",
        "Successful Requests",
        "Failed Requests",
        "Success Rate",
        "Mean Latency",
        "P50 Latency",
        "P90 Latency",
        "P99 Latency",
        "TTFT (mean)",
        "ITL (mean)",
        "Total Throughput",
        "Avg Client Throughput",
    ]
    assert (found["Number of Clients"], found["Startup Time"], found["Recovery Time"]) == ("1", "-", "8.00 sec")
    assert (found["Total Requests"], found["Failed Requests"], found["Success Rate"]) == ("70", "8", "88.57%")
    assert found["TTFT (mean)"] == "0.040"


def test_the_suites_table_by_failure_column_by_column(one: RunReport) -> None:
    (row,) = before_after([line_of(one)])
    found = dict(zip(BEFORE_AFTER, row, strict=True))
    assert found == {
        "Failure": "worker",
        "Startup": "-",
        "Recovery": "8.00",
        "Success Before": "29",
        "Failed Before": "0",
        "Success After": "33",
        "Failed After": "8",
        "Latency Before": "0.544",
        "Latency After": found["Latency After"],
    }
    assert one.since is not None
    assert one.since.latency is not None
    assert float(found["Latency After"]) == pytest.approx(one.since.latency.mean, abs=0.001)


def test_a_lower_bound_is_marked_in_the_suites_tables(store: Store) -> None:
    run = not_recovered(60)
    report = run_report(store, run, making())
    assert before_after([line_of(report)])[0][2] == ">= 30.00"
    assert dict(summary(report))["Recovery Time"] == ">= 30.00 sec"


def test_json_has_everything_and_reads_back(one: RunReport, ten_hours: SoakReport) -> None:
    body = json.loads(text(one, "json"))
    assert RunReport.model_validate(body) == one
    assert body["suite"]["rows"][0]["Failure"] == "worker"
    event = body["suite"]["events"][0]
    assert event["started_at_ns"] == T0 + 60 * SECOND
    assert event["started_at"] == "2023-11-14T22:14:00+00:00"
    soak = json.loads(text(ten_hours, "json"))
    assert SoakReport.model_validate(soak) == ten_hours
    assert len(soak["suite"]["rows"]) == 10
    assert soak["budget"]["spent"] == pytest.approx(ten_hours.budget.spent)
    assert as_json(one)["suite"]["test_name"].startswith("d-worker")


def test_markdown_of_a_run(one: RunReport) -> None:
    found = run_markdown(one)
    assert found.startswith("# worker: recovered")
    assert "| connection\\_refused | 8 |" in found
    assert "the trace witness is absent" in found
    assert "| Failure | Startup | Recovery | Success Before |" in found
    assert one.bad[0].trace_id in found


def test_markdown_of_a_soak(ten_hours: SoakReport) -> None:
    found = soak_markdown(ten_hours)
    for part in (
        "## Recovery by fault",
        "| worker\\_stall |",
        "## Error budget",
        "63.2 %",
        "## Incidents (1)",
        "300 s in all",
    ):
        assert part in found


def test_markdown_of_what_is_not_known(store: Store) -> None:
    empty = soak_markdown(soak_report(store, T0, making().now_ns, making()))
    assert "no bound is known" in empty
    assert "the store has no request" in empty


def test_markdown_cannot_be_broken_by_data(store: Store) -> None:
    run = one_run(store)
    name = f"a|b\n{EVIL}`[x](http://e)`"
    report = run_report(store, run.model_copy(update={"reason": name, "instances": (Instance(component="w", name=name),)}), making())  # fmt: skip
    found = run_markdown(report)
    assert "<script" not in found
    assert "[x]" not in found.replace("\\[x\\]", "")
    assert safe("a|b\nc") == "a\\|b c"
    assert table(("a",), []) == "none\n"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (words.percent(0.99999), "> 99.99 %"),
        (words.percent(0.000001), "< 0.01 %"),
        (words.percent(1.0), "100.00 %"),
        (words.percent(None), "-"),
        (words.seconds(3.0, at_least=True), "\u2265 3.00 s"),
        (words.short_seconds(0.0123), "12.3 ms"),
        (words.short_seconds(2.5), "2.5 s"),
        (words.length(90_000), "1 d 1 h"),
        (words.length(0.2), "0 s"),
        (words.after(1_500_000_000, 500_000_000), "+1.00 s"),
        (words.estimate(Estimate(value=1.0, low=0.5, high=2.0), "s", signed=True), "+1 (+0.5 to +2) s"),
        (words.yes_no(None), "not judged"),
    ],
)
def test_words(shown: str, wanted: str) -> None:
    assert shown == wanted


def test_a_promise_of_nothing_bad_spends_no_share() -> None:
    assert Budget(good_ratio_promised=0.9, judged=100, bad=20).spent == pytest.approx(2.0)
    assert Budget(good_ratio_promised=0.9).spent is None
