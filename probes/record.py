"""What a probe yields: one record for each request, and what it could not see.

All instants are UTC nanoseconds on the monitor's own clock (see `monitor.clock`): the probe reads
the kernel's monotonic clock, which every process of a machine shares, so a step of the system clock
moves no window.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended for the user who sent it."""

    GOOD = "good"
    SLOW = "slow"
    """Answered in full, but beyond the probe's own limits for first token, chunk gap or total."""
    FAILED = "failed"
    """No answer: refused, reset, HTTP error, timeout."""
    TRUNCATED = "truncated"
    """An answer began and was cut short, whatever the HTTP status said."""
    LOST = "lost"
    """Sent, but aiperf ended before it could say how it ended: missing data, neither good nor bad."""


BAD = frozenset({Outcome.SLOW, Outcome.FAILED, Outcome.TRUNCATED})
"""Outcomes that hurt a user. LOST is not among them: what nobody saw is neither good nor bad."""

FAILURES = frozenset({Outcome.FAILED, Outcome.TRUNCATED})
"""Outcomes that count as failed requests."""


class ErrorClass(StrEnum):
    """Closed list of error classes, safe as a metric label. HTTP statuses outside it become 4xx/5xx."""

    NONE = ""
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    CONNECTION_OTHER = "connection_other"
    SERVER_DISCONNECTED = "server_disconnected"
    TIMEOUT = "timeout"
    HTTP_400 = "http_400"
    HTTP_401 = "http_401"
    HTTP_403 = "http_403"
    HTTP_404 = "http_404"
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    HTTP_504 = "http_504"
    HTTP_529 = "http_529"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    STREAM_ERROR = "stream_error"
    """The stream carried an error frame."""
    STREAM_CUT = "stream_cut"
    """The connection closed in the middle of the body."""
    STREAM_NO_DONE = "stream_no_done"
    STREAM_NO_FINISH = "stream_no_finish"
    STREAM_NO_USAGE = "stream_no_usage"
    STREAM_EMPTY = "stream_empty"
    WRONG_LENGTH = "wrong_length"
    INVALID_RESPONSE = "invalid_response"
    CANCELLED = "cancelled"
    SLOW_FIRST_TOKEN = "slow_first_token"  # noqa: S105 - a token of text, not a secret
    SLOW_GAP = "slow_gap"
    SLOW_TOTAL = "slow_total"
    LOST = "lost"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Record:
    """One request that has ended (or is lost).

    `end_ns` is when the user knew. `end_exact` is False where that instant could not be observed
    and is only a bound (lost requests: the last instant at which it was still in flight).
    `request_id` is the X-Request-ID, a UUID; its 32 hex digits are the trace id.
    Durations are nanoseconds; None means that the measure does not apply or was not seen.
    """

    probe: str
    segment: int
    session_num: int
    request_id: str
    start_ns: int
    end_ns: int
    outcome: Outcome
    error: ErrorClass = ErrorClass.NONE
    end_exact: bool = True
    message: str = ""
    status: int | None = None
    ttft_ns: int | None = None
    inter_token_ns: int | None = None
    max_gap_ns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    expected_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class InFlight:
    """A request that was sent and has not ended yet."""

    probe: str
    segment: int
    session_num: int
    request_id: str
    start_ns: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch in which a probe sent nothing though it should have: from one start to the next.

    `end_ns` is None while the gap lasts. Emitted when it opens and again, with `end_ns`, when it closes.
    """

    probe: str
    start_ns: int
    end_ns: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class SegmentClosed:
    """The books of one aiperf process. `sent == recorded + lost` and session numbers run 0..sent-1.

    `unsent` counts session numbers that aiperf issued and never started (stopped in between).
    """

    probe: str
    segment: int
    started_ns: int
    ended_ns: int
    sent: int
    recorded: int
    lost: int
    unsent: int
    exit_code: int | None
    reason: str


ProbeEvent = Record | Gap | SegmentClosed
