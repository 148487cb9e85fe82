"""Every label set that can be known before its first event, so that the first event is a change that a rate sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.export import metric_names as names
from monitor.export.metric_names import OUTCOME_ERRORS, MetricSpec
from monitor.measure.compare import PAIRS, STATUSES
from monitor.measure.controls import ControlResult
from monitor.measure.prometheus import Trouble
from monitor.model import Phase, Verdict
from monitor.notify.notifier import Result
from monitor.run.guard import Rule
from monitor.trace.refusal import Oddity, Reason

LabelSet = tuple[MetricSpec, Mapping[str, str]]
WITNESSES = ("client", "server", "trace")


def label_sets(
    probes: Sequence[str], components: Mapping[str, str], schedules: Sequence[str], sources: Sequence[str]
) -> Iterator[LabelSet]:
    """Of counters and gauges; `components` maps each fault to what it breaks."""
    for metric in (names.INCIDENT_ACTIVE, names.STOPPED, names.INCIDENTS, names.INCIDENT_SECONDS):
        yield metric, {}
    for metric in (names.STORE_ERRORS, names.STORE_DROPPED, names.STORE_PENDING, names.REVERTS_STUCK):
        yield metric, {}
    yield from _otlp()
    yield from _witnesses(sources)
    for probe in probes:
        yield from _probe(probe)
    for fault, component in components.items():
        yield from _fault(fault, component)
    for schedule in schedules:
        yield names.SCHEDULE_NEXT, {"schedule": schedule}
        for rule in Rule:
            yield names.SCHEDULE_SKIPPED, {"schedule": schedule, "reason": rule.value}


def notifications(receivers: Sequence[str]) -> Iterator[LabelSet]:
    """Of those who are told how runs ended."""
    for receiver in receivers:
        for result in Result:
            yield names.NOTIFICATIONS, {"receiver": receiver, "result": result.value}


def _otlp() -> Iterator[LabelSet]:
    for metric in (names.OTLP_SPANS, names.OTLP_LOGS, names.OTLP_FORWARD_DROPPED):
        yield metric, {}
    for reason in Reason:
        yield names.OTLP_REFUSED, {"reason": reason.value}
    for oddity in Oddity:
        yield names.OTLP_ODD, {"reason": oddity.value}


def _witnesses(sources: Sequence[str]) -> Iterator[LabelSet]:
    for source in sources:
        yield names.SOURCE_UP, {"source": source}
    for trouble in Trouble if "prometheus" in sources else ():
        yield names.SOURCE_ERRORS, {"source": "prometheus", "reason": trouble.value}
    for pair in PAIRS:
        for status in STATUSES:
            yield names.COMPARISONS, {"pair": pair, "status": status}
    for result in ControlResult:
        yield names.CONTROL_RUNS, {"result": result.value}


def _probe(probe: str) -> Iterator[LabelSet]:
    for metric in (names.PROBE_UP, names.PROBE_IN_FLIGHT, names.PROBE_OVERDUE, names.PROBE_GAP):
        yield metric, {"probe": probe}
    for outcome, error in OUTCOME_ERRORS:
        yield names.PROBE_REQUESTS, {"probe": probe, "outcome": outcome.value, "error": error.value}


def _fault(fault: str, component: str) -> Iterator[LabelSet]:
    yield names.FAULT_ACTIVE, {"fault": fault, "component": component}
    yield names.FAULT_FAILED, {"fault": fault}
    yield names.FAULT_DEADLINE, {"fault": fault}
    for verdict in Verdict:
        yield names.FAULT_VERDICT, {"fault": fault, "verdict": verdict.value}
        yield names.FAULT_RUNS, {"fault": fault, "verdict": verdict.value}
    for phase in Phase:
        yield names.FAULT_LAST, {"fault": fault, "phase": phase.value}


def histograms(probes: Sequence[str], components: Mapping[str, str]) -> dict[MetricSpec, list[Mapping[str, str]]]:
    """Of histograms."""
    by_probe: list[Mapping[str, str]] = [{"probe": p} for p in probes]
    by_fault: list[Mapping[str, str]] = [{"fault": f, "witness": w} for f in components for w in WITNESSES]
    of_probes = (names.PROBE_DURATION, names.PROBE_TTFT, names.PROBE_ITL)
    of_faults = (names.FAULT_RECOVERY, names.FAULT_ERROR_WINDOW)
    return dict.fromkeys(of_probes, by_probe) | dict.fromkeys(of_faults, by_fault)
