"""From journal and export lines to records."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from probes.classify import ErrorInfo, classify
from probes.parse import (
    Context,
    ExportLine,
    JournalEnd,
    JournalStart,
    build_record,
    lost_record,
    parse_export,
    parse_journal,
    record_without_journal,
)
from probes.record import ErrorClass, Outcome
from probes.spec import ProbeSpec, SlowLimits

SECOND = 1_000_000_000
OFFSET = 1_700_000_000 * SECOND
SPEC = ProbeSpec(name="p", output_tokens=16)
CONTEXT = Context(SPEC, 3, lambda ns: ns + OFFSET)
START = JournalStart(5, "id", 10 * SECOND)
END = JournalEnd(
    5,
    "id",
    11 * SECOND,
    status=200,
    chunks=16,
    input_tokens=7,
    output_tokens=16,
    first_ns=10 * SECOND + 50_000_000,
    last_ns=10 * SECOND + 950_000_000,
    gap_ns=100_000_000,
)
LINE = ExportLine(5, "id", SECOND, ttft_ns=49_000_000, inter_token_ns=60_000_000, input_tokens=7, output_tokens=16)


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (ErrorInfo("Internal Server Error", 500), 500, ErrorClass.HTTP_500),
        (ErrorInfo("Service Unavailable", 503, "Model `mock` is not ready"), 503, ErrorClass.HTTP_503),
        (ErrorInfo("Not Found", 404), 404, ErrorClass.HTTP_404),
        (ErrorInfo("Too Many Requests", 429), 429, ErrorClass.HTTP_429),
        (ErrorInfo("Gateway Timeout", 504), 504, ErrorClass.HTTP_504),
        (ErrorInfo("", 529), 529, ErrorClass.HTTP_529),
        (ErrorInfo("I'm a teapot", 418), 418, ErrorClass.HTTP_4XX),
        (ErrorInfo("Insufficient Storage", 507), 507, ErrorClass.HTTP_5XX),
        (
            ErrorInfo(
                "ClientConnectorError", None, "ConnectionKey(...)", ("ClientConnectorError", "ConnectionRefusedError")
            ),
            None,
            ErrorClass.CONNECTION_REFUSED,
        ),
        (ErrorInfo("ClientConnectorDNSError", None, "Name or service not known"), None, ErrorClass.CONNECTION_OTHER),
        (ErrorInfo("ServerDisconnectedError", None, "Server disconnected"), None, ErrorClass.SERVER_DISCONNECTED),
        (ErrorInfo("ClientOSError", None, "[Errno 104] Connection reset by peer"), None, ErrorClass.CONNECTION_RESET),
        (ErrorInfo("ClientOSError", None, "[Errno 104] Connection reset by peer"), 200, ErrorClass.STREAM_CUT),
        (ErrorInfo("ClientPayloadError", None, "not completed"), 200, ErrorClass.STREAM_CUT),
        (ErrorInfo("TimeoutError", None, "TimeoutError()"), None, ErrorClass.TIMEOUT),
        (ErrorInfo("RequestCancellationError", 499), None, ErrorClass.CANCELLED),
        (ErrorInfo("SSEResponseError", 502, "Error occurred in SSE response"), 200, ErrorClass.STREAM_ERROR),
        (ErrorInfo("InvalidInferenceResultError"), 200, ErrorClass.INVALID_RESPONSE),
        (ErrorInfo("stream_no_done"), 200, ErrorClass.STREAM_NO_DONE),
        (ErrorInfo("wrong_length"), 200, ErrorClass.WRONG_LENGTH),
        (ErrorInfo("SomethingNew", None), None, ErrorClass.OTHER),
    ],
)
def test_aiperf_errors_find_their_class(error: ErrorInfo, status: int | None, expected: ErrorClass) -> None:
    assert classify(error, status) is expected


def test_a_good_request() -> None:
    record = build_record(CONTEXT, START, END, LINE)
    assert (record.outcome, record.error, record.end_exact) == (Outcome.GOOD, ErrorClass.NONE, True)
    assert (record.segment, record.session_num, record.request_id) == (3, 5, "id")
    assert (record.start_ns - OFFSET, record.end_ns - OFFSET) == (10 * SECOND, 11 * SECOND)
    assert (record.ttft_ns, record.inter_token_ns, record.max_gap_ns) == (49_000_000, 60_000_000, 100_000_000)
    assert (record.input_tokens, record.output_tokens, record.expected_tokens) == (7, 16, 16)


def test_the_journal_stands_in_for_figures_that_aiperf_does_not_give() -> None:
    record = build_record(CONTEXT, START, END, None)
    assert (record.ttft_ns, record.inter_token_ns, record.output_tokens) == (50_000_000, 60_000_000, 16)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (SlowLimits(first_token_seconds=0.04), ErrorClass.SLOW_FIRST_TOKEN),
        (SlowLimits(gap_seconds=0.09), ErrorClass.SLOW_GAP),
        (SlowLimits(total_seconds=0.9), ErrorClass.SLOW_TOTAL),
        (SlowLimits(first_token_seconds=0.06, gap_seconds=0.11, total_seconds=1.1), ErrorClass.NONE),
    ],
)
def test_whole_but_slow(limits: SlowLimits, expected: ErrorClass) -> None:
    context = Context(SPEC.model_copy(update={"slow": limits}), 3, lambda ns: ns)
    record = build_record(context, START, END, LINE)
    assert record.error is expected
    assert record.outcome is (Outcome.SLOW if expected else Outcome.GOOD)


def failed(kind: str, *, chunks: int = 0, code: int | None = None, out: int | None = None) -> JournalEnd:
    first = END.first_ns if chunks else None
    return replace(END, chunks=chunks, first_ns=first, output_tokens=out, error=ErrorInfo(kind, code, "why"))


def test_cut_short_is_truncated_and_no_answer_is_failed() -> None:
    cut = build_record(CONTEXT, START, failed("ClientPayloadError", chunks=4), None)
    assert (cut.outcome, cut.error, cut.message) == (Outcome.TRUNCATED, ErrorClass.STREAM_CUT, "why")
    assert (cut.output_tokens, cut.ttft_ns) == (4, 50_000_000)
    assert build_record(CONTEXT, START, failed("TimeoutError", chunks=4), None).outcome is Outcome.TRUNCATED
    assert build_record(CONTEXT, START, failed("TimeoutError"), None).outcome is Outcome.FAILED
    assert build_record(CONTEXT, START, failed("stream_error"), None).outcome is Outcome.FAILED
    assert build_record(CONTEXT, START, failed("x", code=503), None).outcome is Outcome.FAILED


def test_wrong_length_is_truncated_only_when_shorter() -> None:
    assert build_record(CONTEXT, START, failed("wrong_length", chunks=9, out=9), None).outcome is Outcome.TRUNCATED
    assert build_record(CONTEXT, START, failed("wrong_length", chunks=9, out=17), None).outcome is Outcome.FAILED


def test_what_our_own_stop_cancelled_is_lost_and_not_bad() -> None:
    record = build_record(CONTEXT, START, failed("RequestCancellationError", code=499), None)
    assert (record.outcome, record.error) == (Outcome.LOST, ErrorClass.CANCELLED)


def test_a_lost_request_ends_when_it_was_last_seen() -> None:
    record = lost_record(CONTEXT, START, 12 * SECOND, "killed")
    assert (record.outcome, record.error, record.end_exact) == (Outcome.LOST, ErrorClass.LOST, False)
    assert record.end_ns - OFFSET == 12 * SECOND
    assert lost_record(CONTEXT, START, 0, "killed").end_ns - OFFSET == 10 * SECOND


def test_without_a_journal_the_end_is_only_a_bound() -> None:
    record = record_without_journal(CONTEXT, LINE, 20 * SECOND)
    assert (record.outcome, record.end_exact) == (Outcome.GOOD, False)
    assert (record.start_ns - OFFSET, record.end_ns - OFFSET) == (19 * SECOND, 20 * SECOND)
    error = record_without_journal(CONTEXT, replace(LINE, error=ErrorInfo("Not Found", 404)), 20 * SECOND)
    assert (error.outcome, error.error) == (Outcome.FAILED, ErrorClass.HTTP_404)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"{}", b'{"t":"s"}', b'{"t":"e","n":1}', b'"x"', b"\xff\xfe", b"null"]
)
def test_a_torn_line_is_no_line(line: bytes) -> None:
    assert parse_journal(line) is None
    assert parse_export(line) is None


def test_lines_are_read() -> None:
    assert parse_journal(b'{"t":"s","n":5,"id":"id","at":7}') == JournalStart(5, "id", 7)
    end = parse_journal(b'{"t":"e","n":5,"id":"id","at":9,"status":503,"error":{"code":503,"type":"x","message":null}}')
    assert end == JournalEnd(5, "id", 9, status=503, error=ErrorInfo("x", 503))
    meta = {"session_num": 5, "x_request_id": "id", "request_start_ns": 1000, "request_end_ns": 3000}
    metrics = {"time_to_first_token": {"value": 1.5, "unit": "ms"}, "usage_completion_tokens": {"value": 16}}
    line = parse_export(json.dumps({"metadata": meta, "metrics": metrics}).encode())
    assert line == ExportLine(5, "id", 2000, ttft_ns=1_500_000, output_tokens=16)
