"""Alerts on the error budget: fast, slow, spent."""

from __future__ import annotations

from dashboards.rules.alert import Alert
from dashboards.rules.expressions import Expressions
from dashboards.rules.facts import Facts
from dashboards.rules.recording import EVERYTHING, OUTSIDE, slo_labels, windows_of
from dashboards.rules.windows import MIN_REQUESTS, Window, duration


def budget_alerts(facts: Facts) -> list[Alert]:
    """Pages for what was not planned; tickets for the whole budget, for users do not care who broke it."""
    pages = [one for one in windows_of(facts) if one.severity == "page"]
    tickets = [one for one in windows_of(facts) if one.severity == "ticket"]
    return [
        Alert(
            name="AftershockErrorBudgetBurnFast",
            severity="page",
            expr=_burns(facts, OUTSIDE, pages),
            summary=f"{facts.deployment}: bad requests outside of planned faults burn the error budget fast",
            description="{{ $value | humanizePercentage }} of the requests were bad while no harm was planned. "
            + _in_words(pages),
            symptom=True,
        ),
        Alert(
            name="AftershockErrorBudgetBurnSlow",
            severity="ticket",
            expr=_burns(facts, EVERYTHING, tickets) if tickets else "vector(0) > 0",
            summary=f"{facts.deployment}: the error budget burns slowly, faults included",
            description="{{ $value | humanizePercentage }} of the requests were bad. " + _in_words(tickets),
        ),
        Alert(
            name="AftershockErrorBudgetSpent",
            severity="ticket",
            expr=_spent(facts),
            summary=f"{facts.deployment}: the error budget of {duration(facts.period_seconds)} is spent",
            description=f"Fewer than {facts.good_ratio:.4%} of the requests of the last "
            f"{duration(facts.period_seconds)} were good, faults included. Stop adding faults, or promise less.",
            hold="5m",
        ),
    ]


def _in_words(windows: list[Window]) -> str:
    listed = (f"{one.factor:.3g} times the even rate over {duration(one.long_seconds)}" for one in windows)
    return f"It fires at {' or '.join(listed)}, and still in the shorter window."


def _burns(facts: Facts, slo: str, windows: list[Window]) -> str:
    """Any window pair above its threshold, with enough requests to say so."""
    by = Expressions(facts)
    me = f'{{sloth_id="{slo_labels(facts, slo)["sloth_id"]}"}}'
    pairs = []
    for one in windows:
        above = f"> {one.threshold(facts.good_ratio):.6g}"
        long, short = duration(one.long_seconds), duration(one.short_seconds)
        pairs.append(
            f"(slo:sli_error:ratio_rate{long}{me} {above} "
            f"and ignoring (sloth_window) slo:sli_error:ratio_rate{short}{me} {above} "
            f"and on () ({_requests(by, long)} >= {MIN_REQUESTS}))"
        )
    return f"max without (sloth_window) ({' or '.join(pairs)})"


def _requests(by: Expressions, window: str) -> str:
    """Requests in a window, from the recorded rates and the interval of the recording."""
    rate = by.recorded(f"aftershock:probe_requests:rate{by.rate_window}")
    return f"sum(sum_over_time({rate}[{window}])) * {by.facts.scrape_seconds:g}"


def _spent(facts: Facts) -> str:
    by = Expressions(facts)
    me = f'{{sloth_id="{slo_labels(facts, EVERYTHING)["sloth_id"]}"}}'
    enough = f"{_requests(by, duration(facts.period_seconds))} >= {MIN_REQUESTS}"
    return f"slo:period_error_budget_remaining:ratio{me} <= 0 and on () ({enough})"
