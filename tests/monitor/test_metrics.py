"""The metrics page: names, labels, zeros, and what each event does to it. OTLP push against a real receiver."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from faults.base import Instance, Receipt
from monitor.export.metric_names import METRICS, OUTCOME_ERRORS, Kind
from monitor.export.metrics import Metrics
from monitor.measure.prometheus import Trouble
from monitor.model import Comparison, Incident, ObjectiveResult, Phase, Run, Transition, Verdict, WitnessReport
from probes.record import ErrorClass, Gap, Outcome
from tests.support.records import SECOND, T0, failed, record, run

Sample = tuple[str, frozenset[tuple[str, str]]]

DESIGN = {
    "aftershock_probe_requests_total": {"probe", "outcome", "error"},
    "aftershock_probe_request_duration_seconds": {"probe"},
    "aftershock_probe_time_to_first_token_seconds": {"probe"},
    "aftershock_probe_inter_token_latency_seconds": {"probe"},
    "aftershock_probe_up": {"probe"},
    "aftershock_fault_active": {"fault", "component"},
    "aftershock_fault_runs_total": {"fault", "verdict"},
    "aftershock_fault_recovery_seconds": {"fault", "witness"},
    "aftershock_fault_error_window_seconds": {"fault", "witness"},
    "aftershock_fault_failed_requests_total": {"fault"},
    "aftershock_fault_last_timestamp_seconds": {"fault", "phase"},
    "aftershock_fault_objective_met": {"fault", "objective"},
    "aftershock_fault_objective_limit": {"fault", "objective"},
    "aftershock_fault_last_verdict": {"fault", "verdict"},
    "aftershock_fault_deadline_timestamp_seconds": {"fault"},
    "aftershock_reverts_stuck": set(),
    "aftershock_slo_objective_ratio": set(),
    "aftershock_store_pending_records": set(),
    "aftershock_schedule_next_run_timestamp_seconds": {"schedule"},
    "aftershock_schedule_skipped_total": {"schedule", "reason"},
    "aftershock_incidents_total": set(),
    "aftershock_incident_active": set(),
    "aftershock_incident_seconds_total": set(),
    "aftershock_control_runs_total": {"result"},
    "aftershock_witness_comparisons_total": {"pair", "status"},
    "aftershock_source_errors_total": {"source", "reason"},
    "aftershock_stopped": set(),
    "aftershock_leader": set(),
    "aftershock_store_errors_total": set(),
    "aftershock_source_up": {"source"},
    "aftershock_notifications_total": {"receiver", "result"},
    "aftershock_build_info": {"version", "deployment"},
    "aftershock_otlp_spans_received_total": set(),
    "aftershock_otlp_logs_received_total": set(),
    "aftershock_otlp_refused_total": {"reason"},
    "aftershock_otlp_odd_spans_total": {"reason"},
    "aftershock_otlp_forward_dropped_total": set(),
}
"""The names that users meet, by the design."""


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics(
        deployment="d",
        probes=["chat", "long"],
        faults={"worker": "worker", "none": ""},
        schedules=["daily"],
        sources=["prometheus"],
        objectives={"worker": {"recovery_seconds": 15.0}, "none": {}},
        good_ratio=0.99,
        receivers=["team"],
        env={},
    )
    yield made
    made.shutdown()


def families(metrics: Metrics) -> dict[str, Any]:
    """By the name that a query uses."""
    found = text_string_to_metric_families(metrics.render()[0].decode())
    return {f.name + ("_total" if f.type == "counter" else ""): f for f in found}


def samples(metrics: Metrics) -> dict[Sample, float]:
    return {(s.name, frozenset(s.labels.items())): s.value for f in families(metrics).values() for s in f.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"aftershock_{name}", frozenset(labels.items())]


def finished(**changes: Any) -> Run:
    fields: dict[str, Any] = {
        "phase": Phase.FINISHED,
        "verdict": Verdict.RECOVERED,
        "instances": (Instance(component="worker", name="worker-0"),),
        "transitions": (Transition(phase=Phase.FINISHED, at_ns=T0 + 7 * SECOND),),
        "witnesses": (
            WitnessReport(
                witness="client",
                status="ok",
                failed_requests=5,
                recovery_from_effect_seconds=2.2,
                error_window_seconds=1.7,
            ),
            WitnessReport(
                witness="client", probe="chat", status="ok", failed_requests=5, recovery_from_effect_seconds=2.2
            ),
            WitnessReport(witness="server", status="inconclusive", recovery_from_effect_seconds=99.0),
        ),
    }
    return run(1, **(fields | changes))


def test_names_types_and_labels_are_those_of_the_design(metrics: Metrics) -> None:
    metrics.run_changed(finished(objective_results=(ObjectiveResult(objective="o", limit=1, value=1, met=True),)))
    page = families(metrics)
    declared = {m.name: m for m in METRICS}
    assert set(page) == set(declared)
    assert set(DESIGN) <= set(page)
    for name, family in page.items():
        spec = declared[name]
        assert family.type == spec.kind.value, name
        assert family.documentation == spec.help
        labels = {frozenset(s.labels) - {"le"} for s in family.samples}
        assert labels == {frozenset(spec.labels)}, name
        assert frozenset(spec.labels) == DESIGN.get(name, frozenset(spec.labels)), name


def test_nothing_of_the_exporters_own_is_on_the_page(metrics: Metrics) -> None:
    text = metrics.render()[0].decode()
    assert "otel_scope" not in text
    assert "target_info" not in text
    assert "_created" not in text
    assert metrics.render()[1].startswith("text/plain; version=0.0.4")


def test_names_end_with_their_unit() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"aftershock_[a-z_]+", metric.name)
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
        if metric.unit == "s":
            assert metric.name.removesuffix("_total").endswith("_seconds")
    assert len({m.name for m in METRICS}) == len(METRICS)


def test_every_known_label_set_starts_at_zero(metrics: Metrics) -> None:
    found = samples(metrics)
    build = {k: v for k, v in found.items() if k[0] == "aftershock_build_info"}
    assert list(build.values()) == [1.0]
    assert found["aftershock_leader", frozenset()] == 1.0
    told = {"aftershock_build_info", "aftershock_leader", "aftershock_slo_objective_ratio"}
    told |= {"aftershock_fault_objective_limit"}
    assert {v for k, v in found.items() if k[0] not in told} == {0.0}
    for probe in ("chat", "long"):
        for outcome, error in OUTCOME_ERRORS:
            assert value(metrics, "probe_requests_total", probe=probe, outcome=outcome, error=error) == 0
        assert value(metrics, "probe_time_to_first_token_seconds_count", probe=probe) == 0
        assert value(metrics, "probe_time_to_first_token_seconds_bucket", probe=probe, le="+Inf") == 0
    for verdict in Verdict:
        assert value(metrics, "fault_runs_total", fault="worker", verdict=verdict) == 0
    assert value(metrics, "fault_recovery_seconds_count", fault="worker", witness="client") == 0
    assert value(metrics, "fault_active", fault="worker", component="worker") == 0
    assert value(metrics, "schedule_skipped_total", schedule="daily", reason="steady_state") == 0
    assert value(metrics, "source_up", source="prometheus") == 0


def test_every_error_class_has_a_label_set_that_starts_at_zero() -> None:
    assert {error for _, error in OUTCOME_ERRORS} == set(ErrorClass)
    assert {outcome for outcome, _ in OUTCOME_ERRORS} == set(Outcome)


def test_a_histogram_has_the_same_buckets_before_and_after_its_first_value(metrics: Metrics) -> None:
    def edges(probe: str) -> set[str]:
        return {
            dict(labels)["le"]
            for name, labels in samples(metrics)
            if name == "aftershock_probe_request_duration_seconds_bucket" and dict(labels)["probe"] == probe
        }

    before = edges("chat")
    metrics.record_request(record(1))
    assert edges("chat") == edges("long") == before
    assert {"600.0", "+Inf"} <= before
    assert value(metrics, "probe_request_duration_seconds_count", probe="long") == 0
    text = metrics.render()[0].decode()
    assert text.count('aftershock_probe_request_duration_seconds_count{probe="chat"}') == 1


def test_requests_are_counted_at_once(metrics: Metrics) -> None:
    metrics.record_request(record(1, life=0.3))
    metrics.record_request(failed(2))
    metrics.record_request(
        failed(3, outcome=Outcome.TRUNCATED, error=ErrorClass.STREAM_CUT, ttft_ns=70_000_000, life=4.0)
    )
    assert value(metrics, "probe_requests_total", probe="chat", outcome="good", error="") == 1
    assert value(metrics, "probe_requests_total", probe="chat", outcome="failed", error="connection_refused") == 1
    assert value(metrics, "probe_requests_total", probe="chat", outcome="truncated", error="stream_cut") == 1
    assert value(metrics, "probe_request_duration_seconds_count", probe="chat") == 1, "a cut answer has no duration"
    assert value(metrics, "probe_request_duration_seconds_sum", probe="chat") == pytest.approx(0.3)
    assert value(metrics, "probe_time_to_first_token_seconds_count", probe="chat") == 2
    assert value(metrics, "probe_inter_token_latency_seconds_sum", probe="chat") == pytest.approx(0.005)


def test_probe_gauges_and_gaps(metrics: Metrics) -> None:
    metrics.set_probe({"name": "chat", "up": True, "in_flight": 3, "overdue": 2, "recent": {}})
    assert value(metrics, "probe_up", probe="chat") == 1
    assert value(metrics, "probe_in_flight", probe="chat") == 3
    assert value(metrics, "probe_overdue", probe="chat") == 2
    metrics.gap(Gap("chat", T0, None, "open"))
    assert value(metrics, "probe_gap_seconds_total", probe="chat") == 0
    metrics.gap(Gap("chat", T0, T0 + 5 * SECOND // 2, "closed"))
    assert value(metrics, "probe_gap_seconds_total", probe="chat") == 2.5


def test_a_fault_is_active_from_injected_to_reverted(metrics: Metrics) -> None:
    worker = (Instance(component="worker", name="worker-0"),)
    seen = []
    for phase in Phase:
        moving = run(1, phase=phase, instances=worker, transitions=(Transition(phase=phase, at_ns=T0 + 3 * SECOND),))
        metrics.run_changed(moving)
        seen.append(value(metrics, "fault_active", fault="worker", component="worker"))
        assert value(metrics, "fault_last_timestamp_seconds", fault="worker", phase=phase) == T0 / 1e9 + 3
    assert seen == [0, 0, 0, 0, 1, 1, 0, 0, 0]
    stuck = finished(verdict=Verdict.REVERT_FAILED, receipt_open=True)
    metrics.run_changed(stuck)
    assert value(metrics, "fault_active", fault="worker", component="worker") == 1, "nobody has put it back"
    metrics.run_changed(stuck.model_copy(update={"receipt_open": False}))
    assert value(metrics, "fault_active", fault="worker", component="worker") == 0


def test_a_fault_with_a_duration_has_a_deadline_while_it_acts(metrics: Metrics) -> None:
    def deadline(phase: Phase, seconds: float | None, **changes: Any) -> float:
        receipt = Receipt(run_id="r", kind="k", fault={}, instances=(), planned_ns=T0, state_dir=".")
        fault = {"kind": "k"} if seconds is None else {"kind": "k", "duration_seconds": seconds}
        metrics.run_changed(run(1, phase=phase, fault=fault, receipt=receipt, **changes))
        return value(metrics, "fault_deadline_timestamp_seconds", fault="worker")

    assert deadline(Phase.PLANNED, 8.0) == 0
    assert deadline(Phase.INJECTED, 8.0) == pytest.approx(T0 / 1e9 + 8)
    assert deadline(Phase.EFFECTIVE, 8.0) == pytest.approx(T0 / 1e9 + 8)
    assert deadline(Phase.REVERTED, 8.0) == 0
    assert deadline(Phase.INJECTED, None) == 0, "an instant fault has none"
    stuck = {"verdict": Verdict.REVERT_FAILED, "receipt_open": True}
    assert deadline(Phase.FINISHED, 8.0, **stuck) == pytest.approx(T0 / 1e9 + 8), "it may still be acting"


def test_the_last_verdict_is_that_of_the_last_run_that_was_not_skipped(metrics: Metrics) -> None:
    def ones() -> set[str]:
        return {v.value for v in Verdict if value(metrics, "fault_last_verdict", fault="worker", verdict=v)}

    assert ones() == set()
    for number, verdict in enumerate((Verdict.NOT_RECOVERED, Verdict.RECOVERED)):
        metrics.run_changed(finished(id=f"r{number}", verdict=verdict))
        assert ones() == {verdict}
    later = (Transition(phase=Phase.FINISHED, at_ns=T0 + 99 * SECOND),)
    metrics.run_changed(finished(id="refused", verdict=Verdict.SKIPPED, transitions=later, witnesses=()))
    assert ones() == {Verdict.RECOVERED}
    assert value(metrics, "fault_last_timestamp_seconds", fault="worker", phase="finished") == T0 / 1e9 + 7
    assert value(metrics, "fault_runs_total", fault="worker", verdict="skipped") == 1


def test_limits_are_told_for_those_who_judge_by_the_metrics(metrics: Metrics) -> None:
    assert value(metrics, "fault_objective_limit", fault="worker", objective="recovery_seconds") == 15
    assert value(metrics, "slo_objective_ratio") == 0.99
    limits = [k for k in samples(metrics) if k[0] == "aftershock_fault_objective_limit"]
    assert len(limits) == 1, "what is not set is absent"
    silent = Metrics(deployment="d", env={})
    assert "aftershock_slo_objective_ratio" not in silent.render()[0].decode()
    silent.shutdown()


def test_a_finished_run_is_counted_once(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.run_changed(finished())
    assert value(metrics, "fault_runs_total", fault="worker", verdict="recovered") == 1
    assert value(metrics, "fault_failed_requests_total", fault="worker") == 5, "all probes together, not once a probe"
    assert value(metrics, "fault_recovery_seconds_count", fault="worker", witness="client") == 1
    assert value(metrics, "fault_recovery_seconds_sum", fault="worker", witness="client") == pytest.approx(2.2)
    assert value(metrics, "fault_recovery_seconds_bucket", fault="worker", witness="client", le="2.0") == 0
    assert value(metrics, "fault_recovery_seconds_bucket", fault="worker", witness="client", le="3.0") == 1
    assert value(metrics, "fault_error_window_seconds_sum", fault="worker", witness="client") == pytest.approx(1.7)
    assert value(metrics, "fault_recovery_seconds_count", fault="worker", witness="server") == 0, "inconclusive"


def test_a_lower_bound_is_not_a_recovery_time(metrics: Metrics) -> None:
    censored = WitnessReport(
        witness="client", status="ok", censored=True, recovery_from_effect_seconds=120.0, error_window_seconds=120.0
    )
    metrics.run_changed(finished(verdict=Verdict.NOT_RECOVERED, witnesses=(censored,)))
    assert value(metrics, "fault_runs_total", fault="worker", verdict="not_recovered") == 1
    assert value(metrics, "fault_recovery_seconds_count", fault="worker", witness="client") == 0
    assert value(metrics, "fault_error_window_seconds_count", fault="worker", witness="client") == 0


def test_objectives_appear_once_judged(metrics: Metrics) -> None:
    def results(met: bool | None) -> tuple[ObjectiveResult, ...]:
        return (ObjectiveResult(objective="recovery_seconds", limit=1, value=2, met=met),)

    key = ("aftershock_fault_objective_met", frozenset({("fault", "worker"), ("objective", "recovery_seconds")}))
    metrics.run_changed(finished(id="a", objective_results=results(None)))
    assert key not in samples(metrics), "an objective that nobody could judge is not missed"
    metrics.run_changed(finished(id="b", objective_results=results(True)))
    assert samples(metrics)[key] == 1
    metrics.run_changed(finished(id="c", objective_results=results(False)))
    assert samples(metrics)[key] == 0


def test_the_services_own_state(metrics: Metrics) -> None:
    metrics.set_next({"daily": T0})
    assert value(metrics, "schedule_next_run_timestamp_seconds", schedule="daily") == T0 / 1e9
    metrics.set_next({"daily": None})
    assert value(metrics, "schedule_next_run_timestamp_seconds", schedule="daily") == 0
    metrics.schedule_skipped("daily", "missed")
    assert value(metrics, "schedule_skipped_total", schedule="daily", reason="missed") == 1
    for stopped in (True, False):
        metrics.set_stopped(stopped)
        assert value(metrics, "stopped") == int(stopped)
    metrics.source_up("prometheus", True)
    assert value(metrics, "source_up", source="prometheus") == 1
    metrics.set_stuck(2)
    assert value(metrics, "reverts_stuck") == 2
    metrics.store_pending(40)
    assert value(metrics, "store_pending_records") == 40
    metrics.store_error()
    metrics.store_dropped(7)
    assert value(metrics, "store_errors_total") == 1
    assert value(metrics, "store_dropped_records_total") == 7


def test_an_incident_is_counted_once_and_is_active_until_it_closes(metrics: Metrics) -> None:
    opened = Incident(id=1, start_ns=T0)
    metrics.incident(opened)
    metrics.incident(opened)
    assert (value(metrics, "incidents_total"), value(metrics, "incident_active")) == (1, 1)
    metrics.incident(opened.model_copy(update={"end_ns": T0 + 1}))
    assert (value(metrics, "incidents_total"), value(metrics, "incident_active")) == (1, 0)
    metrics.incident(Incident(id=2, start_ns=T0 + 9))
    assert value(metrics, "incidents_total") == 2


def test_witnesses_are_compared_once_for_each_run_and_pair(metrics: Metrics) -> None:
    def told(a: str, b: str, figure: str, status: str) -> Comparison:
        return Comparison.model_validate({"a": a, "b": b, "figure": figure, "status": status})

    comparisons = (
        told("client", "server", "window", "agree"),
        told("client", "server", "failed_requests", "disagree"),
        told("client", "trace", "window", "agree"),
        told("client", "trace", "failed_requests", "agree"),
        told("server", "trace", "all", "not_compared"),
    )
    run = finished(comparisons=comparisons)
    for _ in range(2):
        metrics.run_changed(run)

    def count(pair: str, status: str) -> float:
        return value(metrics, "witness_comparisons_total", pair=pair, status=status)

    assert (count("client_server", "disagree"), count("client_server", "agree")) == (1, 0)
    assert (count("client_trace", "agree"), count("server_trace", "not_compared")) == (1, 1)


def test_errors_of_a_source_by_reason(metrics: Metrics) -> None:
    for trouble in Trouble:
        assert value(metrics, "source_errors_total", source="prometheus", reason=trouble.value) == 0
    metrics.source_error("prometheus", Trouble.REDIRECT.value)
    assert value(metrics, "source_errors_total", source="prometheus", reason="redirect") == 1


def test_no_label_can_grow_without_bound(metrics: Metrics) -> None:
    before = len(samples(metrics))
    for n in range(50):
        metrics.record_request(record(n))
        metrics.record_request(failed(n, message=f"error {n}"))
        metrics.run_changed(finished(id=f"r{n}", reason=f"reason {n}"))
    assert len(samples(metrics)) == before


def test_two_instances_know_nothing_of_each_other(metrics: Metrics) -> None:
    other = Metrics(deployment="other", probes=["chat"], env={})
    other.store_error()
    assert value(metrics, "store_errors_total") == 0
    assert value(other, "store_errors_total") == 1
    other.shutdown()


# --- OTLP -------------------------------------------------------------------------------------


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OTLP/HTTP collector that keeps what it was sent: (path, body)."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            zipped = self.headers.get("Content-Encoding") == "gzip"
            got.append((self.path, gzip.decompress(body) if zipped else body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415

    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def test_metrics_are_pushed_when_the_environment_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
        metrics = Metrics(deployment="d", probes=["chat"])
        metrics.record_request(record(1))
        metrics.shutdown()
    ((path, body),) = got
    assert path == "/v1/metrics"
    sent = ExportMetricsServiceRequest.FromString(body)
    resource = {a.key: a.value.string_value for a in sent.resource_metrics[0].resource.attributes}
    assert resource["service.name"] == "aftershock"
    assert resource["aftershock.deployment"] == "d"
    by_name = {m.name: m for m in sent.resource_metrics[0].scope_metrics[0].metrics}
    good = [
        p.as_int
        for p in by_name["aftershock_probe_requests_total"].sum.data_points
        if {a.key: a.value.string_value for a in p.attributes} == {"probe": "chat", "outcome": "good", "error": ""}
    ]
    assert good == [1]
    assert by_name["aftershock_probe_request_duration_seconds"].unit == "s"


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "URL"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "URL"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL"},
    ],
)
def test_nothing_is_pushed_unasked(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (url, got):
        for name, setting in env.items():
            monkeypatch.setenv(name, setting.replace("URL", url))
        metrics = Metrics(deployment="d")
        metrics.store_error()
        metrics.shutdown()
    assert got == []


def test_a_collector_that_is_gone_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(status=503) as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{url}/custom")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
        metrics = Metrics(deployment="d", probes=["chat"])
        metrics.record_request(record(1))
        assert value(metrics, "probe_requests_total", probe="chat", outcome="good", error="") == 1
        metrics.shutdown()
    assert {path for path, _ in got} <= {"/custom"}


def test_the_import_stays_light() -> None:
    """Push exporters, Alembic and pandas are only loaded when needed: the service must stay below 150 MB."""
    program = (
        "import sys, json; import monitor.export.metrics, monitor.export.telemetry, monitor.ingest, monitor.store.store\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout))
    heavy = {"alembic", "requests", "pandas", "aiperf", "google.protobuf", "opentelemetry.exporter.otlp.proto.http"}
    assert not loaded & {*heavy, "kubernetes"}
