"""Spans as Dynamo makes them, as protobuf and as what is kept; and a receiver that counts into lists."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from monitor.config.settings import TracesSpec
from monitor.trace.receiver import Receiver

SECOND = 10**9


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def proto(
    trace_id: bytes | None = None,
    *,
    name: str = "http-request",
    parent: bytes = b"",
    span_id: bytes | None = None,
    start: int | None = None,
    life: int = SECOND,
    status: int = 0,
    events: Iterable[tuple[str, Mapping[str, str]]] = (),
    **attributes: str,
) -> ProtoSpan:
    """One span as it comes over the wire; it has just ended."""
    begin = time.time_ns() - life if start is None else start
    span = ProtoSpan(
        trace_id=os.urandom(16) if trace_id is None else trace_id,
        span_id=os.urandom(8) if span_id is None else span_id,
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=begin,
        end_time_unix_nano=begin + life,
        attributes=[text(k, v) for k, v in attributes.items()],
    )
    span.status.code = status  # type: ignore[assignment]  # an enum's number
    for event, facts in events:
        span.events.add(name=event, time_unix_nano=begin + life, attributes=[text(k, v) for k, v in facts.items()])
    return span


def body(*spans: ProtoSpan, service: str = "frontend-0") -> bytes:
    """An ExportTraceServiceRequest."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(text("service.name", service))
    resource.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def log_body(records: int) -> bytes:
    """An ExportLogsServiceRequest."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(records):
        scope.log_records.add(severity_text="INFO", body=AnyValue(string_value=f"line {number}"))
    return request.SerializeToString()


@dataclass
class Counted:
    """Stands for the metrics."""

    spans: int = 0
    logs: int = 0
    dropped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)

    def otlp_spans(self, count: int) -> None:
        self.spans += count

    def otlp_logs(self, count: int) -> None:
        self.logs += count

    def otlp_refused(self, reason: str) -> None:
        self.refused[reason] += 1

    def otlp_odd_spans(self, oddity: str, count: int) -> None:
        self.odd[oddity] += count

    def otlp_forward_dropped(self, count: int) -> None:
        self.dropped += count


@asynccontextmanager
async def receiving(counted: Counted, env: Mapping[str, str] | None = None, **spec: Any) -> AsyncIterator[Receiver]:
    """A receiver on two free ports."""
    given = {"grpc_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"} | spec
    receiver = Receiver(TracesSpec(**given), counted, env=env or {})
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
