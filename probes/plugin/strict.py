"""Was the answer whole? Pure functions over what the server sent.

A 200 whose stream ends in an error frame, or without `[DONE]`, finish_reason or usage, is a success to aiperf 0.13.0
(upstream ai-dynamo/aiperf pull request 1330). To the user it is an answer cut short, and here it is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from probes.record import ErrorClass

DONE = "[DONE]"
MESSAGE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a whole answer has."""

    tokens: int | None = None
    """Exact usage.completion_tokens; None accepts any (a server that may stop early)."""
    usage: bool = True
    """Whether a stream must report its usage."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an answer is not whole."""

    error: ErrorClass
    message: str


@dataclass(slots=True)
class Answer:
    """What a body said, all frames taken together."""

    content: list[bool]
    """For each payload: whether it carried generated text."""
    done: bool = False
    finished: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    has_usage: bool = False
    error: str | None = None
    invalid: str | None = None


def read_payloads(payloads: Sequence[str]) -> Answer:
    """Decode SSE data payloads, or the one body of a unary answer."""
    answer = Answer(content=[False] * len(payloads))
    for position, payload in enumerate(payloads):
        if payload == DONE:
            answer.done = True
        elif payload:
            _read_frame(answer, position, payload)
    return answer


def judge_stream(answer: Answer, expect: Expectation) -> Verdict | None:
    """None for a whole streamed answer. The worst finding wins: what the server said before what it left out."""
    said = _said_wrong(answer)
    if said:
        return said
    if not any(answer.content):
        return Verdict(ErrorClass.STREAM_EMPTY, "the stream ended without any generated text")
    if not answer.done:
        return Verdict(ErrorClass.STREAM_NO_DONE, "the stream ended without [DONE]")
    if not answer.finished:
        return Verdict(ErrorClass.STREAM_NO_FINISH, "the stream ended without a finish_reason")
    if expect.usage and not answer.has_usage:
        return Verdict(ErrorClass.STREAM_NO_USAGE, "the stream ended without its usage report")
    return _wrong_length(answer, expect)


def judge_unary(answer: Answer, expect: Expectation) -> Verdict | None:
    """None for a whole unary answer."""
    if answer.error is not None:
        return Verdict(ErrorClass.INVALID_RESPONSE, f"status 200 with an error body: {answer.error}")
    said = _said_wrong(answer)
    if said:
        return said
    if not any(answer.content):
        return Verdict(ErrorClass.STREAM_EMPTY, "the answer holds no generated text")
    if not answer.finished:
        return Verdict(ErrorClass.STREAM_NO_FINISH, "the answer has no finish_reason")
    return _wrong_length(answer, expect)


def _said_wrong(answer: Answer) -> Verdict | None:
    if answer.error is not None:
        return Verdict(ErrorClass.STREAM_ERROR, answer.error)
    if answer.invalid is not None:
        return Verdict(ErrorClass.INVALID_RESPONSE, answer.invalid)
    return None


def _wrong_length(answer: Answer, expect: Expectation) -> Verdict | None:
    got = answer.completion_tokens
    if expect.tokens is None or got is None or got == expect.tokens:
        return None
    return Verdict(ErrorClass.WRONG_LENGTH, f"{got} tokens instead of {expect.tokens}")


def _read_frame(answer: Answer, position: int, payload: str) -> None:
    try:
        frame = orjson.loads(payload)
    except orjson.JSONDecodeError:
        frame = None
    if not isinstance(frame, dict):
        answer.invalid = answer.invalid or f"not a JSON object: {payload[:80]}"
        return
    error = _error_text(frame)
    if error is not None:
        answer.error = answer.error or error
        return
    _read_usage(answer, frame.get("usage"))
    choices = frame.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            answer.content[position] |= _has_text(choice)
            _read_finish(answer, choice.get("finish_reason"))


def _read_usage(answer: Answer, usage: Any) -> None:
    # Some servers report running totals on every chunk: the last report counts.
    if isinstance(usage, dict):
        answer.has_usage = True
        answer.prompt_tokens = _count(usage.get("prompt_tokens"), answer.prompt_tokens)
        answer.completion_tokens = _count(usage.get("completion_tokens"), answer.completion_tokens)


def _count(value: Any, before: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else before


def _read_finish(answer: Answer, reason: Any) -> None:
    if reason == "error":
        answer.error = answer.error or "finish_reason is error"
    elif reason:
        answer.finished = True


def _error_text(frame: dict[str, Any]) -> str | None:
    error = frame.get("error")
    if error is None and frame.get("object") == "error":
        error = frame
    if not error:
        return None
    text = error.get("message") if isinstance(error, dict) else None
    return str(text or error)[:MESSAGE_LIMIT]


def _has_text(choice: dict[str, Any]) -> bool:
    if choice.get("text"):
        return True
    part = choice.get("delta") or choice.get("message")
    if not isinstance(part, dict):
        return False
    return any(part.get(k) for k in ("content", "reasoning_content", "reasoning", "tool_calls", "function_call"))
