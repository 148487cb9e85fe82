"""Can the monitor be believed: does it see, store, schedule and put back."""

from __future__ import annotations

from dashboards import looks
from dashboards.layout import Board, Row
from dashboards.panels import Query, Tile, bars, series, stat, states, table
from dashboards.promql import RATE, WEEK, grown, own, rate, total
from dashboards.variables import COMMON, PROBE

RANGE = "$__range"
_PROBE = 'probe=~"$probe"'


def _now() -> list[Tile]:
    return [
        stat(
            "Monitors",
            "aftershock services that Prometheus scrapes. Fewer than you run: a service is down, or its scrape is.",
            Query(f"count({own('build_info')})"),
            steps=looks.ONE_IS_GOOD,
            no_value="none",
            width=3,
        ),
        stat(
            "Probes sending",
            "Probes that start requests on time, of all. Below 100 % runs are refused and measurements are inconclusive.",
            Query(f"avg({own('probe_up')})"),
            unit="percentunit",
            decimals=0,
            steps=looks.steps(looks.BAD, (1, looks.GOOD)),
            width=4,
        ),
        stat(
            "Reverts stuck",
            "Runs that are over and whose fault could not be put back. Not zero: something may still be broken; "
            "`aftershock recover --all` tries again and says why.",
            Query(f"sum({own('reverts_stuck')})"),
            steps=looks.ZERO_IS_GOOD,
            width=3,
        ),
        stat(
            "Fault past its deadline",
            "Seconds by which an acting fault has outlived its own deadline. It should have ended by itself.",
            Query(f"max(time() - ({own('fault_deadline_timestamp_seconds')} > 0)) > 0"),
            unit="s",
            steps=looks.steps(looks.GOOD, (0, looks.BAD)),
            no_value="none",
            width=4,
            may_be_empty=True,
        ),
        stat(
            "Records not stored yet",
            "Records that wait for the store. Rising: the store is slow or refuses; at 50,000 the oldest are dropped.",
            Query(f"sum({own('store_pending_records')})"),
            steps=looks.steps(looks.GOOD, (1000, looks.CAREFUL), (10000, looks.BAD)),
            width=4,
        ),
        stat(
            "Leaders",
            "Processes that run the schedules. One for each deployment.",
            Query(f"sum({own('leader')})"),
            steps=looks.ONE_IS_GOOD,
            width=3,
        ),
        stat(
            "Runs",
            "STOPPED: the emergency stop holds, no run can begin until `aftershock resume`.",
            Query(f"max({own('stopped')})"),
            mappings=looks.words({"0": ("allowed", looks.GOOD), "1": ("STOPPED", looks.CAREFUL)}),
            steps=looks.steps(looks.GOOD, (1, looks.CAREFUL)),
            width=3,
        ),
    ]


def _probes() -> list[Tile]:
    return [
        states(
            "Probes",
            "When each probe sent on time. What a fault does to the deployment must never show here: the load is open "
            "loop.",
            Query(f"min by (probe) ({own('probe_up', _PROBE)})", "{{probe}}"),
            mappings=looks.words({"0": ("silent", looks.BAD), "1": ("sending", looks.GOOD)}),
            width=12,
            height=6,
        ),
        series(
            "Probe gaps",
            "Seconds per second in which a probe should have sent and did not; counted when the gap closes. Runs that "
            "touch a gap are inconclusive.",
            Query(total(rate(own("probe_gap_seconds_total", _PROBE)), "probe"), "{{probe}}"),
            unit="percentunit",
            height=6,
        ),
        series(
            "Requests nobody saw the end of",
            "Lost requests: sent, but aiperf ended before it could say how. Not zero all the time: look at the service's "
            "log.",
            Query(total(rate(own("probe_requests_total", 'outcome="lost"', _PROBE)), "probe"), "{{probe}}"),
            unit="reqps",
            height=6,
        ),
        series(
            "Requests ended per second",
            "What reaches the monitor. It must follow the configured rate.",
            Query(total(rate(own("probe_requests_total", _PROBE)), "probe"), "{{probe}}"),
            unit="reqps",
            height=6,
        ),
    ]


def _store() -> list[Tile]:
    return [
        series(
            "Store: waiting and dropped records",
            "Waiting records go down to about zero four times a second. Dropped ones are gone for good.",
            Query(total(own("store_pending_records")), "waiting"),
            Query(total(grown(own("store_dropped_records_total"), RATE)), "dropped"),
            colours={"dropped": looks.BAD},
            width=8,
            height=6,
        ),
        series(
            "Store: refusals",
            "Reads and writes that the store refused, per second. A full disk or a lost database; new runs are refused "
            "meanwhile.",
            Query(total(rate(own("store_errors_total"))), "refused"),
            unit="ops",
            width=8,
            height=6,
        ),
        series(
            "OTLP: received and refused",
            "What the trace receiver takes and refuses per second. Refused by body size or token: see the senders' logs.",
            Query(total(rate(own("otlp_spans_received_total"))), "spans"),
            Query(total(rate(own("otlp_refused_total"))), "refused"),
            Query(total(rate(own("otlp_forward_dropped_total"))), "not forwarded"),
            unit="cps",
            width=8,
            height=6,
        ),
    ]


def _sources() -> list[Tile]:
    return [
        states(
            "Sources of measurement",
            "Whether Prometheus and the OTLP receiver answer. Down: the server or trace witness is absent, and runs rest "
            "on the client alone.",
            Query(f"min by (source) ({own('source_up')})", "{{source}}"),
            mappings=looks.words({"0": ("down", looks.BAD), "1": ("up", looks.GOOD)}),
            width=8,
            height=6,
            may_be_empty=True,
        ),
        series(
            "Errors of sources",
            "Why a source could not answer, per second.",
            Query(total(rate(own("source_errors_total")), "source", "reason"), "{{source}}: {{reason}}"),
            unit="ops",
            width=8,
            height=6,
            may_be_empty=True,
        ),
        bars(
            "Witnesses that were compared, 7 days",
            "Agree, disagree or not comparable, by pair. Many disagreements: one of the two is not measuring what you "
            "think; `aftershock runs show` gives figures and a likely reason.",
            Query(
                f"{total(grown(own('witness_comparisons_total'), WEEK), 'pair', 'status')} > 0", "{{pair}}: {{status}}"
            ),
            width=8,
            height=6,
            may_be_empty=True,
        ),
    ]


def _schedules() -> list[Tile]:
    return [
        table(
            "Schedules",
            "When each fires next. In the past, or nothing: the schedule does not run.",
            Query(f"(min by (schedule) ({own('schedule_next_run_timestamp_seconds')}) > 0) * 1000"),
            join="schedule",
            columns={"schedule": "schedule", "Value": "next"},
            overrides=[looks.column("next", unit="dateTimeFromNow")],
            sort="next",
            width=6,
            height=7,
            may_be_empty=True,
        ),
        bars(
            "Firings that started no run, in the range",
            "By the rule that refused. steady_state: the deployment was hurt before; busy and cooldown: too much is "
            "planned; missed: the service was down.",
            Query(
                f"{total(grown(own('schedule_skipped_total'), RANGE), 'schedule', 'reason')} > 0",
                "{{schedule}}: {{reason}}",
            ),
            steps=looks.steps(looks.CAREFUL),
            width=9,
            height=7,
            may_be_empty=True,
        ),
        bars(
            "Control runs, 7 days",
            "Runs that injected nothing. false_finding: they saw an impact all the same, which is the rate of false "
            "findings of every other figure here.",
            Query(f"{total(grown(own('control_runs_total'), WEEK), 'result')} > 0", "{{result}}"),
            width=9,
            height=7,
            may_be_empty=True,
        ),
    ]


def health() -> Board:
    """The monitor itself."""
    return Board(
        uid="aftershock-health",
        title="aftershock / Monitor health",
        about="Probes, store, sources, schedules and reverts of the monitor itself. Trust no figure while this is red.",
        rows=(
            Row("", _now()),
            Row("Probes", _probes()),
            Row("Store and receiver", _store()),
            Row("Witnesses", _sources()),
            Row("Schedules and control runs", _schedules()),
        ),
        variables=(*COMMON, PROBE),
        since="now-6h",
    )
