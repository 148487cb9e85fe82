"""The service's own metrics, through the OpenTelemetry SDK: scraped at /metrics, pushed by OTLP when OTEL_* asks.

One registry an instance; nothing global. Every known label set starts at 0, so that the first event is
a change that a rate sees. Labels come from closed lists: no run id, no request id, no error text.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from monitor.export import metric_names as names
from monitor.export import zeros
from monitor.export.exemplars import Exemplars
from monitor.export.exposition import ZeroedCollector
from monitor.export.metric_names import METRICS, Kind, MetricSpec
from monitor.export.otlp import metric_push, resource
from monitor.figures import ServiceFigures
from monitor.measure.compare import by_pair
from monitor.measure.controls import control_result
from monitor.model import Incident, Phase, Run, Verdict, WitnessReport
from probes.record import Gap, Outcome, Record

SHUTDOWN_MILLISECONDS = 2_000
_RUNS_REMEMBERED = 1_000
_ACTING = frozenset({Phase.INJECTED, Phase.EFFECTIVE})


class Metrics:
    """Typed methods for everything that is counted. Safe to call from any thread.

    `faults` may map each fault to the component that it breaks, so that its `fault_active` starts at 0.
    `trace_ratios` is the share of each probe's requests that is traced: these become exemplars.
    `objectives` maps a fault to the limits that are set for it, `good_ratio` is the share of good requests to keep.
    """

    def __init__(
        self,
        *,
        deployment: str,
        probes: Sequence[str] = (),
        faults: Iterable[str] | Mapping[str, str] = (),
        schedules: Sequence[str] = (),
        sources: Sequence[str] = (),
        trace_ratios: Mapping[str, float] | None = None,
        objectives: Mapping[str, Mapping[str, float]] | None = None,
        good_ratio: float | None = None,
        receivers: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        registry = CollectorRegistry(auto_describe=False)
        readers: list[MetricReader] = [
            PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
        ]
        push = metric_push(os.environ if env is None else env)
        if push is not None:
            readers.append(push)
        self._provider = MeterProvider(readers, resource(deployment), shutdown_on_exit=False)
        self._instruments = _register(self._provider)
        self._lock = threading.Lock()
        self._ended: deque[str] = deque(maxlen=_RUNS_REMEMBERED)
        self._incident_start: int | None = None
        components = dict(faults) if isinstance(faults, Mapping) else dict.fromkeys(faults, "")
        self._exemplars = Exemplars(trace_ratios or {})
        self._collector = ZeroedCollector(registry, zeros.histograms(probes, components), self._exemplars)
        self._start(
            deployment, [*zeros.label_sets(probes, components, schedules, sources), *zeros.notifications(receivers)]
        )
        self._tell_limits(objectives or {}, good_ratio)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page in the format that the Accept header asks for, and its content type; OpenMetrics has exemplars."""
        encode, content_type = choose_encoder(accept)
        return encode(self._collector), content_type

    def shutdown(self) -> None:
        """Push what is pending, for at most two seconds."""
        self._provider.shutdown(timeout_millis=SHUTDOWN_MILLISECONDS)

    # --- probes -----------------------------------------------------------------------------

    def record_request(self, record: Record) -> None:
        """Count one finished request."""
        probe = record.probe
        self._exemplars.saw(record)
        self._add(names.PROBE_REQUESTS, 1, probe=probe, outcome=record.outcome.value, error=record.error.value)
        if record.ttft_ns is not None:
            self._observe(names.PROBE_TTFT, record.ttft_ns / 1e9, probe=probe)
        if record.outcome not in {Outcome.GOOD, Outcome.SLOW}:
            return
        self._observe(names.PROBE_DURATION, max(0, record.end_ns - record.start_ns) / 1e9, probe=probe)
        if record.inter_token_ns is not None:
            self._observe(names.PROBE_ITL, record.inter_token_ns / 1e9, probe=probe)

    def set_probe(self, status: Mapping[str, Any]) -> None:
        """Take over `name`, `up`, `in_flight` and `overdue` of a probe's status."""
        probe = str(status["name"])
        self._set(names.PROBE_UP, int(bool(status["up"])), probe=probe)
        self._set(names.PROBE_IN_FLIGHT, int(status.get("in_flight", 0)), probe=probe)
        self._set(names.PROBE_OVERDUE, int(status.get("overdue", 0)), probe=probe)

    def gap(self, gap: Gap) -> None:
        """Count a gap's length when it closes."""
        if gap.end_ns is not None:
            self._add(names.PROBE_GAP, max(0, gap.end_ns - gap.start_ns) / 1e9, probe=gap.probe)

    # --- runs -------------------------------------------------------------------------------

    def run_changed(self, run: Run) -> None:
        """Take over a run's newest transition. A finished run is counted once, however often it is told."""
        self._set_phase(run)
        self._set_active(run)
        if run.phase is not Phase.FINISHED or run.verdict is None:
            return
        with self._lock:
            if run.id in self._ended:
                return
            self._ended.append(run.id)
        self._add(names.FAULT_RUNS, 1, fault=run.fault_name, verdict=run.verdict.value)
        for pair, status in by_pair(run.comparisons).items():
            self._add(names.COMPARISONS, 1, pair=pair, status=status)
        control = control_result(run)
        if control is not None:
            self._add(names.CONTROL_RUNS, 1, result=control.value)
        self._set_verdict(run)
        for report in run.witnesses:
            if report.probe is None:
                self._witness(run.fault_name, report)
        self._set_objectives(run)

    def _set_objectives(self, run: Run) -> None:
        for result in run.objective_results:
            if result.met is not None:
                self._set(names.FAULT_MET, int(result.met), fault=run.fault_name, objective=result.objective)

    def _set_phase(self, run: Run) -> None:
        if run.verdict is Verdict.SKIPPED:  # a refusal is no run: it must not hide when the last one was
            return
        for transition in run.transitions[-1:]:
            self._set(names.FAULT_LAST, transition.at_ns / 1e9, fault=run.fault_name, phase=transition.phase.value)

    def _set_verdict(self, run: Run) -> None:
        if run.verdict is Verdict.SKIPPED:
            return
        for verdict in Verdict:
            self._set(names.FAULT_VERDICT, int(verdict is run.verdict), fault=run.fault_name, verdict=verdict.value)

    def _set_active(self, run: Run) -> None:
        """A fault whose revert failed stays active: it may still be acting."""
        acting = run.phase in _ACTING or (run.phase is Phase.FINISHED and run.receipt_open)
        for component in {i.component for i in run.instances} or {""}:
            self._set(names.FAULT_ACTIVE, int(acting), fault=run.fault_name, component=component)
        self._set(names.FAULT_DEADLINE, _deadline(run) if acting else 0, fault=run.fault_name)

    def _witness(self, fault: str, report: WitnessReport) -> None:
        if report.witness == "client" and report.failed_requests:
            self._add(names.FAULT_FAILED, report.failed_requests, fault=fault)
        if report.status != "ok" or report.censored:
            return
        labels = {"fault": fault, "witness": report.witness}
        if report.recovery_from_effect_seconds is not None:
            self._observe(names.FAULT_RECOVERY, max(0.0, report.recovery_from_effect_seconds), **labels)
        if report.error_window_seconds is not None:
            self._observe(names.FAULT_ERROR_WINDOW, report.error_window_seconds, **labels)

    # --- the service itself -----------------------------------------------------------------

    def set_next(self, instants: Mapping[str, int | None]) -> None:
        """When each schedule fires next (UTC nanoseconds)."""
        for schedule, at_ns in instants.items():
            self._set(names.SCHEDULE_NEXT, (at_ns or 0) / 1e9, schedule=schedule)

    def schedule_skipped(self, schedule: str, reason: str) -> None:
        """A firing started no run; `reason` is from a closed list."""
        self._add(names.SCHEDULE_SKIPPED, 1, schedule=schedule, reason=str(reason))

    def incident(self, incident: Incident) -> None:
        """An incident opened or closed."""
        with self._lock:
            fresh = incident.start_ns != self._incident_start
            self._incident_start = incident.start_ns
        if fresh:
            self._add(names.INCIDENTS, 1)
        if incident.end_ns is not None:
            self._add(names.INCIDENT_SECONDS, max(0, incident.end_ns - incident.start_ns) / 1e9)
        self._set(names.INCIDENT_ACTIVE, int(incident.end_ns is None))

    def restore(self, figures: ServiceFigures) -> None:
        """Go on counting where the store says that an earlier process of this service ended. Call once, at the start."""
        for result, count in figures.controls.items():
            self._add(names.CONTROL_RUNS, count, result=result.value)
        for run in figures.last_runs:
            self._recall(run)
        self._add(names.INCIDENTS, figures.incidents)
        self._add(names.INCIDENT_SECONDS, figures.closed_ns / 1e9)
        last = figures.last
        if last is not None and last.end_ns is None:
            self._incident_start = last.start_ns
            self._set(names.INCIDENT_ACTIVE, 1)

    def _recall(self, run: Run) -> None:
        """What the gauges said of a fault's last run; it was counted when it ended."""
        for end in range(1, len(run.transitions) + 1):
            self._set_phase(run.model_copy(update={"transitions": run.transitions[:end]}))
        self._set_verdict(run)
        self._set_objectives(run)

    def set_stuck(self, count: int) -> None:
        """How many runs are over and wait to be put back."""
        self._set(names.REVERTS_STUCK, count)

    def notified(self, receiver: str, result: str) -> None:
        """What became of a notification; `result` is from a closed list."""
        self._add(names.NOTIFICATIONS, 1, receiver=receiver, result=result)

    def set_stopped(self, stopped: bool) -> None:
        self._set(names.STOPPED, int(stopped))

    def set_leader(self, leads: bool) -> None:
        """Whether this process probes and injects; true unless said."""
        self._set(names.LEADER, int(leads))

    def source_up(self, source: str, up: bool) -> None:
        """Whether a source of measurement answers."""
        self._set(names.SOURCE_UP, int(up), source=source)

    def source_error(self, source: str, reason: str) -> None:
        """An answer of a source was of no use; `reason` is from a closed list."""
        self._add(names.SOURCE_ERRORS, 1, source=source, reason=reason)

    def store_error(self) -> None:
        """The store refused once."""
        self._add(names.STORE_ERRORS, 1)

    def store_pending(self, count: int) -> None:
        """How many records wait to be stored."""
        self._set(names.STORE_PENDING, count)

    def store_dropped(self, count: int) -> None:
        """Records were given up."""
        self._add(names.STORE_DROPPED, count)

    # --- the OTLP receiver ------------------------------------------------------------------

    def otlp_spans(self, count: int) -> None:
        """Spans were taken."""
        self._add(names.OTLP_SPANS, count)

    def otlp_logs(self, count: int) -> None:
        """Log records were taken."""
        self._add(names.OTLP_LOGS, count)

    def otlp_refused(self, reason: str) -> None:
        """A request was refused; `reason` is from a closed list."""
        self._add(names.OTLP_REFUSED, 1, reason=reason)

    def otlp_odd_spans(self, oddity: str, count: int) -> None:
        """Spans were left out or marked; `oddity` is from a closed list."""
        self._add(names.OTLP_ODD, count, reason=oddity)

    def otlp_forward_dropped(self, count: int) -> None:
        """Spans or log records were not forwarded."""
        self._add(names.OTLP_FORWARD_DROPPED, count)

    # --- inside -----------------------------------------------------------------------------

    def _add(self, metric: MetricSpec, amount: float, **labels: str) -> None:
        self._instruments[metric.name].add(amount, labels)

    def _set(self, metric: MetricSpec, value: float, **labels: str) -> None:
        self._instruments[metric.name].set(value, labels)

    def _observe(self, metric: MetricSpec, value: float, **labels: str) -> None:
        self._instruments[metric.name].record(value, labels)

    def _start(self, deployment: str, label_sets: Iterable[tuple[MetricSpec, Mapping[str, str]]]) -> None:
        self._set(names.BUILD_INFO, 1, version=version("aftershock"), deployment=deployment)
        self._set(names.LEADER, 1)
        for metric, labels in label_sets:
            (self._add if metric.kind is Kind.COUNTER else self._set)(metric, 0, **labels)

    def _tell_limits(self, objectives: Mapping[str, Mapping[str, float]], good_ratio: float | None) -> None:
        for fault, limits in objectives.items():
            for objective, limit in limits.items():
                self._set(names.FAULT_LIMIT, limit, fault=fault, objective=objective)
        if good_ratio is not None:
            self._set(names.SLO_OBJECTIVE, good_ratio)


def _deadline(run: Run) -> float:
    """UTC seconds at which the fault must have ended by itself; 0 for a fault that acts in an instant."""
    duration = run.fault.get("duration_seconds")
    if run.receipt is None or not isinstance(duration, int | float) or duration <= 0:
        return 0.0
    return run.receipt.planned_ns / 1e9 + duration


def _register(provider: MeterProvider) -> dict[str, Any]:
    meter = provider.get_meter("aftershock")
    made: dict[str, Any] = {}
    for metric in METRICS:
        if metric.kind is Kind.COUNTER:
            made[metric.name] = meter.create_counter(metric.name, metric.unit, metric.help)
        elif metric.kind is Kind.GAUGE:
            made[metric.name] = meter.create_gauge(metric.name, metric.unit, metric.help)
        else:
            made[metric.name] = meter.create_histogram(
                metric.name, metric.unit, metric.help, explicit_bucket_boundaries_advisory=metric.buckets
            )
    return made
