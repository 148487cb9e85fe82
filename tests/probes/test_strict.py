"""Whole answers pass, everything less fails with its own class."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.plugin.strict import DONE, Expectation, judge_stream, judge_unary, read_payloads
from probes.record import ErrorClass


def chunk(text: str = "", finish: str | None = None, **more: Any) -> str:
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice(text, finish)], **more})


def choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": finish}


def usage(tokens: int) -> str:
    return json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})


def whole(tokens: int = 3) -> list[str]:
    texts = [chunk("a ") for _ in range(tokens - 1)]
    return [chunk(""), *texts, chunk("a", "length"), usage(tokens), DONE]


def stream(payloads: list[str], **expect: Any) -> ErrorClass:
    verdict = judge_stream(read_payloads(payloads), Expectation(**{"tokens": 3, **expect}))
    return verdict.error if verdict else ErrorClass.NONE


ERROR = json.dumps({"error": {"message": "Internal server error", "code": 500}})


@pytest.mark.parametrize(
    ("payloads", "expected"),
    [
        (whole(), ErrorClass.NONE),
        ([chunk("a"), ERROR, DONE], ErrorClass.STREAM_ERROR),
        ([*whole()[:-1], ERROR, DONE], ErrorClass.STREAM_ERROR),
        ([chunk("a"), json.dumps({"object": "error", "message": "gone"})], ErrorClass.STREAM_ERROR),
        ([chunk("a"), chunk("b", "error"), usage(3), DONE], ErrorClass.STREAM_ERROR),
        (whole()[:-1], ErrorClass.STREAM_NO_DONE),
        ([chunk("a"), usage(3), DONE], ErrorClass.STREAM_NO_FINISH),
        ([chunk("a", "stop"), DONE], ErrorClass.STREAM_NO_USAGE),
        ([DONE], ErrorClass.STREAM_EMPTY),
        ([], ErrorClass.STREAM_EMPTY),
        ([chunk(""), chunk("", "stop"), usage(0), DONE], ErrorClass.STREAM_EMPTY),
        ([chunk("a", "stop"), usage(2), DONE], ErrorClass.WRONG_LENGTH),
        ([chunk("a"), "<html>", usage(3), DONE], ErrorClass.INVALID_RESPONSE),
        ([chunk("a"), "[1]", usage(3), DONE], ErrorClass.INVALID_RESPONSE),
    ],
)
def test_each_defect_has_its_class(payloads: list[str], expected: ErrorClass) -> None:
    assert stream(payloads) is expected


def test_usage_and_length_are_optional_for_servers_that_have_neither() -> None:
    assert stream([chunk("a", "stop"), DONE], usage=False) is ErrorClass.NONE
    assert stream([chunk("a", "stop"), usage(99), DONE], tokens=None) is ErrorClass.NONE


def test_the_error_text_of_the_server_is_kept() -> None:
    verdict = judge_stream(read_payloads([chunk("a"), ERROR, DONE]), Expectation())
    assert verdict is not None
    assert verdict.message == "Internal server error"


def test_running_usage_counts_by_its_last_report() -> None:
    payloads = [chunk("a", usage={"completion_tokens": 1}), chunk("b", "length", usage={"completion_tokens": 3}), DONE]
    assert stream(payloads) is ErrorClass.NONE


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "tool_calls"])
def test_reasoning_and_tool_calls_are_generated_text(key: str) -> None:
    first = json.dumps({"choices": [{"delta": {key: ["x"]}, "finish_reason": "stop"}]})
    assert stream([first, usage(3), DONE]) is ErrorClass.NONE


@given(st.integers(1, 20), st.data())
def test_no_proper_beginning_of_a_whole_stream_passes(tokens: int, data: st.DataObject) -> None:
    payloads = whole(tokens)
    cut = data.draw(st.integers(0, len(payloads) - 1))
    assert stream(payloads, tokens=tokens) is ErrorClass.NONE
    assert stream(payloads[:cut], tokens=tokens) is not ErrorClass.NONE
    # What Dynamo 1.4.2 does when a worker dies: whatever had been sent, an error frame, and [DONE] as if all were well.
    assert stream([*payloads[:cut], ERROR, DONE], tokens=tokens) is ErrorClass.STREAM_ERROR


@given(st.lists(st.text() | st.sampled_from([DONE, "{}", '{"choices": 1}', '{"choices": [1]}', '{"usage": 3}', ERROR])))
def test_no_payload_breaks_the_judge(payloads: list[str]) -> None:
    answer = read_payloads(payloads)
    assert len(answer.content) == len(payloads)
    assert judge_stream(answer, Expectation()) is not None
    assert judge_unary(answer, Expectation()) is not None


def unary(**more: Any) -> str:
    message = {"message": {"content": "a"}, "finish_reason": "length"}
    return json.dumps({"choices": [message], "usage": {"completion_tokens": 3}, **more})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (unary(), ErrorClass.NONE),
        (unary(usage={"completion_tokens": 4}), ErrorClass.WRONG_LENGTH),
        (unary(choices=[]), ErrorClass.STREAM_EMPTY),
        (unary(choices=[{"text": "a", "finish_reason": None}]), ErrorClass.STREAM_NO_FINISH),
        (ERROR, ErrorClass.INVALID_RESPONSE),
        ("<html>", ErrorClass.INVALID_RESPONSE),
        ("", ErrorClass.STREAM_EMPTY),
    ],
)
def test_unary_answers(body: str, expected: ErrorClass) -> None:
    verdict = judge_unary(read_payloads([body]), Expectation(tokens=3))
    assert (verdict.error if verdict else ErrorClass.NONE) is expected
