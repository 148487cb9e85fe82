"""Every metric of the service, declared once: what is registered, documented and tested is made from this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from probes.record import ErrorClass, Outcome


class Kind(StrEnum):
    """How values combine."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
RECOVERY_BUCKETS = (
    *(0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30),
    *(40, 50, 60, 75, 90, 120, 150, 180, 240, 300, 420, 600),
)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. `unit` is UCUM; the exporter would append it to a name that does not end with it, so names do."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()


def _counter(name: str, text: str, *labels: str, unit: str = "") -> MetricSpec:
    return MetricSpec(f"aftershock_{name}", Kind.COUNTER, text, labels, unit)


def _gauge(name: str, text: str, *labels: str, unit: str = "") -> MetricSpec:
    return MetricSpec(f"aftershock_{name}", Kind.GAUGE, text, labels, unit)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> MetricSpec:
    return MetricSpec(f"aftershock_{name}", Kind.HISTOGRAM, text, labels, "s", tuple(float(b) for b in buckets))


PROBE_REQUESTS = _counter(
    "probe_requests_total", "Requests that ended, by outcome and error class.", "probe", "outcome", "error"
)
PROBE_DURATION = _histogram(
    "probe_request_duration_seconds", "Time from start to end of requests answered in full.", DURATION_BUCKETS, "probe"
)
PROBE_TTFT = _histogram(
    "probe_time_to_first_token_seconds", "Time to the first token, where one came.", DURATION_BUCKETS, "probe"
)
PROBE_ITL = _histogram(
    "probe_inter_token_latency_seconds",
    "Mean time between tokens of requests answered in full.",
    TOKEN_BUCKETS,
    "probe",
)
PROBE_UP = _gauge("probe_up", "1 while the probe starts requests on time.", "probe")
PROBE_IN_FLIGHT = _gauge("probe_in_flight", "Requests that were sent and have not ended.", "probe")
PROBE_OVERDUE = _gauge("probe_overdue", "Requests in flight for longer than overdue_seconds.", "probe")
PROBE_GAP = _counter(
    "probe_gap_seconds_total", "Time in which a probe sent nothing though it should have.", "probe", unit="s"
)
FAULT_ACTIVE = _gauge("fault_active", "1 from injection until the fault is put back, else 0.", "fault", "component")
FAULT_RUNS = _counter("fault_runs_total", "Runs that ended, by verdict.", "fault", "verdict")
FAULT_RECOVERY = _histogram(
    "fault_recovery_seconds",
    "Time from effect to recovery, as a witness saw it; runs that never recovered are in fault_runs_total only.",
    RECOVERY_BUCKETS,
    "fault",
    "witness",
)
FAULT_ERROR_WINDOW = _histogram(
    "fault_error_window_seconds",
    "Time from impact to recovery, as a witness saw it; runs that never recovered are in fault_runs_total only.",
    RECOVERY_BUCKETS,
    "fault",
    "witness",
)
FAULT_FAILED = _counter("fault_failed_requests_total", "Failed and truncated requests of runs.", "fault")
FAULT_LAST = _gauge(
    "fault_last_timestamp_seconds", "When a run last entered a phase; 0 for never.", "fault", "phase", unit="s"
)
FAULT_DEADLINE = _gauge(
    "fault_deadline_timestamp_seconds",
    "When the fault that acts must have ended by itself; 0 while none with a duration acts.",
    "fault",
    unit="s",
)
FAULT_VERDICT = _gauge(
    "fault_last_verdict", "1 for the verdict of the last run that was not skipped, else 0.", "fault", "verdict"
)
FAULT_LIMIT = _gauge(
    "fault_objective_limit",
    "Limit of an objective, in the unit that its name says; absent for what is not judged.",
    "fault",
    "objective",
)
FAULT_MET = _gauge(
    "fault_objective_met",
    "1 if the last judged run met the objective, else 0; absent until one was judged.",
    "fault",
    "objective",
)
REVERTS_STUCK = _gauge("reverts_stuck", "Runs that are over and whose fault could not be put back yet.")
SLO_OBJECTIVE = _gauge("slo_objective_ratio", "Share of requests that shall be good.")
SCHEDULE_NEXT = _gauge(
    "schedule_next_run_timestamp_seconds", "When a schedule fires next; 0 for never.", "schedule", unit="s"
)
SCHEDULE_SKIPPED = _counter("schedule_skipped_total", "Firings that started no run.", "schedule", "reason")
INCIDENTS = _counter("incidents_total", "Error windows that began with no run active.")
INCIDENT_ACTIVE = _gauge("incident_active", "1 during an incident.")
INCIDENT_SECONDS = _counter("incident_seconds_total", "Length of incidents that ended.", unit="s")
CONTROL_RUNS = _counter(
    "control_runs_total", "Control runs that ended: clean, or telling of harm where none was done.", "result"
)
COMPARISONS = _counter(
    "witness_comparisons_total",
    "Runs by whether two witnesses agreed; disagree if they did not in any figure.",
    "pair",
    "status",
)
STOPPED = _gauge("stopped", "1 while the emergency stop holds.")
LEADER = _gauge(
    "leader", "1 if this process probes and runs the schedules, 0 while it stands by for the one that does."
)
STORE_ERRORS = _counter("store_errors_total", "Reads and writes that the store refused.")
STORE_DROPPED = _counter("store_dropped_records_total", "Records given up because the store refused for too long.")
STORE_PENDING = _gauge("store_pending_records", "Records that were counted and are not stored yet.")
SOURCE_UP = _gauge("source_up", "1 if a source of measurement answers.", "source")
SOURCE_ERRORS = _counter(
    "source_errors_total",
    "Answers of a source that could not be used; a run's witness is inconclusive then.",
    "source",
    "reason",
)
OTLP_SPANS = _counter("otlp_spans_received_total", "Spans in OTLP requests that were taken.")
OTLP_LOGS = _counter("otlp_logs_received_total", "Log records in OTLP requests that were taken; they are not kept.")
OTLP_REFUSED = _counter("otlp_refused_total", "OTLP requests that were not taken.", "reason")
OTLP_ODD = _counter(
    "otlp_odd_spans_total",
    "Received spans that were left out (duplicate, invalid, overflow) or kept with a mark (clock).",
    "reason",
)
OTLP_FORWARD_DROPPED = _counter(
    "otlp_forward_dropped_total",
    "Spans and log records that were not forwarded: the queue was full, or refused upstream.",
)
NOTIFICATIONS = _counter(
    "notifications_total", "Notifications of finished runs, by what became of them.", "receiver", "result"
)
BUILD_INFO = _gauge("build_info", "Always 1.", "version", "deployment")

METRICS: tuple[MetricSpec, ...] = (
    *(PROBE_REQUESTS, PROBE_DURATION, PROBE_TTFT, PROBE_ITL, PROBE_UP, PROBE_IN_FLIGHT, PROBE_OVERDUE, PROBE_GAP),
    *(FAULT_ACTIVE, FAULT_RUNS, FAULT_RECOVERY, FAULT_ERROR_WINDOW, FAULT_FAILED, FAULT_LAST, FAULT_MET),
    *(FAULT_DEADLINE, FAULT_VERDICT, FAULT_LIMIT, REVERTS_STUCK, SLO_OBJECTIVE, STORE_PENDING),
    *(SCHEDULE_NEXT, SCHEDULE_SKIPPED, INCIDENTS, INCIDENT_SECONDS, INCIDENT_ACTIVE, STOPPED, LEADER),
    *(CONTROL_RUNS, COMPARISONS, SOURCE_ERRORS),
    *(STORE_ERRORS, STORE_DROPPED, SOURCE_UP, NOTIFICATIONS, BUILD_INFO),
    *(OTLP_SPANS, OTLP_LOGS, OTLP_REFUSED, OTLP_ODD, OTLP_FORWARD_DROPPED),
)

_SLOW = (ErrorClass.SLOW_FIRST_TOKEN, ErrorClass.SLOW_GAP, ErrorClass.SLOW_TOTAL)
_NOT_A_FAILURE = frozenset({ErrorClass.NONE, ErrorClass.LOST, *_SLOW})
_CUT = (
    *(ErrorClass.STREAM_ERROR, ErrorClass.STREAM_CUT, ErrorClass.STREAM_NO_DONE, ErrorClass.STREAM_NO_FINISH),
    *(ErrorClass.STREAM_NO_USAGE, ErrorClass.STREAM_EMPTY, ErrorClass.WRONG_LENGTH, ErrorClass.INVALID_RESPONSE),
    *(ErrorClass.CONNECTION_RESET, ErrorClass.SERVER_DISCONNECTED, ErrorClass.TIMEOUT, ErrorClass.OTHER),
)

OUTCOME_ERRORS: tuple[tuple[Outcome, ErrorClass], ...] = (
    (Outcome.GOOD, ErrorClass.NONE),
    *((Outcome.SLOW, error) for error in _SLOW),
    *((Outcome.FAILED, error) for error in ErrorClass if error not in _NOT_A_FAILURE),
    *((Outcome.TRUNCATED, error) for error in _CUT),
    (Outcome.LOST, ErrorClass.LOST),
)
"""Label sets that make sense and so start at 0; any other appears when it happens."""
