"""W3C trace context of a probe's requests: the trace id is the request's own UUID, so neither has to be looked up."""

from __future__ import annotations

from uuid import UUID


def traceparent(request_id: UUID, sample_ratio: float) -> str:
    """Header value for a request. The decision to sample follows from the id: everyone who knows it comes to the same."""
    # The second half of a version 4 UUID begins with its variant bits, so it is never the forbidden all-zero span id.
    return f"00-{request_id.hex}-{request_id.hex[16:]}-{'01' if sampled(request_id, sample_ratio) else '00'}"


def sampled(request_id: UUID, sample_ratio: float) -> bool:
    """Whether the request's trace is asked for."""
    return int(request_id.hex[-8:], 16) / 2**32 < sample_ratio
