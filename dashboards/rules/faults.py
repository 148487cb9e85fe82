"""Alerts on faults and their runs."""

from __future__ import annotations

from dashboards.rules.alert import Alert
from dashboards.rules.expressions import EACH, Expressions
from dashboards.rules.facts import Facts, Schedule
from dashboards.rules.windows import duration

REMEMBERED_SECONDS = 1800
"""How long a run that ended badly keeps an alert up, unless a better one comes first."""
OVERDUE_SECONDS = 30
"""Three attempts at putting back may pass before a fault that outlives its deadline is news."""
LAST_RUNS = 5
"""A regression is judged by the mean of about this many runs."""
HISTORY = 4
"""... against this many times as long before them."""
_DAY = 86_400


def fault_alerts(facts: Facts) -> list[Alert]:
    """Planned, outlasting, not recovered, not put back, slower than it was."""
    return [*_planned(facts), *_ended_badly(facts), *_not_put_back(facts), *_over_time(facts)]


def _planned(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    since = by.began()
    open_run = f"({since} > {EACH} max by (job, instance, fault) ({by.own('fault_last_timestamp_seconds', _FINISHED)}))"
    lost = by.verdict("not_recovered")
    return [
        Alert(
            name="AftershockFaultActive",
            severity="info",
            expr=by.planned,
            summary=f"{facts.deployment}: harm by {{{{ $labels.fault }}}} is planned at this moment",
            description="For Alertmanager: it holds back alerts with inhibited_by=planned_fault. It ends when the "
            f"fault's recovery objective is over and {facts.lag_seconds} s more, in which failures are still counted.",
        ),
        Alert(
            name="AftershockImpactOutlastsObjective",
            severity="page",
            expr=f"((time() - {since}) > {EACH} {by.limit}) and {EACH} ({open_run} or {lost}) and on () {by.hurting}",
            summary=f"{facts.deployment}: users are still hurt after {{{{ $labels.fault }}}}, beyond its recovery objective",
            description="{{ $value | humanizeDuration }} since the fault took effect, and more than "
            f"{facts.max_bad_ratio:.0%} of the requests are still bad.",
        ),
    ]


_FINISHED = 'phase="finished"'


def _ended_badly(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    recent = by.finished_within(REMEMBERED_SECONDS)
    return [
        Alert(
            name="AftershockNotRecovered",
            severity="page",
            expr=f"{by.verdict('not_recovered')} and {EACH} {recent}",
            summary=f"{facts.deployment}: not recovered after {{{{ $labels.fault }}}}",
            description="The run ended at its horizon with users still hurt. It stays up for "
            f"{duration(REMEMBERED_SECONDS)}, or until a later run of the fault recovers.",
        ),
        Alert(
            name="AftershockObjectiveMissed",
            severity="ticket",
            expr=f"max by (job, instance, fault, objective) ({by.own('fault_objective_met')}) == 0",
            summary=f"{facts.deployment}: {{{{ $labels.fault }}}} missed its objective {{{{ $labels.objective }}}}",
            description="The last run that could be judged was beyond its limit. It resolves with the next run that "
            "meets it.",
        ),
        Alert(
            name="AftershockInconclusive",
            severity="ticket",
            expr=_inconclusive(by),
            summary=f"{facts.deployment}: runs of {{{{ $labels.fault }}}} end without a finding",
            description="{{ $value | humanize }} runs of the last day were inconclusive or not injected and none had a "
            "finding: this fault is not being tested.",
        ),
    ]


def _inconclusive(by: Expressions) -> str:
    def runs(verdicts: str) -> str:
        grown = by.own("fault_runs_total", f'verdict=~"{verdicts}"', window="1d")
        return f"sum by (fault) ({grown})"

    told = runs("recovered|no_impact|not_recovered")
    return f"({runs('inconclusive|not_injected')} >= 2.5) unless on (fault) ({told} > 0.5)"


def _not_put_back(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    deadline = f"max by (job, instance, fault) ({by.own('fault_deadline_timestamp_seconds')} > 0)"
    recent = by.finished_within(REMEMBERED_SECONDS)
    return [
        Alert(
            name="AftershockRevertFailed",
            severity="page",
            expr=f"{by.verdict('revert_failed')} and {EACH} {recent}",
            summary=f"{facts.deployment}: {{{{ $labels.fault }}}} could not be put back at once",
            description="The run ended with its fault possibly still acting. aftershock tries again every few seconds; "
            "AftershockRevertStuck says whether that works.",
        ),
        Alert(
            name="AftershockRevertStuck",
            severity="page",
            expr=f"sum by (job, instance) ({by.own('reverts_stuck')}) > 0",
            summary=f"{facts.deployment}: a fault is not put back",
            description="{{ $value }} runs are over and their fault could not be put back, for a minute by now. "
            "Something may be broken that nobody repairs.",
            hold="1m",
        ),
        Alert(
            name="AftershockFaultOverdue",
            severity="page",
            expr=f"(time() - {deadline}) > {OVERDUE_SECONDS}",
            summary=f"{facts.deployment}: {{{{ $labels.fault }}}} acts beyond its deadline",
            description="It should have ended by itself {{ $value | humanizeDuration }} ago.",
        ),
    ]


# --- over many runs -----------------------------------------------------------------------------


def _over_time(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    slower = [_slower(by, fault, _window(facts, fault)) for fault in _scheduled(facts)]
    found = by.own("control_runs_total", 'result="false_finding"', window="7d")
    told = by.own("control_runs_total", 'result=~"clean|false_finding"', window="7d")
    apart = by.own("witness_comparisons_total", 'status="disagree"', window="1d")
    compared = by.own("witness_comparisons_total", 'status=~"agree|disagree"', window="1d")
    return [
        Alert(
            name="AftershockRecoveryRegression",
            severity="ticket",
            expr=" or ".join(slower) if slower else "vector(0) > 0",
            summary=f"{facts.deployment}: {{{{ $labels.fault }}}} recovers more slowly than it used to",
            description=f"The mean recovery of about the last {LAST_RUNS} runs is {{{{ $value | humanizeDuration }}}}, more "
            f"than one and a half times that of the {HISTORY} times as long before them, and a second beyond that.",
        ),
        Alert(
            name="AftershockFalseFindings",
            severity="ticket",
            expr=f"sum({found}) / (sum({told}) > 0) > 0.1 and on () (sum({found}) >= 1.5)",
            summary=f"{facts.deployment}: control runs find harm where none was done",
            description="{{ $value | humanizePercentage }} of the control runs of the last 7 days saw an impact though "
            "nothing was injected. Small differences between runs mean nothing at that rate.",
        ),
        Alert(
            name="AftershockWitnessesDisagree",
            severity="ticket",
            expr=f"sum by (pair) ({apart}) / (sum by (pair) ({compared}) > 0) > 0.2 and on (pair) (sum by (pair) ({apart}) >= 1.5)",
            summary=f"{facts.deployment}: the witnesses {{{{ $labels.pair }}}} disagree",
            description="{{ $value | humanizePercentage }} of the comparisons of the last day disagreed beyond the "
            "witnesses' resolution. One of the two does not measure what you think.",
        ),
    ]


def _scheduled(facts: Facts) -> list[str]:
    named = {fault for one in facts.schedules for fault in one.faults}
    return sorted(named - set(facts.controls))


def _window(facts: Facts, fault: str) -> int:
    """How long the schedules need for the last runs of a fault; at least an hour, at most a week."""

    def per_day(one: Schedule) -> float:
        return one.runs_per_day * one.faults.count(fault) / len(one.faults)

    daily = sum(per_day(one) for one in facts.schedules)
    seconds = LAST_RUNS / daily * _DAY if daily else 7 * _DAY
    return round(min(max(seconds, 3_600), 7 * _DAY) / 60) * 60


def _slower(by: Expressions, fault: str, seconds: int) -> str:
    chosen = (f'fault="{fault}"', 'witness="client"')

    def over(part: str, window: str, offset: str = "") -> str:
        return f"sum by (fault) ({by.own(f'fault_recovery_seconds_{part}', *chosen, window=window, offset=offset)})"

    last, before = duration(seconds), duration(HISTORY * seconds)
    recent, usual = (
        f"({over('sum', last)} / {over('count', last)})",
        f"({over('sum', before, last)} / {over('count', before, last)})",
    )
    enough = f"({over('count', last)} >= 2.5 and on (fault) ({over('count', before, last)} >= 4.5))"
    return f"({recent} > on (fault) (1.5 * {usual} + 1) and on (fault) {enough})"
