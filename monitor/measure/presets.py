"""Which counters a server keeps of its requests, as data: one preset for each kind of server.

Names are alternatives, the newest first; per scrape target the first one that exists is used. Only raw
counters are asked for, never `rate()`: a labelled series that appears with its first error has no
earlier sample for `rate()` to start from, so the first burst of errors would be missed in whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

GOOD, BAD, CALLER = "good", "bad", "caller"
"""How a request ended in the server's own word; CALLER: refused for what the caller did, or given up by it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Counters of finished requests, and how to read their labels."""

    names: tuple[str, ...]
    status: str
    """Label that says how it ended."""
    good: str
    """Regular expression of the status of a good answer."""
    caller: str
    """Regular expression of what is the caller's doing, in `kind`."""
    kind: str
    """Label that names the error."""
    path: tuple[str, ...] = ()
    """Labels, one of which holds the HTTP path; Prometheus renames a label that the target has as well."""
    paths: str = ""
    """Regular expression of the paths that count, where the counter has others too."""
    rejected: str = ""
    """Regular expression of what is a refusal for lack of room, in `kind`."""

    def counts(self, labels: Mapping[str, str]) -> bool:
        """Whether the series is about answers of the model at all."""
        held = [labels[name] for name in self.path if name in labels]
        return not self.paths or any(re.fullmatch(self.paths, path) for path in held)

    def ended(self, labels: Mapping[str, str]) -> str:
        """GOOD, BAD or CALLER."""
        if re.fullmatch(self.good, labels.get(self.status, "")):
            return GOOD
        return CALLER if re.fullmatch(self.caller, labels.get(self.kind, "")) else BAD


@dataclass(frozen=True, slots=True)
class Counter:
    """Counters of one thing; of the names the first that any target has is used, so that nothing is counted twice."""

    names: tuple[str, ...]
    split: str = ""
    """Label by which it is told apart."""
    label: str = ""
    """Only series count whose label of this name ..."""
    value: str = ""
    """... is this."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is told beside the errors. Empty names: this kind of server does not say it."""

    migrations: Counter = Counter(())
    cancellations: Counter = Counter(())
    rejections: Counter = Counter(())
    preemptions: Counter = Counter(())
    tokens: Counter = Counter(())
    """Tokens given out."""
    in_flight: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    kv_cache: tuple[str, ...] = ()
    """Gauges, 0 to 1."""
    workers: tuple[str, ...] = ()
    """What every worker has from its first moment on and what only a restart makes smaller."""
    worker_id: str = "worker_id"
    """Label that tells workers of one target apart, if there is one."""
    apart: bool = False
    """Who counts the requests is no worker, though it may have the same metrics."""

    @property
    def names(self) -> tuple[str, ...]:
        counters = (self.migrations, self.cancellations, self.rejections, self.preemptions, self.tokens)
        gauges = (*self.in_flight, *self.queue, *self.kv_cache, *self.workers)
        return (*(name for counter in counters for name in counter.names), *gauges)


@dataclass(frozen=True, slots=True)
class Preset:
    """What to ask Prometheus about one kind of server."""

    finished: Finished
    started: tuple[str, ...] = ()
    """Counters of requests that began."""
    latency: tuple[str, ...] = ()
    """Base names of histograms of whole-request durations, in seconds."""
    beside: Beside = Beside()
    blind: str = ""
    """What these counters do not show."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric name that is asked for."""
        latency = [f"{base}_{part}" for base in self.latency for part in ("sum", "count")]
        return tuple(sorted({*self.finished.names, *self.started, *latency, *self.beside.names}))


DYNAMO = Preset(
    finished=Finished(
        names=("dynamo_frontend_requests_total", "nv_llm_http_service_requests_total"),
        status="status",
        good="success",
        caller="cancelled|validation|not_found",
        kind="error_type",
        rejected="overload|unavailable",
    ),
    started=("dynamo_frontend_requests_started_total",),
    latency=("dynamo_frontend_request_duration_seconds", "nv_llm_http_service_request_duration_seconds"),
    beside=Beside(
        migrations=Counter(("dynamo_frontend_model_migration_total",), split="migration_type"),
        cancellations=Counter(("dynamo_frontend_model_cancellation_total",)),
        rejections=Counter(("dynamo_frontend_model_rejection_total",)),
        tokens=Counter(
            (
                "dynamo_frontend_output_tokens_total",
                "dynamo_frontend_output_sequence_tokens_sum",
                "nv_llm_http_service_output_sequence_tokens_sum",
            )
        ),
        in_flight=(
            "dynamo_frontend_active_requests",
            "dynamo_frontend_inflight_requests",
            "nv_llm_http_service_inflight_requests",
        ),
        # the frontend's own count is of requests without a first token; the engines' is of those without a slot
        queue=("dynamo_frontend_queued_requests", "vllm:num_requests_waiting", "sglang:num_queue_reqs"),
        kv_cache=(
            "dynamo_component_gpu_cache_usage_percent",
            "dynamo_component_kvstats_gpu_cache_usage_percent",
            "vllm:kv_cache_usage_perc",
            "vllm:gpu_cache_usage_perc",
            "sglang:token_usage",
        ),
        workers=("dynamo_component_uptime_seconds", "dynamo_component_requests_total"),
        apart=True,
    ),
    blind="the frontend does not count answers 503 (model not ready), 404 and 400, nor connections refused",
)

VLLM = Preset(
    finished=Finished(
        names=("http_requests_total",),
        status="status",
        good="2..|2xx",
        caller="4..|4xx",
        kind="status",
        path=("handler",),
        paths="/v1/(chat/)?completions",
        rejected="503|529",
    ),
    latency=("vllm:e2e_request_latency_seconds",),
    beside=Beside(
        cancellations=Counter(("vllm:request_success_total",), label="finished_reason", value="abort"),
        preemptions=Counter(("vllm:num_preemptions_total", "vllm:num_preemptions")),
        tokens=Counter(("vllm:generation_tokens_total", "vllm:generation_tokens")),
        in_flight=("vllm:num_requests_running",),
        queue=("vllm:num_requests_waiting",),
        kv_cache=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        workers=("vllm:generation_tokens_total", "vllm:generation_tokens"),
    ),
    blind="a stream that breaks after its status 200 is counted as good, and connections refused are not counted",
)

SGLANG = Preset(
    finished=Finished(
        names=("sglang:http_responses_total",),
        status="status_code",
        good="2..",
        caller="4..",
        kind="status_code",
        path=("exported_endpoint", "endpoint"),
        paths="/v1/(chat/)?completions|/generate",
        rejected="503|529",
    ),
    started=("sglang:http_requests_total",),
    latency=("sglang:e2e_request_latency_seconds",),
    beside=Beside(
        cancellations=Counter(("sglang:num_aborted_requests_total",)),
        tokens=Counter(("sglang:generation_tokens_total",)),
        in_flight=("sglang:num_running_reqs",),
        queue=("sglang:num_queue_reqs",),
        kv_cache=("sglang:token_usage",),
        workers=("sglang:generation_tokens_total",),
    ),
    blind="a stream that breaks after its status 200 is counted as good, and connections refused are not counted",
)

PRESETS: Mapping[str, Preset] = {"dynamo": DYNAMO, "vllm": VLLM, "sglang": SGLANG}
