"""Recording rules: rates, which failures were planned, and the objective in Sloth's names.

Sloth's names and labels let its public dashboards show our objectives. There are two: `requests` counts every
bad request, for the budget is about what users felt; `requests-outside-faults` leaves out what happened while
harm was to be expected, for that is what people are called for.
"""

from __future__ import annotations

from typing import Any

from dashboards.rules.expressions import Expressions
from dashboards.rules.facts import Facts
from dashboards.rules.windows import Window, burn_windows, duration

EVERYTHING = "requests"
OUTSIDE = "requests-outside-faults"
Rule = dict[str, Any]


def slo_labels(facts: Facts, slo: str) -> dict[str, str]:
    """The labels by which Sloth tells objectives apart."""
    return {
        "deployment": facts.deployment,
        "sloth_id": f"{facts.deployment}-{slo}",
        "sloth_service": facts.deployment,
        "sloth_slo": slo,
    }


def recording_groups(facts: Facts) -> list[dict[str, Any]]:
    """The groups, in the order in which they depend on one another."""
    interval = duration(facts.scrape_seconds)
    groups = [{"name": f"aftershock-{facts.deployment}-recording", "interval": interval, "rules": _rates(facts)}]
    for slo, bad in ((EVERYTHING, "probe_bad_requests"), (OUTSIDE, "probe_bad_requests_outside_faults")):
        name = f"aftershock-{facts.deployment}-slo-{slo}"
        groups.append({"name": name, "interval": interval, "rules": [*_ratios(facts, slo, bad), *_meta(facts, slo)]})
    return groups


def windows_of(facts: Facts) -> tuple[Window, ...]:
    """The burn windows of this deployment."""
    return burn_windows(facts.period_seconds, facts.rate_seconds, facts.request_rate)


def _rates(facts: Facts) -> list[Rule]:
    by = Expressions(facts)
    window = by.rate_window
    counted = (
        f'sum(rate(aftershock_probe_requests_total{{outcome!="lost"}}[{window}]) and on (job, instance) {by.monitor})'
    )
    hurt = f'sum(rate(aftershock_probe_requests_total{{outcome=~"failed|truncated|slow"}}[{window}]) and on (job, instance) {by.monitor})'
    bad = by.recorded(f"aftershock:probe_bad_requests:rate{window}")
    planned = by.recorded("aftershock:fault_planned:bool")
    unplanned = f"{bad} * on (deployment) (1 - max_over_time({planned}[{window}]))"
    return [
        _record(f"aftershock:probe_requests:rate{window}", counted, {"deployment": facts.deployment}),
        _record(f"aftershock:probe_bad_requests:rate{window}", hurt, {"deployment": facts.deployment}),
        _record(
            "aftershock:fault_planned:bool",
            f"(count({by.planned}) > bool 0) or vector(0)",
            {"deployment": facts.deployment},
        ),
        _record(
            f"aftershock:probe_bad_requests_outside_faults:rate{window}", unplanned, {"deployment": facts.deployment}
        ),
    ]


def _ratios(facts: Facts, slo: str, bad: str) -> list[Rule]:
    by = Expressions(facts)
    part = by.recorded(f"aftershock:{bad}:rate{by.rate_window}")
    whole = by.recorded(f"aftershock:probe_requests:rate{by.rate_window}")
    windows = windows_of(facts)
    seconds = sorted({s for one in windows for s in (one.short_seconds, one.long_seconds)} | {facts.period_seconds})
    rules = []
    for one in seconds:
        window = duration(one)
        expr = f"sum(sum_over_time({part}[{window}])) / (sum(sum_over_time({whole}[{window}])) > 0)"
        labels = slo_labels(facts, slo) | {"sloth_window": window}
        rules.append(_record(f"slo:sli_error:ratio_rate{window}", expr, labels))
    return rules


def _meta(facts: Facts, slo: str) -> list[Rule]:
    labels = slo_labels(facts, slo)
    me = f'sloth_id="{labels["sloth_id"]}"'
    shortest = duration(windows_of(facts)[0].short_seconds)
    budget = f"slo:error_budget:ratio{{{me}}}"

    def burn(window: str) -> str:
        ratio = f"slo:sli_error:ratio_rate{window}{{{me}}}"
        return f"{ratio} / on (sloth_id, sloth_slo, sloth_service) group_left () {budget}"

    goal = f"{facts.good_ratio:.10g}"
    return [
        _record("slo:objective:ratio", f"vector({goal})", labels),
        _record("slo:error_budget:ratio", f"vector(1 - {goal})", labels),
        _record("slo:time_period:days", f"vector({facts.period_seconds / 86_400:.10g})", labels),
        _record("slo:current_burn_rate:ratio", burn(shortest), labels),
        _record("slo:period_burn_rate:ratio", burn(duration(facts.period_seconds)), labels),
        _record("slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{{{me}}}", labels),
        _record(
            "sloth_slo_info",
            "vector(1)",
            labels
            | {
                "sloth_mode": "aftershock",
                "sloth_spec": "prometheus/v1",
                "sloth_objective": f"{100 * facts.good_ratio:.10g}",
            },
        ),
    ]


def _record(name: str, expr: str, labels: dict[str, str]) -> Rule:
    return {"record": name, "expr": expr, "labels": labels}
