"""The catalogue over weeks: how fast each fault heals, how steadily, and whether that gets worse."""

from __future__ import annotations

from dashboards import looks
from dashboards.layout import Board, Row
from dashboards.panels import Query, Tile, bars, heatmap, series, table
from dashboards.promql import grown, mean, own, quantile, total
from dashboards.variables import COMMON, FAULTS

RANGE = "$__range"
DAY = "1d"
_FAULT = 'fault=~"$fault"'
_CLIENT = 'witness="client"'
RECOVERY = own("fault_recovery_seconds_bucket", _FAULT, _CLIENT)
WINDOW = own("fault_error_window_seconds_bucket", _FAULT, _CLIENT)


def _table() -> list[Tile]:
    runs = total(grown(own("fault_runs_total", _FAULT, 'verdict!="skipped"'), RANGE), "fault")
    healed = total(grown(own("fault_runs_total", _FAULT, 'verdict=~"recovered|no_impact"'), RANGE), "fault")
    failed = total(grown(own("fault_failed_requests_total", _FAULT), RANGE), "fault")
    columns = {
        "fault": "fault",
        "Value #A": "runs",
        "Value #B": "whole again",
        "Value #C": "recovery p50",
        "Value #D": "recovery p90",
        "Value #E": "worst up to",
        "Value #F": "error window p90",
        "Value #G": "failed requests",
        "Value #H": "objectives met",
    }
    seconds = [looks.column(name, unit="s", decimals=1) for name in list(columns.values())[3:7]]
    return [
        table(
            "Every fault that ran in the range",
            "Whole again: runs that recovered or hurt nobody, of all that ran. Quantiles come from buckets, so they are "
            "bounds and not exact; runs that never recovered are in none of them, which is why 'whole again' stands first.",
            Query(f"{runs} > 0"),
            Query(f"{healed} / ({runs} > 0)"),
            # Without a run that recovered a quantile is NaN, which no comparison lets through.
            Query(f"{quantile(0.5, RECOVERY, 'fault', window=RANGE)} >= 0"),
            Query(f"{quantile(0.9, RECOVERY, 'fault', window=RANGE)} >= 0"),
            Query(f"{quantile(1, RECOVERY, 'fault', window=RANGE)} >= 0"),
            Query(f"{quantile(0.9, WINDOW, 'fault', window=RANGE)} >= 0"),
            Query(f"{failed} and on (fault) ({runs} > 0)"),
            Query(f"min by (fault) ({own('fault_objective_met', _FAULT)}) and on (fault) ({runs} > 0)"),
            join="fault",
            columns=columns,
            overrides=[
                looks.column("runs", decimals=0),
                looks.column("failed requests", decimals=0),
                looks.column("whole again", unit="percentunit", decimals=0),
                *seconds,
                looks.column("objectives met", mappings=looks.YES_NO, custom__cellOptions={"type": "color-text"}),
            ],
            sort="failed requests",
            descending=True,
            width=24,
            height=9,
            may_be_empty=True,
        )
    ]


def _distribution() -> list[Tile]:
    return [
        heatmap(
            "Recovery, all chosen faults",
            "Each column is a stretch of time, each row a bucket of recovery time. A cloud that climbs over weeks is a "
            "deployment that heals more and more slowly.",
            Query(total(grown(RECOVERY, "$__interval"), "le"), min_step="10m"),
            may_be_empty=True,
        ),
        heatmap(
            "Error window, all chosen faults",
            "From the first bad request to recovered. Choose one fault above to see its own distribution.",
            Query(total(grown(WINDOW, "$__interval"), "le"), min_step="10m"),
            may_be_empty=True,
        ),
        series(
            "Mean recovery of the last day, by fault",
            "The trend: each point is the mean of the runs of the day before it. AftershockRecoveryRegression fires when "
            "it leaves its own history.",
            Query(mean("fault_recovery_seconds", DAY, "fault", matchers=(_FAULT, _CLIENT)), "{{fault}}"),
            unit="s",
            may_be_empty=True,
        ),
        series(
            "Failed requests of the last day, by fault",
            "What each fault cost users, as a sum over the day before each point.",
            Query(f"{total(grown(own('fault_failed_requests_total', _FAULT), DAY), 'fault')} > 0", "{{fault}}"),
            may_be_empty=True,
        ),
    ]


def _judged() -> list[Tile]:
    limit = own("fault_objective_limit", _FAULT)
    runs = total(grown(own("fault_runs_total", _FAULT), RANGE), "fault", "verdict")
    return [
        bars(
            "Worst recovery in the range",
            "Upper bound of the bucket of the slowest run of each fault. `aftershock runs ls` names the run.",
            Query(f"sort_desc({quantile(1, RECOVERY, 'fault', window=RANGE)} >= 0)", "{{fault}}"),
            unit="s",
            width=6,
            may_be_empty=True,
        ),
        bars(
            "Runs by fault and verdict",
            "How runs ended. not_recovered and revert_failed need a person; inconclusive means that data was missing.",
            Query(f"sort_desc({runs} > 0)", "{{fault}}: {{verdict}}"),
            overrides=looks.verdict_endings(),
            width=6,
            may_be_empty=True,
        ),
        table(
            "Objectives, last judged run",
            "The limit of each objective in the unit of its name, and whether the last run that could be judged met it.",
            Query(f"max by (fault, objective) ({own('fault_objective_met', _FAULT)})"),
            join="fault",
            columns={"fault": "fault", "objective": "objective", "Value": "met"},
            overrides=[looks.column("met", mappings=looks.YES_NO, custom__cellOptions={"type": "color-text"})],
            sort="met",
            width=6,
            may_be_empty=True,
        ),
        table(
            "Limits",
            "What is asked of each fault, in the unit of the objective's name; set in faults.NAME.objectives.",
            Query(f"max by (fault, objective) ({limit})"),
            join="fault",
            columns={"fault": "fault", "objective": "objective", "Value": "limit"},
            sort="fault",
            width=6,
            may_be_empty=True,
        ),
    ]


def faults() -> Board:
    """The catalogue over weeks."""
    return Board(
        uid="aftershock-faults",
        title="aftershock / Fault catalogue",
        about="Recovery and error windows of every fault over weeks, objectives, trend, worst runs.",
        rows=(
            Row("", _table()),
            Row("Distribution and trend", _distribution()),
            Row("Verdicts, objectives, worst runs", _judged()),
        ),
        variables=(*COMMON, FAULTS),
        since="now-7d",
        refresh="5m",
    )
