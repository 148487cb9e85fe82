"""From a request's two journal lines and aiperf's own line to a record. Pure.

Instants come from the journal (monotonic nanoseconds); aiperf 0.13.0 gives an HTTP error no duration at all and dates a
stream that hung by its last chunk. Figures (first token, time between tokens, token counts) are aiperf's where it has
them; it has none for a failed request, and there the journal's are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from probes.classify import MESSAGE_LIMIT, ErrorInfo, classify
from probes.record import ErrorClass, Outcome, Record
from probes.spec import ProbeSpec


@dataclass(frozen=True, slots=True)
class JournalStart:
    """A request is being sent; `at_ns` is monotonic."""

    number: int
    request_id: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """A request has ended; all instants are monotonic nanoseconds."""

    number: int
    request_id: str
    at_ns: int
    status: int | None = None
    chunks: int = 0
    """Chunks with generated text."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_ns: int | None = None
    """First chunk with generated text."""
    last_ns: int | None = None
    gap_ns: int | None = None
    """Longest silence from the first chunk to the end."""
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class ExportLine:
    """What is used of a line of profile_export.jsonl."""

    number: int
    request_id: str
    duration_ns: int
    ttft_ns: int | None = None
    inter_token_ns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: ErrorInfo | None = None


def parse_journal(line: bytes) -> JournalStart | JournalEnd | None:
    """None for a line that is no journal line (torn by a full disk)."""
    try:
        data = orjson.loads(line)
        if data["t"] == "s":
            return JournalStart(int(data["n"]), str(data["id"]), int(data["at"]))
        return JournalEnd(
            number=int(data["n"]),
            request_id=str(data["id"]),
            at_ns=int(data["at"]),
            status=data.get("status"),
            chunks=data.get("chunks") or 0,
            input_tokens=data.get("in"),
            output_tokens=data.get("out"),
            first_ns=data.get("first"),
            last_ns=data.get("last"),
            gap_ns=data.get("gap"),
            error=_error(data.get("error"), "chain"),
        )
    except (ValueError, KeyError, TypeError):
        return None


def parse_export(line: bytes) -> ExportLine | None:
    """None for a line that is no export line."""
    try:
        data = orjson.loads(line)
        meta, metrics = data["metadata"], data.get("metrics") or {}
        start, end = int(meta["request_start_ns"]), int(meta["request_end_ns"])
        return ExportLine(
            number=int(meta["session_num"]),
            request_id=str(meta["x_request_id"]),
            duration_ns=max(0, end - start),
            ttft_ns=_milliseconds(metrics, "time_to_first_token"),
            inter_token_ns=_milliseconds(metrics, "inter_token_latency"),
            input_tokens=_count(metrics, "usage_prompt_tokens"),
            output_tokens=_count(metrics, "usage_completion_tokens"),
            error=_error(data.get("error"), "cause_chain"),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _error(data: dict[str, Any] | None, chain: str) -> ErrorInfo | None:
    if not data:
        return None
    code, names = data.get("code"), data.get(chain) or ()
    message = str(data.get("message") or "")[:MESSAGE_LIMIT]
    return ErrorInfo(str(data.get("type") or ""), int(code) if code else None, message, tuple(map(str, names)))


def _milliseconds(metrics: dict[str, Any], name: str) -> int | None:
    metric = metrics.get(name)
    return None if metric is None else round(float(metric["value"]) * 1e6)


def _count(metrics: dict[str, Any], name: str) -> int | None:
    metric = metrics.get(name)
    return None if metric is None else round(float(metric["value"]))


def judge(spec: ProbeSpec, end: JournalEnd, ttft_ns: int | None, total_ns: int) -> tuple[Outcome, ErrorClass]:
    """How a request ended for its user."""
    if end.error is None:
        return _speed(spec, ttft_ns, end.gap_ns, total_ns)
    error = classify(end.error, end.status)
    if error is ErrorClass.CANCELLED:
        return Outcome.LOST, error  # aiperf was stopped by us: how it would have ended, nobody saw
    too_long = error is ErrorClass.WRONG_LENGTH and (end.output_tokens or 0) > spec.output_tokens
    cut_short = end.chunks > 0 and not too_long
    return (Outcome.TRUNCATED if cut_short else Outcome.FAILED), error


def _speed(spec: ProbeSpec, ttft_ns: int | None, gap_ns: int | None, total_ns: int) -> tuple[Outcome, ErrorClass]:
    slow = spec.slow
    if ttft_ns is not None and ttft_ns > slow.first_token_seconds * 1e9:
        return Outcome.SLOW, ErrorClass.SLOW_FIRST_TOKEN
    if gap_ns is not None and gap_ns > slow.gap_seconds * 1e9:
        return Outcome.SLOW, ErrorClass.SLOW_GAP
    if slow.total_seconds is not None and total_ns > slow.total_seconds * 1e9:
        return Outcome.SLOW, ErrorClass.SLOW_TOTAL
    return Outcome.GOOD, ErrorClass.NONE


@dataclass(frozen=True, slots=True)
class Context:
    """What all records of one aiperf process have in common."""

    spec: ProbeSpec
    segment: int
    from_monotonic: Callable[[int], int]


def build_record(context: Context, start: JournalStart, end: JournalEnd, line: ExportLine | None) -> Record:
    """The record of a request whose start and end the journal knows; `line` is aiperf's word, where it came."""
    ttft = _ttft(start, end, line)
    outcome, error = judge(context.spec, end, ttft, end.at_ns - start.at_ns)
    return Record(
        probe=context.spec.name,
        segment=context.segment,
        session_num=start.number,
        request_id=start.request_id,
        start_ns=context.from_monotonic(start.at_ns),
        end_ns=context.from_monotonic(end.at_ns),
        outcome=outcome,
        error=error,
        message=end.error.message if end.error else "",
        status=end.status,
        ttft_ns=ttft,
        inter_token_ns=line.inter_token_ns if line and line.inter_token_ns is not None else _inter_token(end),
        max_gap_ns=end.gap_ns,
        input_tokens=_first(end.input_tokens, line.input_tokens if line else None),
        output_tokens=_output_tokens(end, line),
        expected_tokens=_expected(context.spec),
    )


def record_without_journal(context: Context, line: ExportLine, seen_ns: int) -> Record:
    """The record of a request of which only aiperf tells (the journal could not be written).

    `seen_ns`, monotonic, is when its line arrived: the end is known only to have been before it.
    """
    error = line.error
    status = error.code if error else 200
    end = JournalEnd(
        number=line.number,
        request_id=line.request_id,
        at_ns=seen_ns,
        status=status,
        input_tokens=line.input_tokens,
        output_tokens=line.output_tokens,
        error=error,
    )
    outcome, kind = judge(context.spec, end, line.ttft_ns, line.duration_ns)
    return Record(
        probe=context.spec.name,
        segment=context.segment,
        session_num=line.number,
        request_id=line.request_id,
        start_ns=context.from_monotonic(seen_ns - line.duration_ns),
        end_ns=context.from_monotonic(seen_ns),
        end_exact=False,
        outcome=outcome,
        error=kind,
        message=error.message if error else "",
        status=status,
        ttft_ns=line.ttft_ns,
        inter_token_ns=line.inter_token_ns,
        input_tokens=line.input_tokens,
        output_tokens=line.output_tokens,
        expected_tokens=_expected(context.spec),
    )


def lost_record(context: Context, start: JournalStart, last_seen_ns: int, reason: str) -> Record:
    """The record of a request whose end nobody saw; it was in flight at `last_seen_ns` (monotonic)."""
    return Record(
        probe=context.spec.name,
        segment=context.segment,
        session_num=start.number,
        request_id=start.request_id,
        start_ns=context.from_monotonic(start.at_ns),
        end_ns=context.from_monotonic(max(start.at_ns, last_seen_ns)),
        end_exact=False,
        outcome=Outcome.LOST,
        error=ErrorClass.LOST,
        message=reason,
        expected_tokens=_expected(context.spec),
    )


def _expected(spec: ProbeSpec) -> int | None:
    return spec.output_tokens if spec.ignore_eos else None


def _ttft(start: JournalStart, end: JournalEnd, line: ExportLine | None) -> int | None:
    if line is not None and line.ttft_ns is not None:
        return line.ttft_ns
    return end.first_ns - start.at_ns if end.first_ns is not None else None


def _inter_token(end: JournalEnd) -> int | None:
    """(last chunk - first chunk) / (tokens - 1), as aiperf defines it."""
    if end.first_ns is None or end.last_ns is None or not end.output_tokens or end.output_tokens < 2:
        return None
    return round((end.last_ns - end.first_ns) / (end.output_tokens - 1))


def _output_tokens(end: JournalEnd, line: ExportLine | None) -> int | None:
    """The server's count; for an answer cut short the chunks that came, each of which holds at least one token."""
    counted = _first(end.output_tokens, line.output_tokens if line else None)
    if counted is None and end.error is not None and end.first_ns is not None:
        return end.chunks
    return counted


def _first(*values: int | None) -> int | None:
    return next((v for v in values if v is not None), None)
