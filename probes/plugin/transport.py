"""aiperf's HTTP transport with a journal and a strict look at each answer.

The answer is judged here, in the process that received it and before the record leaves it: an exception from an
endpoint's parser would be logged with its traceback twice for each bad request, and the journal could not know.
"""

from __future__ import annotations

import asyncio
import gc
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiperf.common.models import ErrorDetails, RequestInfo, RequestRecord, SSEMessage, TextResponse
from aiperf.transports.aiohttp_transport import AioHttpTransport

from probes.classify import HELD
from probes.plugin.config import load
from probes.plugin.endpoints import ENDPOINT_TYPES
from probes.plugin.journal import Journal
from probes.plugin.strict import MESSAGE_LIMIT, Answer, Expectation, Verdict, judge_stream, judge_unary, read_payloads
from probes.record import ErrorClass


class JournalTransport(AioHttpTransport):  # type: ignore[misc]  # aiperf ships no types
    """Does what its base does; for the aftershock endpoints it also judges and writes the journal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours = str(self.model_endpoint.endpoint.type) in ENDPOINT_TYPES
        config = load()
        self._journal = Journal(Path(config.journal)) if config.journal else None
        self._hold = config.hold_path
        self._usage = config.require_usage
        if self._ours:
            # A full collection over everything that aiperf imports stops the worker for 0.2 s: keep the collector off that.
            gc.collect()
            gc.freeze()

    async def send_request(self, request_info: RequestInfo, payload: Any, **kwargs: Any) -> RequestRecord:
        if not self._ours:
            return await super().send_request(request_info, payload, **kwargs)
        if self._hold is not None and self._hold.exists():
            return _held(request_info)
        return await self._send_watched(request_info, payload, **kwargs)

    async def _send_watched(self, request_info: RequestInfo, payload: Any, **kwargs: Any) -> RequestRecord:
        key = {"number": request_info.credit_num, "request_id": request_info.x_request_id or ""}
        if self._journal:
            self._journal.start(**key, at_ns=time.monotonic_ns())
        try:
            record = await super().send_request(request_info, payload, **kwargs)
        except asyncio.CancelledError:
            if self._journal:
                facts = {"error": {"type": "RequestCancellationError", "message": "aiperf was stopped"}}
                self._journal.end(**key, at_ns=time.monotonic_ns(), facts=facts)
            raise
        at_ns = time.monotonic_ns()
        answer = self._judge(request_info, record)
        if self._journal:
            self._journal.end(**key, at_ns=at_ns, facts=_facts(record, answer, at_ns))
        return record

    def _judge(self, request_info: RequestInfo, record: RequestRecord) -> Answer:
        streamed = [m for m in record.responses if isinstance(m, SSEMessage)]
        answer = read_payloads([_payload(m) for m in record.responses])
        if record.error is None:
            expect = Expectation(tokens=_expected_tokens(request_info), usage=self._usage)
            verdict = (judge_stream if streamed else judge_unary)(answer, expect)
            if verdict is None and not streamed and request_info.model_endpoint.endpoint.streaming:
                verdict = _not_a_stream(record)
            if verdict is not None:
                record.error = ErrorDetails(type=verdict.error.value, message=verdict.message)
        return answer


def _not_a_stream(record: RequestRecord) -> Verdict:
    kind = getattr(record.responses[0], "content_type", None) if record.responses else None
    return Verdict(ErrorClass.INVALID_RESPONSE, f"a stream was asked for, but {kind or 'nothing'} came")


def _held(request_info: RequestInfo) -> RequestRecord:
    now = time.perf_counter_ns()
    error = ErrorDetails(type=HELD, message="not sent: the probe hands over to another process")
    return RequestRecord(request_info=request_info, start_perf_ns=now, end_perf_ns=now, error=error)


def _payload(response: Any) -> str:
    return response.get_text() or "" if isinstance(response, SSEMessage | TextResponse) else "(binary)"


def _expected_tokens(request_info: RequestInfo) -> int | None:
    """Only `ignore_eos` makes a length certain; without it a model may stop when it likes."""
    extra = dict(request_info.model_endpoint.endpoint.extra or {})
    if not extra.get("ignore_eos") or not request_info.turns:
        return None
    tokens: int | None = request_info.turns[-1].max_tokens
    return tokens


def _facts(record: RequestRecord, answer: Answer, at_ns: int) -> dict[str, Any]:
    """What `probes.parse` reads; instants are monotonic nanoseconds."""
    streamed = [m.perf_ns for m in record.responses if isinstance(m, SSEMessage)]
    content = [m.perf_ns for m, text in zip(record.responses, answer.content, strict=True) if text]
    facts: dict[str, Any] = {
        "status": record.status,
        "chunks": len(content),
        "in": answer.prompt_tokens,
        "out": answer.completion_tokens,
    }
    if streamed and content:
        after = [t for t in streamed if t >= content[0]] + [at_ns]
        facts["first"] = content[0]
        facts["last"] = content[-1]
        facts["gap"] = max(b - a for a, b in pairwise(after))
    if record.error is not None:
        error = record.error
        facts["error"] = {"code": error.code, "type": error.type, "message": (error.message or "")[:MESSAGE_LIMIT]}
        if error.cause_chain:
            facts["error"]["chain"] = error.cause_chain[:6]
    return facts
