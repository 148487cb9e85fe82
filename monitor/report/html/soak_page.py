"""The page of a period."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from monitor.report.html import words
from monitor.report.html.page import (
    Cell,
    cards,
    code,
    document,
    figure,
    heading,
    judged,
    legend,
    missing,
    pairs,
    paragraph,
    table,
)
from monitor.report.html.period import overview, recoveries
from monitor.report.html.run_page import SPEED_ROWS
from monitor.report.html.words import NOTHING
from monitor.report.model import Budget, FaultFigures, PeriodComparison, RunLine, SoakReport, Spread
from monitor.report.suite import BEFORE_AFTER, before_after, summary

WIDE, SLIM = 1080, 360
MOST_RUNS = 2000


def soak_page(report: SoakReport) -> str:
    """One self-contained file."""
    return document(f"{report.deployment}: {_period(report)}", _body(report))


def _period(report: SoakReport) -> str:
    return f"{words.instant(report.begin_ns)} to {words.instant(report.end_ns)} UTC"


def _body(report: SoakReport) -> Iterator[str]:
    yield f"<h1>{escape(report.deployment)}: {words.length((report.end_ns - report.begin_ns) / 1e9)}</h1>"
    yield paragraph(_period(report), "sub")
    yield cards(_cards(report))
    yield missing(report.missing)
    yield heading("All the time")
    yield figure(
        (overview(report, width=WIDE, look="full"), overview(report, width=SLIM, look="slim")),
        "A bucket with one bad request among many shows a mark. Grey: no data. Runs: green met, red missed or not recovered.",
    )
    yield legend(("slow", "failed", "lost"), bars=True)
    yield from _comparison(report.comparison)
    yield heading("Recovery by fault")
    yield _faults(report.faults)
    for fault in report.faults:
        if fault.recovery.count:
            yield f"<h3>{escape(fault.fault)}</h3>"
            versions = (recoveries(report, fault, width=w, look=look) for w, look in ((WIDE, "full"), (SLIM, "slim")))
            yield figure(versions, _trend_words(fault))
    yield heading("Error budget")
    yield pairs(_budget(report.budget))
    yield heading(f"Incidents ({len(report.incidents)})")
    yield _incidents(report)
    yield heading("Control runs")
    yield pairs(_controls(report))
    yield heading("Requests")
    yield table(("", "all probes"), [(name, read(report.speed)) for name, read in SPEED_ROWS[1:]], numbers=(1,))
    rows = [
        (e.error, words.count(e.count), words.instant(e.first_ns), words.instant(e.last_ns), e.example)
        for e in report.errors
    ]
    yield table(("error", "requests", "first", "last", "example"), rows, numbers=(1,), texts=(4,))
    yield heading(f"Runs ({len(report.runs)})")
    yield from _runs(report.runs)
    yield heading("The suite's tables")
    yield table(BEFORE_AFTER, before_after(report.runs[-MOST_RUNS:]), numbers=range(1, len(BEFORE_AFTER)))
    yield pairs(summary(report))
    yield paragraph(f"aftershock {report.version}, made {words.instant(report.made_ns)} UTC", "faint")


def _cards(report: SoakReport) -> Iterator[tuple[str, Cell]]:
    yield "good requests", words.percent(report.speed.good_ratio, 3)
    spent = report.budget.spent
    yield (
        f"of the error budget spent (promise: {words.percent(report.budget.good_ratio_promised)})",
        (judged("missed" if spent is not None and spent > 1 else "met", words.percent(spent, 0))),
    )
    measured = sum(run.met is not None for run in report.runs)
    yield "runs met their objectives", f"{sum(run.met is True for run in report.runs)} of {measured}"
    slowest = max((f for f in report.faults if f.recovery.count), key=_rank, default=None)
    if slowest is not None:
        yield "hurts longest (median recovery)", f"{slowest.fault}: {_median(slowest.recovery)}"
    yield "incidents", words.count(len(report.incidents))


def _rank(fault: FaultFigures) -> float:
    return float("inf") if fault.recovery.median is None else fault.recovery.median


def _median(spread: Spread) -> str:
    if not spread.count:
        return NOTHING
    return words.seconds(spread.median) if spread.median is not None else "not recovered"


def _faults(faults: tuple[FaultFigures, ...]) -> str:
    head = ("fault", "runs", "with impact", "not recovered", "met", "missed", "recovery median", "quartiles", "p90")
    rows: list[tuple[Cell, ...]] = []
    for f in faults:
        r = f.recovery
        quartiles = f"{_open(r.p25, r)} to {_open(r.p75, r)}" if r.count else NOTHING
        worst = f"{_open(r.p90, r)}" if r.count else NOTHING
        rows.append(
            (
                f.fault,
                str(f.runs),
                str(r.count),
                str(r.open_ended),
                str(f.met),
                str(f.missed),
                _median(r),
                quartiles,
                worst,
            )
        )
    return table(head, rows, numbers=range(1, len(head)))


def _open(value: float | None, spread: Spread) -> str:
    return words.seconds(value) if value is not None else ("not recovered" if spread.open_ended else NOTHING)


def _trend_words(fault: FaultFigures) -> str:
    trend, verdicts = fault.trend, words.counted(fault.verdicts)
    if trend.value is None:
        return f"{verdicts}. Too few recoveries for a trend. Longest: {fault.worst}."
    known = trend.low is not None and trend.high is not None and (trend.low > 0 or trend.high < 0)
    shown = ("rising" if trend.value > 0 else "falling") if known else "no trend shown"
    return f"{verdicts}. {shown}: {words.estimate(trend, 's a day', signed=True)}. Longest: {fault.worst}."


def _budget(budget: Budget) -> Iterator[tuple[str, Cell]]:
    yield "promised", f"{words.percent(budget.good_ratio_promised, 3)} of requests good, faults included"
    yield "requests judged", words.count(budget.judged)
    yield "bad ones allowed", words.count(budget.allowed)
    yield "bad ones", words.count(budget.bad)
    yield "of these in runs of faults", words.count(budget.bad_in_runs)
    yield "in incidents", words.count(budget.bad_in_incidents)
    yield "at other times", words.count(budget.bad_otherwise)
    spent = budget.spent
    yield "spent", judged("missed" if spent is not None and spent > 1 else "met", words.percent(spent, 1))
    left = None if spent is None else max(0.0, 1 - spent)
    yield "left", words.percent(left, 1)


def _incidents(report: SoakReport) -> str:
    rows = []
    for i in report.incidents:
        lasted = "lasts" if i.end_ns is None else words.seconds((i.end_ns - i.start_ns) / 1e9, digits=1)
        rows.append((words.instant(i.start_ns), lasted, words.count(i.bad_requests), i.first_error))
    return table(("begin (UTC)", "lasted", "bad requests", "first error"), rows, numbers=(1, 2), texts=(3,))


def _controls(report: SoakReport) -> Iterator[tuple[str, Cell]]:
    for result, n in report.controls.counts.items():
        yield result.value.replace("_", " "), str(n)
    bound = report.controls.rate_upper_95
    yield (
        "rate of false findings",
        f"below {words.percent(bound, 1)} (95 % confidence)" if bound is not None else "not known",
    )


def _comparison(found: PeriodComparison | None) -> Iterator[str]:
    if found is None:
        return
    yield heading("Compared")
    yield pairs([("first", found.first), ("second", found.second)])
    rows = [
        (
            d.what,
            words.estimate(d.first, d.unit),
            words.estimate(d.second, d.unit),
            words.estimate(d.change, d.unit, signed=True),
            d.word,
            f"{d.first.count}, {d.second.count}",
        )
        for d in found.differences
    ]
    head = ("figure", "first", "second", "change", "", "of")
    yield table(head, rows, numbers=(1, 2, 3, 5))
    yield paragraph(f"In brackets: 95 % intervals by bootstrap (seed {found.seed}). Second minus first.", "faint")
    for note in found.notes:
        yield paragraph(note, "faint")


def _runs(runs: tuple[RunLine, ...]) -> Iterator[str]:
    if len(runs) > MOST_RUNS:
        yield paragraph(f"The last {MOST_RUNS} are listed; all are in the pictures and figures.")
    shown = runs[-MOST_RUNS:]
    head = (
        "run",
        "when (UTC)",
        "fault",
        "instance",
        "verdict",
        "failed",
        "error window",
        "recovery",
        "objectives",
        "evidence or reason",
    )
    rows: list[tuple[Cell, ...]] = [
        (
            code(r.id),
            words.instant(r.requested_ns),
            r.fault,
            ", ".join(r.instances) or NOTHING,
            judged(r.verdict.value if r.verdict else "running"),
            words.count(r.failed_requests),
            words.seconds(r.error_window_seconds, at_least=r.censored),
            words.seconds(r.recovery_seconds, at_least=r.censored),
            judged(words.yes_no(r.met)) if r.met is not None else NOTHING,
            words.clipped(r.evidence or r.reason),
        )
        for r in shown
    ]
    yield table(head, rows, numbers=(5, 6, 7), texts=(9,), anchors=[f"run-{r.id}" for r in shown])
