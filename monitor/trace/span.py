"""What is kept of a span: the little that the trace witness needs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

STATUS_ERROR = 2


@dataclass(slots=True)
class Span:
    """One span. Instants are UTC nanoseconds of the sender's system clock."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    service: str
    name: str
    start_ns: int
    end_ns: int
    status: int = 0
    """OTLP's code; 2 is an error, which in Dynamo does not mean that the client got no answer."""
    odd_clock: bool = False
    """The instants cannot be true (1970, the future, an end before its start): kept, but they move no window."""
    component: str = ""
    """Dynamo's component of the worker (`backend`, `prefill`)."""
    instance: str = ""
    """Of a worker's span: the instance that it ran on."""
    target: str = ""
    """Of a routing span: the instance that was chosen."""
    output_tokens: int | None = None
    completed: str = ""
    """What the server itself said of the request's end: `success`, `error`, or nothing."""
    error_type: str = ""
    error: str = ""
    """First error that the span tells of, bounded."""
    moved_on: int = 0
    """How often an answer that had begun was to go on elsewhere, by the server's own word; an attempt may have failed."""
    tried_again: int = 0
    """How often a request was sent to another instance before an answer had begun; an attempt may have failed."""


def trace_id_of(request_id: str) -> bytes | None:
    """The trace id of a probe's request: its UUID's 16 bytes; None for an id that is no UUID."""
    try:
        return UUID(request_id).bytes
    except ValueError:
        return None
