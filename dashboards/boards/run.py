"""One fault: the phases of its runs, and what each witness saw, on one time axis."""

from __future__ import annotations

from dashboards import looks
from dashboards.annotations import RUN_ANNOTATIONS
from dashboards.layout import Board, Row
from dashboards.panels import Query, Tile, bars, heatmap, series, stat, states, table
from dashboards.promql import RATE, grown, mean, own, quantile, rate, server, total
from dashboards.variables import COMMON, ONE_FAULT, PROBE, SERVER

THIS = 'fault=~"$fault"'
IN_RANGE = "$__range"
_FRONTEND = server("dynamo_frontend_requests_total")
_ALIVE = total(rate(_FRONTEND))


def _verdict() -> list[Tile]:
    return [
        stat(
            "Last verdict",
            "How the last run of this fault ended. Recovered says that users were well again; whether fast enough is in "
            "'Objectives'.",
            Query(f"max by (verdict) ({own('fault_last_verdict', THIS)} == 1)", "{{verdict}}"),
            text="name",
            no_value="no run yet",
            overrides=looks.verdict_endings(),
            width=4,
            may_be_empty=True,
        ),
        stat(
            "Objectives",
            "Whether the last run that was judged stayed within its limits. An objective that nobody could judge is not "
            "here.",
            Query(f"min by (objective) ({own('fault_objective_met', THIS)})", "{{objective}}"),
            mappings=looks.words({"0": ("missed", looks.BAD), "1": ("met", looks.GOOD)}),
            steps=looks.ONE_IS_GOOD,
            no_value="none judged",
            width=6,
            may_be_empty=True,
        ),
        bars(
            "Recovery, by witness",
            "From effect to recovered; the mean of the runs in the range, so zoom to one run for its own figure. The "
            "witnesses should agree within a scrape interval; `aftershock runs show` explains a disagreement.",
            Query(mean("fault_recovery_seconds", IN_RANGE, "witness", matchers=(THIS,)), "{{witness}}"),
            unit="s",
            width=5,
            height=5,
            may_be_empty=True,
        ),
        bars(
            "Error window, by witness",
            "From the first bad request to recovered; the mean of the runs in the range. Longer than the recovery: "
            "requests in flight were hit before the fault was seen to act.",
            Query(mean("fault_error_window_seconds", IN_RANGE, "witness", matchers=(THIS,)), "{{witness}}"),
            unit="s",
            width=5,
            height=5,
            may_be_empty=True,
        ),
        stat(
            "Failed requests in the range",
            "Failed and truncated requests of this fault's runs in the range shown.",
            Query(total(grown(own("fault_failed_requests_total", THIS), IN_RANGE))),
            decimals=0,
            steps=looks.steps(looks.GOOD, (0.5, looks.CAREFUL)),
            width=4,
        ),
    ]


def _time() -> list[Tile]:
    stamps = f"max by (phase) ({own('fault_last_timestamp_seconds', THIS)}) > 0"
    return [
        states(
            "Acting",
            "When the fault acted, and whether an incident was open. The lines on every panel are the exact instants of "
            "the last run's phases.",
            Query(f"max by (fault) ({own('fault_active', THIS)})", "{{fault}}"),
            Query(f"max({own('incident_active')}) * 2", "incident"),
            mappings=looks.words(
                {"0": (" ", "transparent"), "1": ("acts", looks.ACTING), "2": ("incident", looks.BAD)}
            ),
            width=16,
            height=8,
        ),
        table(
            "Phases of the last run",
            "When the last run entered each phase. Injected to effective: how long it took until the fault was seen to "
            "act. Reverted to settled: the wait until users were well. Settled later than expected: see recovery.",
            Query(f"({stamps}) * 1000"),
            join="phase",
            columns={"phase": "phase", "Value": "entered"},
            overrides=[looks.column("entered", unit="dateTimeAsIso")],
            sort="entered",
            width=8,
            height=8,
            may_be_empty=True,
        ),
    ]


def _client() -> list[Tile]:
    errors = total(rate(own("probe_requests_total", 'probe=~"$probe"', 'error!=""')), "error")
    ttft = own("probe_time_to_first_token_seconds_bucket", 'probe=~"$probe"')
    return [
        series(
            "Client: requests by outcome",
            "What users got, per second. Read from the injection line to the right: the first colour that is not green is "
            "the impact, the last is before recovery.",
            Query(total(rate(own("probe_requests_total", 'probe=~"$probe"')), "outcome"), "{{outcome}}"),
            unit="reqps",
            bars=True,
            stacked=True,
            colours=looks.OUTCOMES,
        ),
        series(
            "Client: failures by error class",
            "How requests failed. Refused or reset connections: nobody listens. Cut streams: a worker died with the "
            "request. Timeouts: something hangs.",
            Query(f"{errors} > 0", "{{error}}"),
            unit="reqps",
            colours=looks.ERRORS,
            bars=True,
            stacked=True,
            may_be_empty=True,
        ),
        heatmap(
            "Client: time to first token",
            "Each column is a moment, each row a bucket of waiting time. A second cloud above the usual band is requests "
            "that waited for something to time out. Dots are exemplars: a click opens the trace.",
            Query(total(rate(ttft), "le"), exemplar=True),
        ),
        series(
            "Client: in flight and overdue",
            "Requests without an end. Overdue ones rise at once when something hangs, long before they time out.",
            Query(total(own("probe_in_flight", 'probe=~"$probe"')), "in flight"),
            Query(total(own("probe_overdue", 'probe=~"$probe"')), "overdue"),
            colours={"overdue": looks.BAD},
        ),
    ]


def _server() -> list[Tile]:
    ended = total(rate(_FRONTEND), "status", "error_type")
    migrated = total(rate(server("dynamo_frontend_model_migration_total")), "migration_type")
    given_up = total(rate(server("dynamo_frontend_model_cancellation_total")))
    refused = total(rate(server("dynamo_frontend_model_rejection_total")))
    return [
        series(
            "Server: requests by end",
            "What the frontend says of the same seconds. It does not count answers 503, 404 and 400, nor refused "
            "connections: failures that only the client shows are of that kind.",
            Query(ended, "{{status}} {{error_type}}"),
            unit="reqps",
            colours=looks.ENDS,
            bars=True,
            stacked=True,
            may_be_empty=True,
        ),
        series(
            "Server: migrations, cancellations, rejections",
            "Migrations are requests saved (or tried) by another worker; cancellations are clients that gave up; "
            "rejections are a full queue (529).",
            Query(migrated, "migration {{migration_type}}"),
            Query(f"{given_up} or (0 * {_ALIVE})", "cancellations"),
            Query(f"{refused} or (0 * {_ALIVE})", "rejections"),
            unit="reqps",
            may_be_empty=True,
        ),
        series(
            "Server: requests inside",
            "Requests in the frontend, and in each worker. A worker at zero while others rise is the one that is gone; one "
            "that stays flat is stalled.",
            Query(
                f"sum({server('dynamo_frontend_active_requests')} or {server('dynamo_frontend_inflight_requests')})",
                "frontend",
            ),
            Query(
                total(server("dynamo_component_inflight_requests", 'dynamo_endpoint="generate"'), "instance"),
                "{{instance}}",
            ),
            may_be_empty=True,
        ),
        series(
            "Server: time to first token",
            "The frontend's own view. Much shorter than the client's: the wait is before the frontend, in the network or "
            "in its listener.",
            Query(quantile(0.5, server("dynamo_frontend_time_to_first_token_seconds_bucket")), "p50"),
            Query(quantile(0.99, server("dynamo_frontend_time_to_first_token_seconds_bucket")), "p99"),
            unit="s",
            may_be_empty=True,
        ),
    ]


def _traces() -> list[Tile]:
    return [
        series(
            "Trace: spans received",
            "Spans per second from the deployment. A gap during a fault that is not in the client's figures is a source "
            "that is down, and makes the trace witness inconclusive.",
            Query(rate(own("otlp_spans_received_total"), RATE), "received"),
            Query(total(rate(own("otlp_odd_spans_total"))), "left out or marked"),
            unit="cps",
        ),
        series(
            "Witnesses compared",
            "Comparisons of two witnesses in runs, as a running total over the range. Disagreements are shown with their "
            "likely reason by `aftershock runs show`.",
            Query(total(grown(own("witness_comparisons_total"), IN_RANGE), "status"), "{{status}}"),
            colours={"agree": looks.GOOD, "disagree": looks.BAD, "not_compared": looks.UNKNOWN},
            may_be_empty=True,
        ),
    ]


def run() -> Board:
    """One fault, on one time axis."""
    return Board(
        uid="aftershock-run",
        title="aftershock / Run",
        about="One fault: phases of its last run, and client, server and trace witness below one another. "
        "Zoom in until one run fills the screen.",
        rows=(
            Row("", _verdict()),
            Row("", _time()),
            Row("Client witness", _client()),
            Row("Server witness (Dynamo)", _server()),
            Row("Trace witness and comparison", _traces()),
        ),
        variables=(*COMMON, ONE_FAULT, PROBE, SERVER),
        since="now-1h",
        refresh="10s",
        annotations=RUN_ANNOTATIONS,
    )
