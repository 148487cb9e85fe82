"""Reports as Markdown. Everything that is not made here is data: it can neither end a cell nor become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from monitor.model import Run
from monitor.report.html import words
from monitor.report.html.run_page import SPEED_ROWS, WITNESS_ROWS, WITNESSES
from monitor.report.html.words import NOTHING
from monitor.report.model import Difference, FaultFigures, RunReport, SoakReport, Speed
from monitor.report.suite import BEFORE_AFTER, before_after, line_of, summary

MOST_BAD = 50
MOST_RUNS = 200
_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


def safe(text: str) -> str:
    """One line of plain text."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> str:
    """A table; `numbers` are columns to be set to the right."""
    right = set(numbers)
    rule = "| " + " | ".join("---:" if i in right else "---" for i in range(len(head))) + " |"
    lines = ["| " + " | ".join(safe(cell) for cell in row) + " |" for row in rows]
    if not lines:
        return "none\n"
    return "\n".join(["| " + " | ".join(safe(name) for name in head) + " |", rule, *lines]) + "\n"


def run_markdown(report: RunReport) -> str:
    """One run."""
    return "\n".join(_run(report))


def soak_markdown(report: SoakReport) -> str:
    """A period."""
    return "\n".join(_soak(report))


def _missing(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield "\n**Missing or in doubt**\n"
        yield from (f"- {safe(line)}" for line in lines)


def _run(report: RunReport) -> Iterator[str]:
    run = report.run
    verdict = run.verdict.value if run.verdict else f"still {run.phase.value}"
    yield f"# {safe(run.fault_name)}: {verdict.replace('_', ' ')}\n"
    when = words.instant(run.t_inject if run.t_inject is not None else run.t_requested, millis=True)
    yield f"Run {safe(run.id)} of {safe(run.deployment)}, {when} UTC. {safe(run.reason)}"
    yield from _missing(report.missing)
    yield "\n## Before and after\n"
    known = [
        (n, s) for n, s in (("before", report.before), ("while hurt", report.during), ("afterwards", report.after)) if s
    ]
    yield _speeds(known)
    yield "## Witnesses\n"
    yield _witnesses(run)
    if run.comparisons:
        rows = [(f"{c.a}, {c.b}", c.figure, c.status.replace("_", " "), c.text, c.reason) for c in run.comparisons]
        yield table(("witnesses", "figure", "", "how", "likely reason"), rows)
    yield "## Objectives\n"
    rows_of = [
        (o.objective, f"{o.limit:g}", NOTHING if o.value is None else f"{o.value:.4g}", words.yes_no(o.met))
        for o in run.objective_results
    ]
    yield table(("objective", "limit", "value", "result"), rows_of, numbers=(1, 2))
    yield "## Errors\n"
    errors = [(e.error, str(e.count), words.after(e.first_ns, run.t_inject), e.example) for e in report.errors]
    yield table(("error", "requests", "first", "example"), errors, numbers=(1, 2))
    yield "## Evidence\n"
    evidence = (run.evidence.summary, *run.evidence.details) if run.evidence else ("none",)
    yield from (f"- {safe(line)}" for line in (*evidence, *run.observations, *run.notes))
    yield "\n## The suite's tables\n"
    yield suite_tables(report)
    yield f"## Bad requests ({report.bad_total})\n"
    yield _bad(report)


def _speeds(known: Sequence[tuple[str, Speed]]) -> str:
    rows = [[name, *(read(s) for _, s in known)] for name, read in SPEED_ROWS]
    return table(("", *(name for name, _ in known)), rows if known else [], numbers=range(1, len(known) + 1))


def _witnesses(run: Run) -> str:
    reports = [run.witness(name) for name in WITNESSES]
    rows = [[name, *(read(w, run) if w is not None else NOTHING for w in reports)] for name, read in WITNESS_ROWS]
    return table(("", *WITNESSES), [row for row in rows if any(cell != NOTHING for cell in row[1:])])


def _bad(report: RunReport) -> str:
    shown = report.bad[:MOST_BAD]
    origin = report.run.t_inject
    rows = [
        (words.after(b.start_ns, origin), b.probe, b.outcome, b.error, b.trace_id or NOTHING, b.message) for b in shown
    ]
    rest = f"\nThe first {len(shown)} of {report.bad_total}; the HTML and JSON reports have more.\n"
    made = table(("start", "probe", "outcome", "error", "trace id", "message"), rows, numbers=(0,))
    return made + (rest if report.bad_total > len(shown) else "")


def suite_tables(report: RunReport | SoakReport) -> str:
    """The summary, and the table by failure."""
    lines = [line_of(report)] if isinstance(report, RunReport) else report.runs[-MOST_RUNS:]
    numbers = range(1, len(BEFORE_AFTER))
    return (
        table(("Metric", "Value"), summary(report)) + "\n" + table(BEFORE_AFTER, before_after(lines), numbers=numbers)
    )


# --- soak ---------------------------------------------------------------------------------------


def _soak(report: SoakReport) -> Iterator[str]:
    yield f"# {safe(report.deployment)}: {words.instant(report.begin_ns)} to {words.instant(report.end_ns)} UTC"
    yield from _missing(report.missing)
    yield "\n## Recovery by fault\n"
    head = (
        "fault",
        "runs",
        "with impact",
        "not recovered",
        "met",
        "missed",
        "median",
        "p25",
        "p75",
        "p90",
        "trend a day",
        "longest",
    )
    yield table(head, map(_fault, report.faults), numbers=range(1, 11))
    if report.comparison is not None:
        found = report.comparison
        yield f"## Compared\n\nFirst: {safe(found.first)}. Second: {safe(found.second)}.\n"
        yield table(("figure", "first", "second", "change", ""), map(_difference, found.differences), numbers=(1, 2, 3))
        yield from (f"- {safe(note)}" for note in (*found.notes, f"95 % intervals by bootstrap, seed {found.seed}"))
    budget = report.budget
    yield "\n## Error budget\n"
    yield (
        f"Promised {words.percent(budget.good_ratio_promised, 3)}; {budget.bad} bad of {budget.judged} requests "
        f"({budget.bad_in_runs} in runs, {budget.bad_in_incidents} in incidents, {budget.bad_otherwise} at other times): "
        f"{words.percent(budget.spent, 1)} of the budget is spent."
    )
    yield f"\n## Incidents ({len(report.incidents)})\n"
    incidents = [
        (
            words.instant(i.start_ns),
            "lasts" if i.end_ns is None else words.seconds((i.end_ns - i.start_ns) / 1e9),
            str(i.bad_requests),
            i.first_error,
        )
        for i in report.incidents
    ]
    yield table(("begin (UTC)", "lasted", "bad requests", "first error"), incidents, numbers=(1, 2))
    bound = report.controls.rate_upper_95
    told = words.counted({k.value.replace("_", " "): n for k, n in report.controls.counts.items()})
    yield f"## Control runs\n\n{told}; " + (
        f"false findings below {words.percent(bound, 1)} (95 % confidence)"
        if bound is not None
        else "no bound is known"
    )
    yield "\n## Requests\n"
    yield _speeds([("all probes", report.speed)])
    errors = [(e.error, str(e.count), e.example) for e in report.errors]
    yield table(("error", "requests", "example"), errors, numbers=(1,))
    yield f"## The suite's tables (last {MOST_RUNS} runs)\n"
    yield suite_tables(report)


def _fault(fault: FaultFigures) -> Sequence[str]:
    r = fault.recovery

    def told(value: float | None) -> str:
        return words.seconds(value) if value is not None else ("not recovered" if r.open_ended else NOTHING)

    counts = (fault.runs, r.count, r.open_ended, fault.met, fault.missed)
    quantiles = (r.median, r.p25, r.p75, r.p90)
    trend = words.estimate(fault.trend, "s", signed=True)
    return [fault.fault, *map(str, counts), *(told(q) for q in quantiles), trend, fault.worst or NOTHING]


def _difference(one: Difference) -> Sequence[str]:
    estimates = (words.estimate(one.first, one.unit), words.estimate(one.second, one.unit))
    return [one.what, *estimates, words.estimate(one.change, one.unit, signed=True), one.word]
