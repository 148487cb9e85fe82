"""The page of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from monitor.model import Run, WitnessReport
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
from monitor.report.html.timeline import timeline
from monitor.report.html.words import NOTHING
from monitor.report.model import RunReport, Speed
from monitor.report.suite import BEFORE_AFTER, before_after, line_of, summary

WITNESSES = ("client", "server", "trace")


def run_page(report: RunReport) -> str:
    """One self-contained file."""
    return document(f"Run {report.run.id}: {report.run.fault_name}", _body(report))


def _body(report: RunReport) -> Iterator[str]:
    run = report.run
    yield f"<h1>{_title(run)}</h1>"
    yield paragraph(_subtitle(report), "sub")
    yield cards(_cards(run))
    yield missing(report.missing)
    yield heading("Requests")
    yield figure(
        (timeline(report, width=1080, look="full"), timeline(report, width=360, look="slim")),
        f"{len(report.points.start_us)} of {report.points.of} requests are drawn: every one that was not good, and of the "
        "good ones the extremes. Shaded: users were hurt. Upright lines: injected, effect, reverted, recovered. The strip "
        "below the dots has one tick for every request that was not good. A whisker at a witness's edge is its resolution.",
    )
    yield legend(("good", "slow", "failed", "truncated", "lost"))
    yield heading("Before and after")
    yield _speeds(report)
    yield heading("Errors")
    yield _errors(report)
    yield heading("Witnesses")
    yield _witnesses(run)
    yield from _agreement(run)
    yield heading("What was done")
    yield pairs(_done(run))
    yield table(
        ("phase", "at", "note"),
        [(t.phase.value, words.after(t.at_ns, run.t_inject), t.note) for t in run.transitions],
        numbers=(1,),
    )
    yield heading("The suite's tables")
    yield table(BEFORE_AFTER, before_after([line_of(report)]), numbers=range(1, len(BEFORE_AFTER)))
    yield pairs(summary(report))
    yield heading(f"Bad requests ({report.bad_total})")
    yield from _bad(report)
    yield paragraph(f"aftershock {report.version}, made {words.instant(report.made_ns)} UTC", "faint")


def _title(run: Run) -> str:
    verdict = judged(run.verdict.value) if run.verdict is not None else judged("aborted", f"still {run.phase.value}")
    name = escape(f"{run.fault_name} on {', '.join(i.name for i in run.instances) or 'nothing'}: ")
    return name + verdict.html


def _subtitle(report: RunReport) -> str:
    run = report.run
    when = words.instant(run.t_inject if run.t_inject is not None else run.t_requested, millis=True)
    return f"run {run.id} · {run.deployment} · {when} UTC · requested by {run.requested_by}" + (
        f" · {run.reason}" if run.reason else ""
    )


def _cards(run: Run) -> Iterator[tuple[str, Cell]]:
    client = run.witness("client")
    if client is None:
        yield "client witness", NOTHING
        return
    failed = f"{client.failed_requests} of {client.requests}" if client.failed_requests is not None else NOTHING
    yield "failed requests", failed
    yield "error window", words.seconds(client.error_window_seconds, at_least=client.censored)
    yield "recovery from effect", words.seconds(client.recovery_from_effect_seconds, at_least=client.censored)
    if run.t_reverted is not None:
        yield "recovery from revert", words.seconds(client.recovery_from_revert_seconds, at_least=client.censored)
    sharp = [v for v in (client.resolution.at_impact_seconds, client.resolution.at_recovery_seconds) if v is not None]
    yield "resolution", f"\u00b1{max(sharp):.2f} s" if sharp else client.resolution.text or NOTHING
    if run.objective_results:
        word = words.yes_no(run.met)
        yield "objectives", judged(word, word)


def _speeds(report: RunReport) -> str:
    columns: list[tuple[str, Speed | None]] = [
        ("before", report.before),
        ("while hurt", report.during),
        ("afterwards", report.after),
    ]
    known = [(name, s) for name, s in columns if s is not None]
    rows = [[name, *(read(s) for _, s in known)] for name, read in SPEED_ROWS]
    return table(("", *(name for name, _ in known)), rows, numbers=range(1, len(known) + 1))


def _of(part: str, read: str) -> Callable[[Speed], str]:
    def told(speed: Speed) -> str:
        found = getattr(speed, part)
        return words.short_seconds(None if found is None else getattr(found, read))

    return told


SPEED_ROWS: tuple[tuple[str, Callable[[Speed], str]], ...] = (
    ("stretch", lambda s: words.seconds((s.end_ns - s.begin_ns) / 1e9)),
    ("good requests", lambda s: words.count(s.good)),
    ("slow", lambda s: words.count(s.slow)),
    ("failed or cut short", lambda s: words.count(s.failed)),
    ("lost from sight", lambda s: words.count(s.lost)),
    ("good", lambda s: words.percent(s.good_ratio)),
    ("good requests a second", lambda s: words.rate(s.throughput)),
    *((f"latency {name}", _of("latency", name)) for name in ("mean", "p50", "p90", "p99", "longest")),
    *((f"first token {name}", _of("ttft", name)) for name in ("mean", "p50", "p90", "p99", "longest")),
    *((f"between tokens {name}", _of("inter_token", name)) for name in ("mean", "p50", "p90", "p99", "longest")),
)


def _errors(report: RunReport) -> str:
    origin = report.run.t_inject
    rows = [
        (
            e.error,
            words.count(e.count),
            words.after(e.first_ns, origin),
            words.after(e.last_ns, origin),
            words.clipped(e.example),
        )
        for e in report.errors
    ]
    return table(("error", "requests", "first", "last", "example"), rows, numbers=(1, 2, 3), texts=(4,))


def _witnesses(run: Run) -> str:
    reports = {name: run.witness(name) for name in WITNESSES}
    rows: list[list[Cell]] = []
    for name, read in WITNESS_ROWS:
        cells = [
            read(w, run) if w is not None else (NOTHING if name != "status" else "absent") for w in reports.values()
        ]
        if any(c != NOTHING for c in cells):
            rows.append([name, *cells])
    return table(("", *WITNESSES), rows)


WITNESS_ROWS: tuple[tuple[str, Callable[[WitnessReport, Run], str]], ...] = (
    ("status", lambda w, _: w.status),
    ("verdict", lambda w, _: w.verdict.value.replace("_", " ") if w.verdict else NOTHING),
    ("what it says", lambda w, _: w.reason or NOTHING),
    ("impact", lambda w, run: words.after(w.t_impact, run.t_inject)),
    ("first good", lambda w, run: words.after(w.t_first_good, run.t_inject)),
    ("recovered", lambda w, run: words.after(w.t_recovered, run.t_inject)),
    ("error window", lambda w, _: words.seconds(w.error_window_seconds, at_least=w.censored)),
    ("bad time", lambda w, _: words.seconds(w.bad_seconds, at_least=w.censored)),
    ("recovery from effect", lambda w, _: words.seconds(w.recovery_from_effect_seconds, at_least=w.censored)),
    ("recovery from revert", lambda w, _: words.seconds(w.recovery_from_revert_seconds, at_least=w.censored)),
    ("requests", lambda w, _: words.count(w.requests)),
    ("failed", lambda w, _: words.count(w.failed_requests)),
    ("slow", lambda w, _: words.count(w.slow_requests)),
    ("lost from sight", lambda w, _: words.count(w.lost_requests)),
    ("migrated", lambda w, _: words.count(w.migrated_requests)),
    ("died in", lambda w, _: words.counted(w.died_in)),
    ("died on", lambda w, _: words.counted(w.died_on)),
    ("tokens lost", lambda w, _: words.count(w.tokens_lost)),
    ("resolution", lambda w, _: w.resolution.text or NOTHING),
    ("notes", lambda w, _: "; ".join(w.notes) or NOTHING),
)


def _agreement(run: Run) -> Iterator[str]:
    if run.comparisons:
        yield heading("Do the witnesses agree")
        rows = [(f"{c.a}, {c.b}", c.figure, judged(c.status), c.text, c.reason) for c in run.comparisons]
        yield table(("witnesses", "figure", "", "how", "likely reason"), rows, texts=(3,))
    if run.objective_results:
        yield heading("Objectives")
        rows_of: list[Sequence[Cell]] = [
            (o.objective, f"{o.limit:g}", NOTHING if o.value is None else f"{o.value:.4g}", judged(words.yes_no(o.met)))
            for o in run.objective_results
        ]
        yield table(("objective", "limit", "value", "result"), rows_of, numbers=(1, 2))


def _done(run: Run) -> Iterator[tuple[str, Cell]]:
    yield "fault", f"{run.fault_name} ({run.fault.get('kind', '?')})"
    given = {k: v for k, v in run.fault.items() if k != "kind" and v is not None}
    yield "parameters", ", ".join(f"{k}={_plain(v)}" for k, v in given.items()) or NOTHING
    for instance in run.instances:
        processes = "; ".join(f"pid {p.pid}, {p.command}" for p in instance.processes)
        yield f"{instance.component}", f"{instance.name}{': ' if processes else ''}{processes}"
    if run.evidence is not None:
        yield "evidence", "; ".join((run.evidence.summary, *run.evidence.details))
    for line in (*run.observations, *run.notes):
        yield "note", line
    marks = {"injected": run.t_inject, "effect seen": run.t_effect, "effect ended": run.t_effect_ended}
    marks |= {"reverted": run.t_reverted, "replaced": run.t_replaced, "ready": run.t_ready}
    for name, ns in marks.items():
        if ns is not None:
            yield name, f"{words.instant(ns, millis=True)} UTC ({words.after(ns, run.t_inject)})"


def _plain(value: object) -> str:
    return "|".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _bad(report: RunReport) -> Iterator[str]:
    if report.bad_total > len(report.bad):
        yield paragraph(f"The first {len(report.bad)} are listed; all are in the picture and in the counts.")
    origin = report.run.t_inject
    rows = [
        (
            words.after(b.start_ns, origin),
            words.short_seconds((b.end_ns - b.start_ns) / 1e9),
            b.probe,
            b.outcome,
            b.error,
            NOTHING if b.status is None else str(b.status),
            code(b.trace_id) if b.trace_id else NOTHING,
            words.clipped(b.message),
        )
        for b in report.bad
    ]
    head = ("start", "lasted", "probe", "outcome", "error", "HTTP", "trace id", "message")
    yield table(head, rows, numbers=(0, 1, 5), texts=(7,), anchors=[f"b{i}" for i in range(len(rows))])
