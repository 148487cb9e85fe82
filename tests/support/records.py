"""Records and runs for tests."""

from __future__ import annotations

import uuid
from typing import Any

from monitor.model import Phase, Run, Transition
from probes.record import ErrorClass, Outcome, Record

SECOND = 10**9
T0 = 1_700_000_000 * SECOND - 1_700_000_000 * SECOND % (60 * SECOND)
"""A whole minute."""


def record(number: int = 0, *, start: float | None = None, life: float = 0.5, **changes: Any) -> Record:
    """The number-th request of a probe of one request a second; `start` in seconds after T0."""
    begin = T0 + round((number if start is None else start) * SECOND)
    fields: dict[str, Any] = {
        "probe": "chat",
        "segment": 1,
        "session_num": number,
        "request_id": str(uuid.UUID(int=number + 1, version=4)),
        "start_ns": begin,
        "end_ns": begin + round(life * SECOND),
        "outcome": Outcome.GOOD,
        "status": 200,
        "ttft_ns": 40_000_000,
        "inter_token_ns": 5_000_000,
        "max_gap_ns": 9_000_000,
        "input_tokens": 64,
        "output_tokens": 32,
        "expected_tokens": 32,
    }
    return Record(**(fields | changes))


def failed(number: int, **changes: Any) -> Record:
    """A request that was refused."""
    fields: dict[str, Any] = {
        "outcome": Outcome.FAILED,
        "error": ErrorClass.CONNECTION_REFUSED,
        "message": "connect: refused",
        "status": None,
        "ttft_ns": None,
        "inter_token_ns": None,
        "max_gap_ns": None,
        "output_tokens": None,
    }
    return record(number, **(fields | changes))


def run(number: int = 0, **changes: Any) -> Run:
    """The number-th run, one a minute."""
    at = T0 + number * 60 * SECOND
    fields: dict[str, Any] = {
        "id": f"r{number:012x}",
        "fault_name": "worker",
        "fault": {"kind": "process_kill"},
        "deployment": "d",
        "requested_by": "test",
        "seed": 1,
        "t_requested": at,
        "transitions": (Transition(phase=Phase.REQUESTED, at_ns=at),),
    }
    return Run(**(fields | changes))
