"""Traces of the monitor's own work: one trace a run, one span a phase, at the instants of the run itself.

Made after the run has finished, so tracing cannot slow or fail a run; exported from a thread of its
own, by OTLP/HTTP, only when the standard OTEL_* variables ask. The trace id follows from the run id.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from itertools import pairwise

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.util.types import AttributeValue

from monitor.export.otlp import resource, wanted
from monitor.model import Run, Verdict

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 2.0
_RUNS_REMEMBERED = 1_000
_FAILED = frozenset({Verdict.NOT_RECOVERED, Verdict.REVERT_FAILED, Verdict.ABORTED, Verdict.NOT_INJECTED})


def trace_id_of(run_id: str) -> int:
    """The 128-bit trace id of a run: the first half of SHA-256 of its id."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16], "big") or 1


class RunTracer:
    """Exports finished runs. Without OTEL_* (and without an exporter given) it does nothing."""

    def __init__(self, exporter: SpanExporter | None = None, env: Mapping[str, str] | None = None) -> None:
        self._ids = _RunIds()
        self._provider: TracerProvider | None = None
        self._exported: deque[str] = deque(maxlen=_RUNS_REMEMBERED)
        self._lock = threading.Lock()
        chosen = exporter if exporter is not None else _otlp_exporter(os.environ if env is None else env)
        if chosen is not None:
            self._provider = TracerProvider(resource=resource(), shutdown_on_exit=False, id_generator=self._ids)
            self._provider.add_span_processor(BatchSpanProcessor(chosen))

    def export(self, run: Run) -> None:
        """Queue the spans of a finished run, once. Never blocks."""
        if self._provider is None:
            return
        with self._lock:
            if run.id in self._exported:
                return
            self._exported.append(run.id)
            self._ids.trace_id = trace_id_of(run.id)
            self._emit(run, self._provider.get_tracer("aftershock"))

    def flush(self) -> None:
        """Export what is queued, now; blocks."""
        if self._provider is not None:
            self._provider.force_flush()

    def shutdown(self) -> None:
        """Export what is queued, for at most two seconds; a collector that is gone cannot hold up the exit."""
        if self._provider is None:
            return
        ending = threading.Thread(target=self._provider.shutdown, name="aftershock-trace-end", daemon=True)
        ending.start()
        ending.join(SHUTDOWN_SECONDS)
        if ending.is_alive():
            log.warning("the trace collector did not answer within %g s; spans may be lost", SHUTDOWN_SECONDS)

    @staticmethod
    def _emit(run: Run, tracer: trace.Tracer) -> None:
        end_ns = run.t_finished or max((t.at_ns for t in run.transitions), default=run.t_requested)
        root = tracer.start_span(
            f"run {run.fault_name}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            start_time=run.t_requested,
            attributes=_attributes(run),
        )
        if run.verdict in _FAILED:
            root.set_status(trace.Status(trace.StatusCode.ERROR, run.reason))
        inside = trace.set_span_in_context(root)
        for phase, following in pairwise(run.transitions):
            attributes = {"aftershock.run.id": run.id, "aftershock.note": phase.note}
            span = tracer.start_span(phase.phase.value, context=inside, start_time=phase.at_ns, attributes=attributes)
            span.end(max(phase.at_ns, following.at_ns))
        for name, at_ns in _instants(run).items():
            root.add_event(name, timestamp=at_ns)
        root.end(max(run.t_requested, end_ns))


def _attributes(run: Run) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "aftershock.run.id": run.id,
        "aftershock.fault": run.fault_name,
        "aftershock.fault.kind": str(run.fault.get("kind", "")),
        "aftershock.deployment": run.deployment,
        "aftershock.requested_by": run.requested_by,
        "aftershock.verdict": run.verdict.value if run.verdict else "",
        "aftershock.instances": [i.name for i in run.instances],
    }
    if run.met is not None:
        found["aftershock.met"] = run.met
    if run.reason:
        found["aftershock.reason"] = run.reason
    return found


def _instants(run: Run) -> dict[str, int]:
    client = run.witness("client")
    named = {
        "inject": run.t_inject,
        "effect": run.t_effect,
        "effect ended": run.t_effect_ended,
        "impact": client.t_impact if client else None,
        "first good": client.t_first_good if client else None,
        "recovered": client.t_recovered if client else None,
        "reverted": run.t_reverted,
    }
    return {name: at_ns for name, at_ns in named.items() if at_ns is not None}


class _RunIds(RandomIdGenerator):
    """Random span ids; the trace id is set before each trace."""

    trace_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id


def _otlp_exporter(env: Mapping[str, str]) -> SpanExporter | None:
    if not wanted("TRACES", env):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - rarely needed

    return OTLPSpanExporter()
