"""One run for people: what was done, what was seen, by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.cli.figures import (
    NOTHING,
    both_edges,
    instance_names,
    local_time,
    met_text,
    number,
    offset,
    percent,
    seconds,
    words,
)
from monitor.cli.render import heading, pairs, print_json, table
from monitor.cli.render_server import recovery_rows, show_server
from monitor.model import Comparison, ObjectiveResult, Run, WitnessReport

WITNESSES = ("client", "server", "trace")


def print_run(run: Run, *, json_: bool) -> None:
    """The same for people, or all of it for programs."""
    if json_:
        print_json(run.model_dump(mode="json"))
    else:
        show_run(run)


def show_run(run: Run) -> None:
    """Print everything that is known of a run."""
    pairs(_head(run))
    if run.transitions:
        heading(f"Phases ({'seconds from the injection' if run.t_inject is not None else 'no injection'})")
        table(
            ("phase", "at", "note"),
            [(one.phase.value, offset(one.at_ns, run.t_inject), one.note) for one in run.transitions],
        )
    marks = [(name, offset(at, run.t_inject)) for name, at in _instants(run) if at is not None]
    if marks:
        heading("Instants")
        pairs(marks)
    back = list(recovery_rows(run))
    if back:
        heading("Whole again (from the effect)")
        pairs(back)
    if run.witnesses:
        heading("Witnesses")
        _witnesses(run)
        show_server(run)
    if run.comparisons:
        heading("Do they agree")
        table(("witnesses", "figure", "", "how", "likely reason"), [_comparison(one) for one in run.comparisons])
    if run.objective_results:
        heading("Objectives")
        table(("objective", "limit", "value", "result"), [_objective(one) for one in run.objective_results])
    for name, lines in (("Observations", run.observations), ("Notes", run.notes)):
        if lines:
            heading(name)
            pairs(("-", line) for line in lines)


def _head(run: Run) -> Iterator[tuple[str, str]]:
    yield "run", run.id
    yield "fault", f"{run.fault_name} ({run.fault.get('kind', '?')})"
    yield "verdict", run.verdict.value if run.verdict is not None else f"none yet, {run.phase.value}"
    if run.reason:
        yield "reason", run.reason
    if run.objective_results:
        yield "objectives", met_text(run)
    yield "deployment", run.deployment
    yield "instances", instance_names(run)
    for instance in run.instances:
        for process in instance.processes:
            yield "", f"{instance.name}: pid {process.pid}, {process.command}"
    if run.evidence is not None:
        yield "evidence", run.evidence.summary
        for detail in run.evidence.details:
            yield "", detail
    parameters = {key: value for key, value in run.fault.items() if key != "kind" and value is not None}
    yield "parameters", words(f"{key}={_plain(value)}" for key, value in parameters.items())
    yield "requested", f"{local_time(run.t_requested, millis=True)} by {run.requested_by}, seed {run.seed}"
    yield "injected", local_time(run.t_inject, millis=True)
    if run.receipt_open:
        yield "not reverted", f"its receipt is open; `aftershock recover {run.id}` tries again"


def _plain(value: object) -> str:
    return "|".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)


def _instants(run: Run) -> list[tuple[str, int | None]]:
    return [
        ("t_inject", run.t_inject),
        ("t_effect", run.t_effect),
        ("t_effect_ended", run.t_effect_ended),
        ("t_reverted", run.t_reverted),
        ("t_clean", run.t_clean),
        ("t_replaced", run.t_replaced),
        ("t_ready", run.t_ready),
        ("t_finished", run.t_finished),
    ]


def _comparison(one: Comparison) -> tuple[str, str, str, str, str]:
    return f"{one.a}, {one.b}", one.figure, one.status.replace("_", " "), one.text, one.reason


def _objective(result: ObjectiveResult) -> tuple[str, str, str, str]:
    word = {True: "met", False: "missed", None: "not judged"}[result.met]
    unit = " s" if result.objective.endswith("_seconds") else ""
    value = NOTHING if result.value is None else f"{result.value:.4g}{unit}"
    return result.objective, f"{result.limit:g}{unit}", value, word


# --- witnesses ------------------------------------------------------------------------------------

Row = tuple[str, Callable[[WitnessReport, Run], str]]


def _edge(report: WitnessReport, value: float | None) -> str:
    return seconds(value, resolution=report.resolution.at_recovery_seconds, at_least=report.censored)


_ROWS: tuple[Row, ...] = (
    ("status", lambda w, _: w.status),
    ("reason", lambda w, _: w.reason),
    ("verdict", lambda w, _: w.verdict.value if w.verdict is not None else NOTHING),
    ("impact", lambda w, run: offset(w.t_impact, run.t_inject)),
    ("first good", lambda w, run: offset(w.t_first_good, run.t_inject)),
    ("recovered", lambda w, run: offset(w.t_recovered, run.t_inject)),
    (
        "error window",
        lambda w, _: seconds(w.error_window_seconds, resolution=both_edges(w.resolution), at_least=w.censored),
    ),
    ("bad time", lambda w, _: seconds(w.bad_seconds, at_least=w.censored)),
    ("recovery from effect", lambda w, _: _edge(w, w.recovery_from_effect_seconds)),
    ("recovery from revert", lambda w, _: _edge(w, w.recovery_from_revert_seconds)),
    (
        "healed while it acted",
        lambda w, _: (
            NOTHING if w.recovered_while_acting is None else ("yes" if w.recovered_while_acting else "no, after it")
        ),
    ),
    ("requests", lambda w, _: number(w.requests)),
    ("failed", lambda w, _: number(w.failed_requests)),
    ("of these cut short", lambda w, _: number(w.truncated_requests)),
    ("slow", lambda w, _: number(w.slow_requests)),
    ("lost from sight", lambda w, _: number(w.lost_requests)),
    ("migrated", lambda w, _: number(w.migrated_requests)),
    ("of these before an answer", lambda w, _: number(w.retried_requests)),
    ("given up by the client", lambda w, _: number(w.cancelled_requests)),
    ("died in", lambda w, _: _counted(w.died_in)),
    ("died on", lambda w, _: _counted(w.died_on)),
    ("in flight at injection", lambda w, _: number(w.requests_in_flight_at_injection)),
    ("tokens lost", lambda w, _: number(w.tokens_lost)),
    ("errors", lambda w, _: _counted(w.errors)),
    ("bad stretches", lambda w, _: number(len(w.stretches)) if w.stretches else NOTHING),
    ("baseline", lambda w, _: _baseline(w)),
    ("during", lambda w, _: words([_latency(w.during_latency_seconds), _rate(w.during_rate)])),
    ("resolution", lambda w, _: w.resolution.text),
)


def _counted(counts: Mapping[str, int]) -> str:
    return words(f"{name} {count}" for name, count in counts.items())


def _baseline(report: WitnessReport) -> str:
    bad = f"{percent(report.baseline_bad_ratio)} bad" if report.baseline_bad_ratio is not None else ""
    count = f"{report.baseline_requests} requests" if report.baseline_requests is not None else ""
    return words([count, bad, _latency(report.baseline_latency_seconds), _rate(report.baseline_rate)])


def _latency(value: float | None) -> str:
    return "" if value is None else f"{1000 * value:.4g} ms"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}/s"


def _witnesses(run: Run) -> None:
    reports = {name: run.witness(name) for name in WITNESSES}
    cells: dict[str, list[str]] = {
        name: [_cell(read, report, run) for report in reports.values()] for name, read in _ROWS
    }
    if all(report is not None for report in reports.values()) is False:
        cells["status"] = [text if text != NOTHING else "absent" for text in cells["status"]]
    table(("", *WITNESSES), [(name, *row) for name, row in cells.items() if any(one != NOTHING for one in row)])
    for report in reports.values():
        for note in report.notes if report is not None else ():
            pairs([(f"{report.witness if report else ''}:", note)])
    probes = [one for one in run.witnesses if one.probe is not None]
    if probes:
        heading("By probe")
        head = ("probe", "witness", "verdict", "failed", "slow", "error window", "recovery from effect", "reason")
        table(head, [_by_probe(one) for one in probes])


def _cell(read: Callable[[WitnessReport, Run], Any], report: WitnessReport | None, run: Run) -> str:
    return (read(report, run) or NOTHING) if report is not None else NOTHING


def _by_probe(report: WitnessReport) -> tuple[str, ...]:
    return (
        report.probe or "",
        report.witness,
        report.verdict.value if report.verdict is not None else report.status,
        number(report.failed_requests),
        number(report.slow_requests),
        seconds(report.error_window_seconds, at_least=report.censored),
        seconds(report.recovery_from_effect_seconds, at_least=report.censored),
        report.reason or NOTHING,
    )
