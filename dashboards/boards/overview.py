"""The first look: is it whole, what acts, what was the last word, what is left, what is next."""

from __future__ import annotations

from dashboards import formulas, looks
from dashboards.layout import Board, Row
from dashboards.panels import Query, Tile, bars, series, stat, states, table
from dashboards.promql import WEEK, grown, mean, own, rate, total
from dashboards.variables import COMMON, PROBE


def _now() -> list[Tile]:
    return [
        stat(
            "Whole now?",
            "The last minute, as the probes felt it. HURT: more than 5 % bad requests, requests that hang, or an "
            "incident. Unknown: a probe is silent or nothing was asked, so nobody can know. HURT and no fault active: "
            "open the deployment dashboard.",
            Query(formulas.whole(), "{{deployment}}"),
            mappings=looks.WHOLE_WORDS,
            steps=looks.steps(looks.BAD, (0.5, looks.UNKNOWN), (1, looks.GOOD)),
            no_value="no monitor",
            background=True,
            width=5,
        ),
        stat(
            "Fault active",
            "What aftershock breaks at this moment; bad requests are to be expected meanwhile. `aftershock stop` puts "
            "everything back.",
            Query(f"max by (fault) ({own('fault_active')}) == 1", "{{fault}}"),
            text="name",
            no_value="none",
            steps=looks.OURS,
            width=4,
            may_be_empty=True,
        ),
        stat(
            "Last run",
            "The fault that finished last, and its verdict; skipped runs do not count. `aftershock runs show` has the "
            "figures of a run.",
            Query(formulas.last_verdict(), "{{fault}}: {{verdict}}"),
            text="name",
            no_value="no run yet",
            overrides=looks.verdict_endings(),
            width=5,
            may_be_empty=True,
        ),
    ]


def _ahead() -> list[Tile]:
    return [
        stat(
            "Error budget left, 7 days",
            "100 %: no bad request in seven days. Below 0 %: the promised share of good requests (slo.good_ratio) was "
            "missed. Faults spend it too; 'Where failures came from' says how much.",
            Query(formulas.budget_left(), "{{deployment}}"),
            unit="percentunit",
            decimals=1,
            steps=looks.steps(looks.BAD, (0, looks.CAREFUL), (0.25, looks.GOOD)),
            width=4,
        ),
        stat(
            "Next run",
            "The schedule that fires next. Nothing planned though there are schedules: see the health dashboard.",
            Query(f"bottomk(1, {own('schedule_next_run_timestamp_seconds')} > 0) * 1000", "{{schedule}}"),
            unit="dateTimeFromNow",
            text="value_and_name",
            no_value="nothing planned",
            width=4,
            may_be_empty=True,
        ),
        stat(
            "Runs",
            "STOPPED: the emergency stop holds and no run can begin. `aftershock resume` releases it.",
            Query(f"max({own('stopped')})"),
            mappings=looks.words({"0": ("allowed", looks.GOOD), "1": ("STOPPED", looks.CAREFUL)}),
            steps=looks.steps(looks.GOOD, (1, looks.CAREFUL)),
            width=2,
        ),
    ]


def _felt() -> list[Tile]:
    return [
        series(
            "Requests by outcome",
            "Probe requests per second, by how they ended for their user: failed (no answer), truncated (cut short, "
            "whatever the HTTP status said), slow (beyond the probe's limits), lost (nobody saw the end). Purple regions "
            "are our faults, red ones incidents.",
            Query(total(rate(own("probe_requests_total", 'probe=~"$probe"')), "outcome"), "{{outcome}}"),
            unit="reqps",
            bars=True,
            stacked=True,
            colours=looks.OUTCOMES,
        ),
        series(
            "Share of bad requests",
            "Bad requests of all requests. A hill inside a purple region: users felt a fault. A hill outside of one: an "
            "incident. A gap is missing data, not good news. The line is what slo.good_ratio allows over the weeks.",
            Query(formulas.bad_share("probe"), "{{probe}}"),
            Query(f"1 - min({own('slo_objective_ratio')})", "allowed"),
            unit="percentunit",
            colours={"allowed": looks.CAREFUL},
        ),
        states(
            "Faults and incidents",
            "When which fault acted, and when the deployment broke by itself. A fault that does not end: see 'Reverts "
            "stuck' on the health dashboard.",
            Query(f"max by (fault) ({own('fault_active')}) and on (fault) ({formulas.has_run()})", "{{fault}}"),
            Query(f"max({own('incident_active')}) * 2", "incident"),
            mappings=looks.words(
                {"0": (" ", "transparent"), "1": ("acts", looks.ACTING), "2": ("incident", looks.BAD)}
            ),
            height=6,
        ),
    ]


def _faults() -> list[Tile]:
    ran = f"and on (fault) ({formulas.has_run('finished')})"
    failed = total(grown(own("fault_failed_requests_total"), WEEK), "fault")
    recovery = mean("fault_recovery_seconds", WEEK, "fault", matchers=('witness="client"',))
    return [
        table(
            "Faults, last run and last 7 days",
            "Each fault that has run: the last verdict and when, whether its objectives were met (no: open it on the fault "
            "dashboard), and what seven days of it cost. Empty figures: never recovered, or no witness could tell.",
            Query(f"max by (fault, verdict) ({own('fault_last_verdict')} == 1)"),
            Query(f"({formulas.has_run('finished')}) * 1000"),
            Query(f"min by (fault) ({own('fault_objective_met')})"),
            Query(f"{failed} {ran}"),
            Query(f"({recovery}) {ran}"),
            join="fault",
            columns={
                "fault": "fault",
                "verdict": "verdict",
                "Value #B": "ended",
                "Value #C": "objectives met",
                "Value #D": "failed requests, 7 d",
                "Value #E": "mean recovery, 7 d",
            },
            overrides=[
                *looks.verdict_columns(),
                looks.column("ended", unit="dateTimeFromNow"),
                looks.column("objectives met", mappings=looks.YES_NO, custom__cellOptions={"type": "color-text"}),
                looks.column("failed requests, 7 d", unit="short", decimals=0),
                looks.column("mean recovery, 7 d", unit="s", decimals=1),
            ],
            sort="failed requests, 7 d",
            descending=True,
            width=14,
            may_be_empty=True,
        ),
        bars(
            "Which fault hurt most, last 7 days",
            "Failed and truncated requests of all runs of a fault in seven days, the five worst. The longest bar is where "
            "work on resilience pays.",
            Query(f"topk(5, {failed} > 0)", "{{fault}}"),
            width=5,
            may_be_empty=True,
        ),
        bars(
            "Where failures came from, last 7 days",
            "Failed and truncated requests inside runs, which were ours, and outside of them, which were not. Large "
            "'outside' means incidents: look at the deployment, not at the faults.",
            Query(f"{formulas.failed_in_faults(WEEK)} >= 0", "in fault runs"),
            Query(formulas.failed_outside(WEEK), "outside"),
            steps=looks.steps(looks.CAREFUL),
            width=5,
        ),
    ]


def _trust() -> list[Tile]:
    return [
        stat(
            "Incidents, 7 days",
            "Error windows that began with no run active. Each is worth a look at the deployment dashboard at its time.",
            Query(total(grown(own("incidents_total"), WEEK))),
            decimals=0,
            steps=looks.steps(looks.GOOD, (0.5, looks.CAREFUL)),
            height=6,
        ),
        stat(
            "Control runs that found something, 7 days",
            "Share of runs that injected nothing and saw an impact all the same: the noise of deployment and measurement. "
            "Above 5 % do not trust small differences.",
            Query(formulas.false_finding_share(WEEK)),
            unit="percentunit",
            decimals=0,
            steps=looks.steps(looks.GOOD, (0.05, looks.CAREFUL), (0.2, looks.BAD)),
            no_value="no control run",
            height=6,
            may_be_empty=True,
        ),
        bars(
            "Runs by verdict, 7 days",
            "What runs ended with. Many inconclusive: missing data, see the health dashboard. Many skipped: the guard "
            "refuses, `aftershock runs ls` says why.",
            Query(f"{total(grown(own('fault_runs_total'), WEEK), 'verdict')} > 0", "{{verdict}}"),
            overrides=looks.verdict_endings(),
            width=8,
            height=6,
            may_be_empty=True,
        ),
        table(
            "Schedules",
            "When each schedule fires next, and how many of its firings of the last seven days started no run.",
            Query(f"(min by (schedule) ({own('schedule_next_run_timestamp_seconds')}) > 0) * 1000"),
            Query(total(grown(own("schedule_skipped_total"), WEEK), "schedule")),
            join="schedule",
            columns={"schedule": "schedule", "Value #A": "next", "Value #B": "skipped, 7 d"},
            overrides=[
                looks.column("next", unit="dateTimeFromNow"),
                looks.column("skipped, 7 d", unit="short", decimals=0),
            ],
            sort="next",
            width=8,
            height=6,
            may_be_empty=True,
        ),
    ]


def overview() -> Board:
    """The dashboard to open first."""
    return Board(
        uid="aftershock-overview",
        title="aftershock / Overview",
        about="Is the deployment whole, what is being broken, how did the last runs end, what runs next.",
        rows=(
            Row("", [*_now(), *_ahead()]),
            Row("What users feel", _felt()),
            Row("What the faults did", _faults()),
            Row("How far to trust it, and what comes", _trust()),
        ),
        variables=(*COMMON, PROBE),
    )
