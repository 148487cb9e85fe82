"""OTLP bytes to spans. Reads what the witness needs and nothing else; any bytes at all end in spans or in `Refused`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from monitor.trace.refusal import Reason, Refused
from monitor.trace.span import STATUS_ERROR, Span
from monitor.trace.wire import WireError, messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

NAME_LIMIT = 100
ERROR_LIMIT = 200
AHEAD_NS = 60 * 10**9
"""A span may end this far in our future: clocks of two machines differ."""

SPANS_LIMIT = 20_000
"""Of one body; exporters send 512."""
SPAN_LIMIT = 256 * 1024
"""Bytes of one span; one of Dynamo's has 500."""

_RESOURCES, _RESOURCE, _SCOPES, _ITEMS = 1, 1, 2, 2
"""Field numbers of opentelemetry-proto, which are the same for spans and for log records."""

_COMPLETED = "request completed"
_MOVED_ON = "Stream disconnected, recreating stream"
_TRIED_AGAIN = "Creating new stream, retrying"
_NOISE = frozenset({_COMPLETED, "http response sent", "response failed", "Conflicting request tracker write"})
"""ERROR events that say that, not why. The last one is written by every migration, also by those that go well."""


@dataclass(slots=True)
class Decoded:
    """What one request carried."""

    spans: list[Span] = field(default_factory=list)
    invalid: int = 0
    odd_clocks: int = 0

    @property
    def carried(self) -> int:
        """Spans in the request, usable or not."""
        return len(self.spans) + self.invalid


def decode_traces(body: bytes, received_ns: int, oldest_ns: int) -> Decoded:
    """The spans of an ExportTraceServiceRequest. Raises Refused for what is none.

    A span that began before `oldest_ns`, or ends well after `received_ns`, is marked.
    """
    decoded = Decoded()
    try:
        for service, part in _parts(body):
            if len(part) > SPAN_LIMIT:
                decoded.invalid += 1
                continue
            span = _span(ProtoSpan.FromString(bytes(part)), service)
            if span is None:
                decoded.invalid += 1
                continue
            span.odd_clock = not oldest_ns <= span.start_ns <= span.end_ns <= received_ns + AHEAD_NS
            decoded.odd_clocks += span.odd_clock
            decoded.spans.append(span)
    except (DecodeError, WireError) as error:
        raise _malformed(error) from None
    return decoded


def count_logs(body: bytes) -> int:
    """How many log records an ExportLogsServiceRequest carries. Raises Refused for what is none."""
    try:
        return sum(
            1
            for resource in messages(memoryview(body), _RESOURCES)
            for scope in messages(resource, _SCOPES)
            for _ in messages(scope, _ITEMS)
        )
    except WireError as error:
        raise _malformed(error) from None


def _parts(body: bytes) -> Iterator[tuple[str, memoryview]]:
    """Each span's bytes, with the name of the service that sent it."""
    count = 0
    for resource in messages(memoryview(body), _RESOURCES):
        service = _service(resource)
        for scope in messages(resource, _SCOPES):
            for part in messages(scope, _ITEMS):
                count += 1
                if count > SPANS_LIMIT:
                    raise Refused(Reason.TOO_LARGE, f"more than {SPANS_LIMIT} spans in one body; send smaller batches")
                yield service, part


def _service(resource_spans: memoryview) -> str:
    for part in messages(resource_spans, _RESOURCE):
        if len(part) <= SPAN_LIMIT:
            return _intern(_text_of(Resource.FromString(bytes(part)).attributes, "service.name"))
    return ""


def _malformed(error: Exception) -> Refused:
    return Refused(Reason.MALFORMED, f"the body is not OTLP protobuf: {str(error)[:NAME_LIMIT]}")


def _span(proto: ProtoSpan, service: str) -> Span | None:
    trace_id, span_id = proto.trace_id, proto.span_id
    if len(trace_id) != 16 or len(span_id) != 8 or not any(trace_id):
        return None
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=proto.parent_span_id[:8],
        service=service,
        name=_intern(proto.name),
        start_ns=proto.start_time_unix_nano,
        end_ns=proto.end_time_unix_nano,
        status=proto.status.code,
    )
    _read_attributes(span, proto.attributes)
    _read_events(span, proto)
    if not span.error and span.status == STATUS_ERROR:
        span.error = proto.status.message[:ERROR_LIMIT]
    return span


def _read_attributes(span: Span, attributes: Iterable[KeyValue]) -> None:
    for attribute in attributes:
        match attribute.key:
            case "component":
                span.component = _intern(_text(attribute.value))
            case "instance_id":
                span.instance = _intern(_text(attribute.value))
            case "worker_id":
                span.target = _intern(_text(attribute.value))
            case "output_tokens":
                span.output_tokens = _number(attribute.value)


def _read_events(span: Span, proto: ProtoSpan) -> None:
    for event in proto.events:
        name = event.name
        if name == _COMPLETED:
            span.completed = span.completed or _intern(_text_of(event.attributes, "status"))
            span.error_type = _intern(_text_of(event.attributes, "error_type"))
        elif name == _MOVED_ON:
            span.moved_on += 1
        elif name == _TRIED_AGAIN:
            span.tried_again += 1
        elif not span.error and name not in _NOISE and _is_error(name, event.attributes):
            message = _text_of(event.attributes, "exception.message")
            span.error = (message or name)[:ERROR_LIMIT]


def _is_error(name: str, attributes: Iterable[KeyValue]) -> bool:
    return name == "exception" or _text_of(attributes, "level") == "ERROR"


def _text_of(attributes: Iterable[KeyValue], key: str) -> str:
    return next(_matching(attributes, key), "")


def _matching(attributes: Iterable[KeyValue], key: str) -> Iterator[str]:
    return (_text(a.value) for a in attributes if a.key == key)


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    return str(getattr(value, kind)) if kind in {"int_value", "double_value", "bool_value"} else ""


def _number(value: AnyValue) -> int | None:
    if value.WhichOneof("value") == "int_value":
        return value.int_value
    text = value.string_value
    # Dynamo writes numbers as text; more digits than a count can have are none.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _intern(text: str) -> str:
    return sys.intern(text[:NAME_LIMIT])
