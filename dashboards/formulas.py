"""The longer PromQL formulas, each with what it promises."""

from __future__ import annotations

from dashboards.promql import COUNTED, FAILED, HURT, NOW, WEEK, by_deployment, grown, own, rate, ratio, total

STEADY_BAD_RATIO = 0.05
"""More bad requests than that in the last minute is not whole; the guard's default for a steady state."""

_PAIR = ("job", "instance")
_ON = "on (job, instance)"


def monitors() -> str:
    """One series a monitor, with its deployment's name."""
    return f"max by (job, instance, deployment) ({own('build_info')})"


def whole() -> str:
    """1 whole, 0 hurt, 0.5 nobody can know: the worst of a deployment's monitors, and missing data is not good."""
    hurt = total(rate(own("probe_requests_total", HURT), NOW), *_PAIR)
    asked = total(rate(own("probe_requests_total", COUNTED), NOW), *_PAIR)
    fine = f"(({ratio(hurt, asked)}) <= bool {STEADY_BAD_RATIO:g})"
    nothing_hangs = f"({total(own('probe_overdue'), *_PAIR)} == bool 0)"
    no_incident = f"(1 - {own('incident_active')})"
    silent = f"({own('probe_up')} == 0)"
    known = f"({fine} * {_ON} {nothing_hangs} * {_ON} {no_incident} unless {_ON} {silent})"
    unknown = f"({monitors()} * 0 + 0.5)"
    return f"min by (deployment) (({known} or {_ON} {unknown}) * {_ON} group_left (deployment) {monitors()})"


def budget_left(window: str = WEEK) -> str:
    """The share of the error budget that is left, by deployment, faults included."""
    hurt = by_deployment(grown(own("probe_requests_total", HURT), window), window)
    asked = by_deployment(grown(own("probe_requests_total", COUNTED), window), window)
    goal = f"min by (deployment) ({own('slo_objective_ratio')} * {_ON} group_left (deployment) {monitors()})"
    return f"1 - ({ratio(hurt, asked)}) / on (deployment) (1 - {goal})"


def last_verdict() -> str:
    """The verdict of the fault that finished last, as labels."""
    ended = own("fault_last_timestamp_seconds", 'phase="finished"')
    latest = f"(max by (job, instance, fault) ({ended}) > 0) == {_ON} group_left () max by (job, instance) ({ended})"
    return f"({own('fault_last_verdict')} == 1) and on (job, instance, fault) ({latest})"


def has_run(phase: str = "injected") -> str:
    """When each fault last entered a phase; nothing for those that have not, since the monitor started."""
    stamp = own("fault_last_timestamp_seconds", 'phase="' + phase + '"')
    return f"max by (fault) ({stamp}) > 0"


def failed_in_faults(window: str) -> str:
    """Failed and truncated requests of runs, as the runs themselves counted them."""
    return total(grown(own("fault_failed_requests_total"), window))


def failed_outside(window: str) -> str:
    """All other failed and truncated requests."""
    failed = total(grown(own("probe_requests_total", FAILED), window))
    return f"clamp_min({failed} - {failed_in_faults(window)}, 0)"


def false_finding_share(window: str) -> str:
    """Control runs that found an impact though nothing was injected, of all that could tell."""
    false = total(grown(own("control_runs_total", 'result="false_finding"'), window))
    told = total(grown(own("control_runs_total", 'result=~"clean|false_finding"'), window))
    return ratio(false, told)


def bad_share(*labels: str, window: str | None = None) -> str:
    """Bad requests of all requests; nothing where nothing was asked."""
    extra = () if window is None else (window,)
    hurt = total(rate(own("probe_requests_total", HURT, 'probe=~"$probe"'), *extra), *labels)
    asked = total(rate(own("probe_requests_total", COUNTED, 'probe=~"$probe"'), *extra), *labels)
    return ratio(hurt, asked)
