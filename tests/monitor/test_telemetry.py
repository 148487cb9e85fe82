"""Traces of runs, with an exporter in memory and against a receiver that does not answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from faults.base import Instance
from monitor.export.telemetry import RunTracer, trace_id_of
from monitor.model import ObjectiveResult, Phase, Run, Transition, Verdict, WitnessReport
from tests.monitor.test_metrics import receiver
from tests.support.records import SECOND, T0, run


@pytest.fixture(autouse=True)
def _no_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415

    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def finished(**changes: Any) -> Run:
    transitions = tuple(Transition(phase=p, at_ns=T0 + i * SECOND, note=f"note {i}") for i, p in enumerate(Phase))
    fields: dict[str, Any] = {
        "phase": Phase.FINISHED,
        "transitions": transitions,
        "t_requested": T0,
        "t_inject": T0 + 3 * SECOND,
        "t_effect": T0 + 4 * SECOND,
        "t_finished": transitions[-1].at_ns,
        "verdict": Verdict.RECOVERED,
        "instances": (Instance(component="worker", name="worker-0"),),
        "objective_results": (ObjectiveResult(objective="o", limit=1, value=1, met=True),),
        "witnesses": (WitnessReport(witness="client", status="ok", t_impact=T0 + 5 * SECOND),),
    }
    return run(1, **(fields | changes))


def exported(*runs: Run) -> Sequence[ReadableSpan]:
    kept = InMemorySpanExporter()
    tracer = RunTracer(kept)
    for each in runs:
        tracer.export(each)
    tracer.flush()
    tracer.shutdown()
    return kept.get_finished_spans()


def test_a_run_is_one_trace_with_a_span_a_phase_at_its_own_instants() -> None:
    spans = {s.name: s for s in exported(finished())}
    root = spans.pop("run worker")
    assert (root.start_time, root.end_time) == (T0, T0 + 8 * SECOND)
    assert root.parent is None
    assert root.context is not None
    assert list(spans) == [p.value for p in Phase][:-1], "the last transition is an end, not a stretch"
    for i, span in enumerate(spans.values()):
        assert (span.start_time, span.end_time) == (T0 + i * SECOND, T0 + (i + 1) * SECOND)
        assert span.parent is not None
        assert span.parent.span_id == root.context.span_id
        assert span.context is not None
        assert span.context.trace_id == trace_id_of(run(1).id)
        assert dict(span.attributes or {}) == {"aftershock.run.id": run(1).id, "aftershock.note": f"note {i}"}
    attributes = dict(root.attributes or {})
    assert attributes["aftershock.run.id"] == run(1).id
    assert attributes["aftershock.fault"] == "worker"
    assert attributes["aftershock.verdict"] == "recovered"
    assert attributes["aftershock.instances"] == ("worker-0",)
    assert attributes["aftershock.met"] is True
    events = {e.name: e.timestamp for e in root.events}
    assert events == {"inject": T0 + 3 * SECOND, "effect": T0 + 4 * SECOND, "impact": T0 + 5 * SECOND}
    assert root.status.status_code is StatusCode.UNSET


def test_a_run_that_went_wrong_is_an_error_with_its_reason() -> None:
    root = next(s for s in exported(finished(verdict=Verdict.ABORTED, reason="stopped")) if s.name == "run worker")
    assert root.status.status_code is StatusCode.ERROR
    assert root.status.description == "stopped"


def test_each_run_is_exported_once_in_a_trace_of_its_own() -> None:
    spans = exported(finished(), finished(), finished(id="other"))
    roots = [s for s in spans if s.parent is None]
    assert len(roots) == 2
    assert len({s.context.trace_id for s in spans if s.context}) == 2


def test_a_run_that_was_refused_has_a_trace_too() -> None:
    at = (Transition(phase=Phase.REQUESTED, at_ns=T0), Transition(phase=Phase.FINISHED, at_ns=T0))
    spans = exported(finished(transitions=at, t_finished=None, t_inject=None, t_effect=None, witnesses=()))
    assert [s.name for s in spans] == ["requested", "run worker"]


def test_spans_are_pushed_when_the_environment_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        tracer = RunTracer()
        tracer.export(finished())
        tracer.shutdown()
    ((path, body),) = got
    assert path == "/v1/traces"
    sent = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    assert {a.key: a.value.string_value for a in sent.resource.attributes}["service.name"] == "aftershock"
    assert {s.trace_id for s in sent.scope_spans[0].spans} == {trace_id_of(run(1).id).to_bytes(16, "big")}


def test_nothing_happens_unasked() -> None:
    with receiver() as (_, got):
        tracer = RunTracer()
        tracer.export(finished())
        tracer.flush()
        tracer.shutdown()
    assert got == []


def test_a_collector_that_never_answers_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is two seconds; the exporter alone would wait ten."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
        tracer = RunTracer()
        tracer.export(finished())
        begun = time.monotonic()
        tracer.shutdown()
        assert time.monotonic() - begun < 15
