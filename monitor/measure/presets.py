"""Which counters a server keeps of its requests, as data: one preset for each kind of server.

Names are alternatives, the newest first; per scrape target the first one that exists is used. Only raw
counters are asked for, never `rate()`: a labelled series that appears with its first error has no
earlier sample for `rate()` to start from, so the first burst of errors would be missed in whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

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
class Preset:
    """What to ask Prometheus about one kind of server."""

    finished: Finished
    started: tuple[str, ...] = ()
    """Counters of requests that began."""
    latency: tuple[str, ...] = ()
    """Base names of histograms of whole-request durations, in seconds."""
    in_flight: tuple[str, ...] = ()
    """Gauges."""
    events: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Counters worth a note, by what they count."""
    blind: str = ""
    """What these counters do not show."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric name that is asked for."""
        latency = [f"{base}_{part}" for base in self.latency for part in ("sum", "count")]
        events = [name for names in self.events.values() for name in names]
        return tuple(sorted({*self.finished.names, *self.started, *latency, *self.in_flight, *events}))


DYNAMO = Preset(
    finished=Finished(
        names=("dynamo_frontend_requests_total", "nv_llm_http_service_requests_total"),
        status="status",
        good="success",
        caller="cancelled|validation|not_found",
        kind="error_type",
    ),
    started=("dynamo_frontend_requests_started_total",),
    latency=("dynamo_frontend_request_duration_seconds", "nv_llm_http_service_request_duration_seconds"),
    in_flight=(
        "dynamo_frontend_active_requests",
        "dynamo_frontend_inflight_requests",
        "nv_llm_http_service_inflight_requests",
    ),
    events={
        "migration attempts": ("dynamo_frontend_model_migration_total",),
        "rejections": ("dynamo_frontend_model_rejection_total",),
        "cancellations": ("dynamo_frontend_model_cancellation_total",),
    },
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
    ),
    latency=("vllm:e2e_request_latency_seconds",),
    in_flight=("vllm:num_requests_running",),
    events={"preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions")},
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
    ),
    started=("sglang:http_requests_total",),
    latency=("sglang:e2e_request_latency_seconds",),
    in_flight=("sglang:num_running_reqs",),
    events={"aborts": ("sglang:num_aborted_requests_total",)},
    blind="a stream that breaks after its status 200 is counted as good, and connections refused are not counted",
)

PRESETS: Mapping[str, Preset] = {"dynamo": DYNAMO, "vllm": VLLM, "sglang": SGLANG}
