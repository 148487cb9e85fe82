"""Alerts on the monitor itself: a monitor that does not look is worse than none, for its silence reads as health."""

from __future__ import annotations

from dashboards.rules.alert import Alert
from dashboards.rules.expressions import Expressions
from dashboards.rules.facts import Facts, Schedule


def monitor_alerts(facts: Facts) -> list[Alert]:
    """Absent, blind, idle, stopped, unable to store."""
    return [*_absent(facts), *_probes(facts), *_schedules(facts), *_service(facts)]


def _absent(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    return [
        Alert(
            name="AftershockAbsent",
            severity="page",
            expr=f"absent({by.monitor})",
            summary=f"{facts.deployment}: nobody watches it",
            description="Prometheus has had no metrics of this deployment's aftershock for five minutes. A fault may be "
            "acting all the same.",
            hold="5m",
        ),
        Alert(
            name="AftershockNoLeader",
            severity="page",
            expr=f"sum({by.own('leader')}) == 0",
            summary=f"{facts.deployment}: all replicas of aftershock stand by",
            description="None has led for two minutes: nothing is probed, no schedule runs, and what the last leader "
            "broke is not put back.",
            hold="2m",
        ),
        Alert(
            name="AftershockObjectiveAbsent",
            severity="ticket",
            expr=" or ".join(_each_objective(by)),
            summary=f"{facts.deployment}: the objective {{{{ $labels.objective }}}} of {{{{ $labels.of }}}} is not judged by anything",
            description="The rules expect it and aftershock does not publish it: rules and service come from different "
            "configurations. Such an objective would read as met for ever.",
            hold="10m",
        ),
    ]


def _each_objective(by: Expressions) -> list[str]:
    """One series for each objective whose metric is missing though the monitor is there."""
    facts = by.facts
    wanted = [("slo", "good_ratio", by.own("slo_objective_ratio"))]
    wanted += [
        (f"probe {probe}", "good_ratio", by.own("probe_requests_total", f'probe="{probe}"')) for probe in facts.probes
    ]
    for fault, limits in sorted(facts.limits.items()):
        for objective in sorted(limits):
            matchers = (f'fault="{fault}"', f'objective="{objective}"')
            wanted.append((fault, objective, by.own("fault_objective_limit", *matchers)))
    return [_missing(by, of, objective, series) for of, objective, series in wanted]


def _missing(by: Expressions, of: str, objective: str, series: str) -> str:
    bare = f"(absent(count({series})) and on () {by.monitor})"
    return f'label_replace(label_replace({bare}, "of", "{of}", "", ""), "objective", "{objective}", "", "")'


def _probes(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    return [
        Alert(
            name="AftershockProbeDown",
            severity="page",
            expr=f"min by (probe) ({by.own('probe_up')}) == 0",
            summary=f"{facts.deployment}: the probe {{{{ $labels.probe }}}} does not send",
            description="It has started no request on time for a minute. Nothing can be measured, and no run may begin.",
            hold="1m",
        ),
        Alert(
            name="AftershockProbeGap",
            severity="ticket",
            # A gap is counted when it closes, and then at once: that may be more than the time that is looked at.
            expr=f"clamp_max(sum by (probe) ({by.own('probe_gap_seconds_total', window='15m')}), 900) > 5",
            summary=f"{facts.deployment}: the probe {{{{ $labels.probe }}}} had gaps",
            description="{{ $value | humanizeDuration }} of the last 15 minutes went by without requests. Runs that touch "
            "a gap are inconclusive.",
        ),
    ]


def _schedules(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    idle = [_idle(by, one) for one in facts.schedules]
    skipped = by.own("schedule_skipped_total", window="1d")
    return [
        Alert(
            name="AftershockScheduleNotRunning",
            severity="ticket",
            expr=" or ".join(idle) if idle else "vector(0) > 0",
            summary=f"{facts.deployment}: the schedule {{{{ $labels.schedule }}}} does not run",
            description="Its next firing is in the past, or it has none, or aftershock does not know it.",
            hold="5m",
        ),
        Alert(
            name="AftershockScheduleSkipping",
            severity="ticket",
            expr=f"sum by (schedule, reason) ({skipped}) >= 2.5",
            summary=f"{facts.deployment}: the schedule {{{{ $labels.schedule }}}} starts no runs ({{{{ $labels.reason }}}})",
            description="{{ $value | humanize }} firings of the last day were refused for this reason.",
        ),
    ]


def _idle(by: Expressions, one: Schedule) -> str:
    known = by.own("schedule_next_run_timestamp_seconds", f'schedule="{one.name}"')
    late = f"(max by (schedule) ({known}) < time() - {one.missed_after_seconds + 60:g})"
    unknown = f'label_replace((absent(count({known})) and on () {by.monitor}), "schedule", "{one.name}", "", "")'
    return f"({late} or {unknown})"


def _service(facts: Facts) -> list[Alert]:
    by = Expressions(facts)
    return [
        Alert(
            name="AftershockStoppedForLong",
            severity="ticket",
            expr=f"max({by.own('stopped')}) == 1",
            summary=f"{facts.deployment}: the emergency stop has held for an hour",
            description="No run can begin until `aftershock resume`. Was it forgotten?",
            hold="1h",
        ),
        Alert(
            name="AftershockSourceDown",
            severity="ticket",
            expr=f"min by (source) ({by.own('source_up')}) == 0",
            summary=f"{facts.deployment}: the source {{{{ $labels.source }}}} does not answer",
            description="Its witness is absent from every run until it does.",
            hold="5m",
        ),
        Alert(
            name="AftershockStoreTrouble",
            severity="ticket",
            expr=f"sum({by.own('store_errors_total', window='5m')}) > 0 or sum({by.own('store_dropped_records_total', window='5m')}) > 0",
            summary=f"{facts.deployment}: results cannot be stored",
            description="The store refused within the last five minutes. Runs are refused meanwhile, and records are "
            "dropped when too many wait.",
        ),
        Alert(
            name="AftershockIncident",
            severity="page",
            expr=f"max({by.own('incident_active')}) == 1",
            summary=f"{facts.deployment}: broken, and not by us",
            description="Users get errors and no fault is active.",
            hold="30s",
            symptom=True,
        ),
    ]
