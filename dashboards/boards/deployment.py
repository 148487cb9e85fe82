"""The deployment as its users and its servers see it, with the fault regions over all of it."""

from __future__ import annotations

from dashboards import formulas, looks
from dashboards.layout import Board, Row
from dashboards.panels import Query, Tile, heatmap, series, states
from dashboards.promql import own, quantile, rate, server, total
from dashboards.variables import COMMON, PROBE, SERVER

_PROBE = 'probe=~"$probe"'
_GENERATE = 'dynamo_endpoint="generate"'
_ALIVE = total(rate(server("dynamo_frontend_requests_total")))


def _users() -> list[Tile]:
    errors = total(rate(own("probe_requests_total", _PROBE, 'error!=""')), "error")
    return [
        series(
            "Request rate, by probe",
            "Requests that ended per second. It must stay at the configured rate whatever the deployment does: a dip is "
            "requests that hang, or a probe gap.",
            Query(total(rate(own("probe_requests_total", _PROBE)), "probe"), "{{probe}}"),
            unit="reqps",
            width=8,
        ),
        series(
            "Share of bad requests, by probe",
            "Failed, truncated and slow of all requests. Outside of a purple region it should be flat at zero.",
            Query(formulas.bad_share("probe"), "{{probe}}"),
            unit="percentunit",
            steps=looks.steps(looks.GOOD, (formulas.STEADY_BAD_RATIO, looks.BAD)),
            width=8,
        ),
        series(
            "Bad requests by error class",
            "How they were bad. Refused or reset: nobody listens. stream_*: a worker died with the request. timeout: "
            "something hangs. slow_*: it works, badly. http_529: full.",
            Query(f"{errors} > 0", "{{error}}"),
            unit="reqps",
            colours=looks.ERRORS,
            bars=True,
            stacked=True,
            width=8,
            may_be_empty=True,
        ),
    ]


def _quantiles(title: str, name: str, about: str) -> Tile:
    buckets = own(f"{name}_bucket", _PROBE)
    shown = ((0.5, "p50", False), (0.9, "p90", False), (0.99, "p99", True))
    queries = [Query(quantile(q, buckets), legend, exemplar=exemplar) for q, legend, exemplar in shown]
    return series(title, about, *queries, unit="s", width=8)


def _latency() -> list[Tile]:
    return [
        _quantiles(
            "Time to first token",
            "probe_time_to_first_token_seconds",
            "Of the answers that began. p99 up and p50 flat: one instance is slow. Both up: all of them are.",
        ),
        _quantiles(
            "Time between tokens",
            "probe_inter_token_latency_seconds",
            "Mean of a request. It rises when fewer workers carry the same load.",
        ),
        _quantiles(
            "Whole request",
            "probe_request_duration_seconds",
            "Of requests answered in full; those that failed are in the panels above and not in here.",
        ),
        heatmap(
            "Whole request, distribution",
            "Rows are buckets of duration. A second cloud above the usual band is requests that waited for a timeout or "
            "were migrated. Dots are exemplars: a click opens the trace.",
            Query(total(rate(own("probe_request_duration_seconds_bucket", _PROBE)), "le"), exemplar=True),
        ),
        series(
            "In flight and overdue",
            "Requests without an end yet. Overdue ones rise at once when something hangs, long before they time out.",
            Query(total(own("probe_in_flight", _PROBE), "probe"), "{{probe}} in flight"),
            Query(total(own("probe_overdue", _PROBE), "probe"), "{{probe}} overdue"),
        ),
    ]


def _instances() -> list[Tile]:
    return [
        states(
            "Scraped instances",
            "Whether Prometheus reaches each instance. Down inside a purple region is the fault; down outside of one is a "
            "crash.",
            Query(f"max by (job, instance) ({server('up')})", "{{job}} {{instance}}"),
            mappings=looks.words({"0": ("down", looks.BAD), "1": ("up", looks.GOOD)}),
            width=12,
        ),
        series(
            "Uptime of instances",
            "A saw tooth is a restart. An instance that starts again and again never becomes a line.",
            Query(f"max by (instance) ({server('dynamo_component_uptime_seconds')})", "{{instance}}"),
            unit="s",
            height=7,
            may_be_empty=True,
        ),
        series(
            "Requests per worker",
            "How the load is dealt out. After a kill the others must take it over; after recovery it must even out again.",
            Query(total(rate(server("dynamo_component_requests_total", _GENERATE)), "instance"), "{{instance}}"),
            unit="reqps",
            width=8,
            may_be_empty=True,
        ),
        series(
            "Requests inside each worker",
            "Flat and not zero while others move: that worker is stalled.",
            Query(total(server("dynamo_component_inflight_requests", _GENERATE), "instance"), "{{instance}}"),
            width=8,
            may_be_empty=True,
        ),
        series(
            "KV cache in use",
            "Share of the blocks of each worker. Near 100 % requests are preempted or wait, and latency rises first.",
            Query(
                f"max by (instance) ({server('vllm:kv_cache_usage_perc')} or {server('vllm:gpu_cache_usage_perc')} "
                f"or {server('sglang:token_usage')})",
                "{{instance}}",
            ),
            unit="percentunit",
            steps=looks.steps(looks.GOOD, (0.9, looks.CAREFUL)),
            width=8,
            may_be_empty=True,
        ),
    ]


def _zeroed(name: str) -> str:
    """A Dynamo counter that appears with its first event: zero while the frontend is scraped, absent when it is not."""
    return f"{total(rate(server(name)))} or (0 * {_ALIVE})"


def _frontend_ends() -> list[Tile]:
    ended = total(rate(server("dynamo_frontend_requests_total")), "status", "error_type")
    return [
        series(
            "Frontend: requests by end",
            "In Dynamo's own words. internal and response_timeout are the deployment's fault; cancelled and validation "
            "are the caller's.",
            Query(ended, "{{status}} {{error_type}}"),
            unit="reqps",
            colours=looks.ENDS,
            bars=True,
            stacked=True,
            width=8,
            may_be_empty=True,
        ),
        series(
            "Frontend: migrations",
            "Requests that were sent to another worker, per attempt. None during a worker kill though migration is on: "
            "requests die instead of moving.",
            Query(total(rate(server("dynamo_frontend_model_migration_total")), "migration_type"), "{{migration_type}}"),
            Query(_zeroed("dynamo_frontend_model_migration_total"), "all"),
            unit="reqps",
            width=8,
            may_be_empty=True,
        ),
        series(
            "Frontend: cancellations and rejections",
            "Cancellations: the client gave up. Rejections: no worker would take it (HTTP 529). Both in one hill: the "
            "deployment is too small for what is left of it.",
            Query(_zeroed("dynamo_frontend_model_cancellation_total"), "cancellations"),
            Query(_zeroed("dynamo_frontend_model_rejection_total"), "rejections"),
            unit="reqps",
            width=8,
            may_be_empty=True,
        ),
    ]


def _frontend_waits() -> list[Tile]:
    active = f"sum({server('dynamo_frontend_active_requests')} or {server('dynamo_frontend_inflight_requests')})"
    return [
        series(
            "Queues",
            "Requests that wait: for a first token in the frontend, in a worker's queue, in the engine. A queue that does "
            "not drain after recovery is the next outage.",
            Query(total(server("dynamo_frontend_queued_requests")), "frontend, no first token yet"),
            Query(total(server("dynamo_frontend_router_queue_pending_requests")), "router"),
            Query(total(server("dynamo_work_handler_queue_depth")), "worker queues"),
            Query(total(server("vllm:num_requests_waiting")), "engine"),
            width=8,
            may_be_empty=True,
        ),
        series(
            "Frontend: in flight",
            "Requests inside the frontend. Rising without end: answers stop coming.",
            Query(active, "in flight"),
            width=8,
            may_be_empty=True,
        ),
        series(
            "Frontend: time to first token",
            "Its own view. Much shorter than the users': they wait before the frontend.",
            Query(quantile(0.5, server("dynamo_frontend_time_to_first_token_seconds_bucket")), "p50"),
            Query(quantile(0.99, server("dynamo_frontend_time_to_first_token_seconds_bucket")), "p99"),
            unit="s",
            width=8,
            may_be_empty=True,
        ),
    ]


def deployment() -> Board:
    """The deployment under test."""
    return Board(
        uid="aftershock-deployment",
        title="aftershock / Deployment",
        about="Users' view above, servers' view below, faults as purple regions over all of it.",
        rows=(
            Row("What users feel", _users()),
            Row("Latency", _latency()),
            Row("Instances", _instances()),
            Row("Dynamo frontend", [*_frontend_ends(), *_frontend_waits()]),
        ),
        variables=(*COMMON, PROBE, SERVER),
        since="now-3h",
    )
